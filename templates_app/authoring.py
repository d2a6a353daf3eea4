"""Templates are made and changed here, for the admin, the API and the commands alike.

Wrong input is a ``ValidationError`` that names every wrong field, raised before anything is written.
"""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from templates_app.csv_items import CsvError, CsvItems, check_rows
from templates_app.lora_stack import check_loras
from templates_app.models import BatchGenerationRun, BatchTemplate, BatchTemplateVersion
from templates_app.prompts import PromptError, check_template

OF_TEMPLATE = ("name", "description", "is_archived", "source_file", "source_sha256", "source_version")
OF_VERSION = tuple(name for name in BatchTemplateVersion.CONTENT if name not in ("columns", "rows"))


class TemplateConflict(Exception):
    """The wish is well formed and clashes with the state of the template; the message is for the user."""


def draft_template(
    *, template: BatchTemplate | None = None, created_by=None, **given
) -> BatchTemplateVersion:
    """The version that ``save_template`` would write, with its template; nothing is written.

    :raises ValidationError: names each wrong field.
    """
    current = template.current if template else None
    template = template or BatchTemplate(created_by=created_by)
    problems: dict[str, list[str]] = {}
    rows = given.pop("rows", None)
    for name in OF_TEMPLATE:
        if name in given:
            setattr(template, name, _trimmed(given.pop(name)))
    kept = {name: getattr(current, name) for name in OF_VERSION} if current else {}
    version = BatchTemplateVersion(
        template=template,
        number=current.number + 1 if current else 1,
        created_by=created_by,
        **kept | {name: _trimmed(value) for name, value in given.items()},
    )
    try:
        items = _items(rows, current)
        version.columns, version.rows = list(items.columns), list(items.rows)
        version.row_count = len(items.rows)
    except CsvError as error:
        version.columns, version.rows, version.row_count = [], [], 0
        problems["csv_data"] = error.sentences
    if (
        not current or version.lora_config != current.lora_config
    ):  # one that went later is no mistake of this edit
        try:
            version.lora_config = check_loras(version.lora_config, field="lora_config")
        except ValidationError as error:
            problems |= error.message_dict
    for row, exclude in (
        (template, {"current", "created_by"}),
        (version, {"template", "created_by", "lora_config", "columns", "rows", "row_count"}),
    ):
        try:
            row.full_clean(exclude=exclude)
        except ValidationError as error:
            problems |= error.message_dict
    if not {"csv_data", "prompt_template"} & set(problems):
        try:
            check_template(version.prompt_template, version.columns)
        except PromptError as error:
            problems["prompt_template"] = [str(error)]
    if problems:
        raise ValidationError(problems)
    return version


@transaction.atomic
def save_template(
    *, template: BatchTemplate | None = None, created_by=None, based_on: int | None = None, **given
) -> BatchTemplate:
    """Create a template, or give an existing one a new version if what it draws has changed.

    :param based_on: the number of the version that was edited; refused if another has come since.
    :param given: ``name``, ``description``, ``is_archived``, ``rows`` (objects of text by column name, or a
        checked table) and the other fields of a version. What is not given stays, or has the model's default.
    :raises ValidationError: names each wrong field.
    :raises TemplateConflict: it has been changed or deleted meanwhile.
    """
    if template:
        template = _lock(template)
        if based_on is not None and based_on != template.current.number:
            raise TemplateConflict(
                f"{template} has been changed since you opened it: it is at version {template.current.number}, "
                f"you edited version {based_on}. Open it again, and compare the versions."
            )
    version = draft_template(template=template, created_by=created_by, **given)
    return _write(version)


@transaction.atomic
def restore_version(version: BatchTemplateVersion, *, created_by=None) -> BatchTemplate:
    """Make an old version's content the newest; what lies between stays. LoRAs that are gone are not checked."""
    template = _lock(version.template)
    return _write(_copy(version, template, number=template.current.number + 1, created_by=created_by))


@transaction.atomic
def duplicate_template(template: BatchTemplate, *, created_by=None) -> BatchTemplate:
    """A new template with the same description and content under a free name."""
    stem = template.name[:180]
    names = (f"{stem} (copy{f' {number}' if number > 1 else ''})" for number in range(1, 10_000))
    name = next(name for name in names if not BatchTemplate.objects.filter(name=name).exists())
    copy = BatchTemplate(name=name, description=template.description, created_by=created_by)
    return _write(_copy(template.current, copy, number=1, created_by=created_by))


@transaction.atomic
def delete_template(template: BatchTemplate) -> None:
    """Delete a template that nothing was drawn from.

    :raises TemplateConflict: it has runs, which are explained by it.
    """
    template = _lock(template)
    if number := count_runs(template):
        raise TemplateConflict(
            f"{template} cannot be deleted: {number} {'run is' if number == 1 else 'runs are'} explained by it. "
            "Archive it instead; it leaves the lists, and its runs stay."
        )
    template.current = None  # which would protect its version from going with it
    template.save(update_fields=["current"])
    template.delete()


def set_archived(template: BatchTemplate, *, is_archived: bool) -> BatchTemplate:
    """Take a template out of the lists, or bring it back."""
    template.is_archived = is_archived
    template.save(update_fields=["is_archived", "updated_at"])
    return template


def count_runs(template: BatchTemplate) -> int:
    return BatchGenerationRun.objects.filter(template_version__template=template).count()


def _lock(template: BatchTemplate) -> BatchTemplate:
    try:
        # Its version is read by a statement of its own: PostgreSQL joins a row that it waited for with what was there
        # before the wait.
        return BatchTemplate.objects.select_for_update().get(pk=template.pk)
    except BatchTemplate.DoesNotExist as error:
        raise TemplateConflict(f"{template} has been deleted meanwhile.") from error


def _items(rows, current: BatchTemplateVersion | None) -> CsvItems:
    if isinstance(rows, CsvItems):
        return rows
    if rows is None and current:
        return CsvItems(tuple(current.columns), tuple(current.rows))
    return check_rows(rows)


def _trimmed(value):
    return value.strip() if isinstance(value, str) else value


def _copy(version: BatchTemplateVersion, template: BatchTemplate, **fields) -> BatchTemplateVersion:
    content = {name: getattr(version, name) for name in version.CONTENT}
    return BatchTemplateVersion(template=template, row_count=version.row_count, **content, **fields)


def _write(version: BatchTemplateVersion) -> BatchTemplate:
    template = version.template
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as error:  # somebody was faster
        taken = BatchTemplate._meta.get_field("name").error_messages["unique"]
        raise ValidationError({"name": [taken]}) from error
    if template.current_id and all(
        getattr(template.current, field) == getattr(version, field) for field in version.CONTENT
    ):
        return template
    version.template = template
    version.save()
    template.current = version
    template.save(update_fields=["current", "updated_at"])
    return template
