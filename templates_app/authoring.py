"""Templates are made and changed here, for the admin, the API and the commands alike.

Wrong input is a ``ValidationError`` that names the field, raised before anything is written.
"""

from django.core.exceptions import ValidationError
from django.db import transaction

from templates_app.csv_items import CsvError, check_rows
from templates_app.lora_stack import check_loras
from templates_app.models import BatchTemplate, BatchTemplateVersion
from templates_app.prompts import PromptError, check_template


@transaction.atomic
def save_template(
    *, name: str, rows: list[dict], template: BatchTemplate | None = None, created_by=None, **content
):
    """Create a template, or give an existing one a new version if what it draws has changed.

    :param rows: one object a picture, text by column name.
    :param content: ``description`` and the other fields of a version.
    :raises ValidationError: names each wrong field.
    """
    template = template or BatchTemplate(created_by=created_by)
    template.name, template.description = name.strip(), content.pop("description", template.description)
    try:
        items = check_rows(rows)
    except CsvError as error:
        raise ValidationError({"csv_data": [str(error)]}) from error
    version = BatchTemplateVersion(
        template=template,
        number=template.current.number + 1 if template.current_id else 1,
        columns=list(items.columns),
        rows=list(items.rows),
        row_count=len(items.rows),
        created_by=created_by,
        **content,
    )
    try:
        check_template(version.prompt_template, items.columns)
    except PromptError as error:
        raise ValidationError({"prompt_template": [str(error)]}) from error
    version.lora_config = check_loras(version.lora_config, field="lora_config")
    template.full_clean()
    version.full_clean(exclude=["template", "lora_config", "columns", "rows"])
    template.save()
    if template.current_id and all(
        getattr(template.current, field) == getattr(version, field) for field in version.CONTENT
    ):
        return template
    version.template = template
    version.save()
    template.current = version
    template.save(update_fields=["current", "updated_at"])
    return template
