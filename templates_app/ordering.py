"""Pictures are ordered here, for the admin, the API and the commands alike.

Wrong input is a ``ValidationError`` that names the field, raised before anything is written.
"""

import logging
import secrets
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from gallery.models import DiffusionModel, Image
from gallery.models.images import UNRESTRICTED
from gallery.names import UNTOLD_ALBUM, name_of
from gallery.services import lock_all
from gallery.weights import find_model
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import ModelError
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import limits
from templates_app.generation_settings import default_options
from templates_app.lora_stack import check_loras
from templates_app.models import BatchGenerationRun, BatchTemplate, BatchTemplateVersion, RunItem
from templates_app.prompts import (
    PromptError,
    RowSelectionError,
    check_prompt,
    item_name,
    item_seed,
    render_negative_prompt,
    render_prompt,
    select_rows,
)

logger = logging.getLogger(__name__)

KIND = "generation"
MAX_ITEMS = 10_000
DEFAULT_STRENGTH = 0.6  # image to image, unless the order says another
# Who goes first in the queue; a running set gives way to what is above it at its next batch.
INTERACTIVE, SET, VISITOR = runner.URGENT, 0, -10


class ArchivedTemplate(ValidationError):
    """Nothing is wrong with the order; its template is out of use."""


@dataclass(frozen=True)
class Order:
    """Pictures that may be ordered: everything is checked, nothing is written."""

    run: BatchGenerationRun
    items: list[RunItem]


def start_run(
    template: BatchTemplate, *, created_by=None, inline: bool = False, priority: int = SET, **order
) -> BatchGenerationRun:
    """Order the pictures of a template's rows: the job, the run and its whole ledger in one transaction.

    :param inline: this process is going to draw it, so no worker is rung.
    :param order: as for :func:`plan_run`.
    :raises ValidationError: names each wrong field; nothing is queued then.
    """
    return submit(plan_run(template, **order), created_by=created_by, inline=inline, priority=priority)


def start_single(
    prompt: str, *, created_by=None, inline: bool = False, priority: int = INTERACTIVE, **order
) -> BatchGenerationRun:
    """Order pictures of one prompt: a run without a template.

    :param order: as for :func:`plan_single`.
    :raises ValidationError: names each wrong field; nothing is queued then.
    """
    return submit(plan_single(prompt, **order), created_by=created_by, inline=inline, priority=priority)


def plan_run(
    template: BatchTemplate,
    *,
    album_name: str,
    user_theme: str,
    model: str = "",
    version: BatchTemplateVersion | None = None,
    **options,
) -> Order:
    """What an order of a template's rows comes to.

    :param model: a model's name; empty takes the one that IMAGINEER_MODEL names.
    :param version: an older version of the template, to draw it again as it was; else the current one.
    :param options: the other fields of a run, as given, ``reference_image_id`` too; None and "" mean "not said", so that ``loras=[]`` draws
        without those of the template.
    :raises ArchivedTemplate:
    :raises ValidationError: names each wrong field.
    """
    version = version or template.current
    if template.is_archived:
        raise ArchivedTemplate(f"{template} is archived; bring it back before you draw from it.")
    user_theme = user_theme.strip()
    if not user_theme:
        raise ValidationError(
            {"user_theme": ["Write a theme, such as 'watercolour': it stands in every prompt."]}
        )
    run = draft_run(
        album_name=album_name, user_theme=user_theme, model=model, template_version=version, **options
    )
    run.rating = run.rating or version.rating
    if options.get("loras") is None:
        run.loras = check_loras(version.lora_config, field="loras")
    try:
        positions = select_rows(run.row_selection, version.row_count)
    except RowSelectionError as error:
        raise ValidationError({"rows": [str(error)]}) from error
    _check_number(len(positions) * run.variants)
    drawn_with = _drawn_with(run, width=version.width, height=version.height)
    try:
        negative_prompt = render_negative_prompt(run.negative_prompt, version.negative_prompt)
    except PromptError as error:
        raise ValidationError({"negative_prompt": [str(error)]}) from error
    items, problems = [], []
    for position in positions:
        row = version.rows[position - 1]
        try:
            prompt = check_prompt(
                render_prompt(
                    base_prompt=version.base_prompt,
                    prompt_template=version.prompt_template,
                    style_suffix=version.style_suffix,
                    theme=user_theme,
                    row=row,
                )
            )
        except PromptError as error:
            problems.append(f"Row {position}: {error}")
            continue
        items += [
            RunItem(
                position=position,
                variant=variant,
                name=item_name(row, version.columns),
                prompt=prompt,
                negative_prompt=negative_prompt,
                seed=_seed(run, position, variant, version.row_count),
                **drawn_with,
            )
            for variant in range(1, run.variants + 1)
        ]
    if problems:
        raise ValidationError({"user_theme": problems[:10]})
    return Order(run, items)


def plan_single(prompt: str, *, album_name: str = "", model: str = "", **options) -> Order:
    """What an order of one prompt comes to.

    :raises ValidationError: names each wrong field.
    """
    try:
        prompt = check_prompt(prompt)
    except PromptError as error:
        raise ValidationError({"prompt": [str(error)]}) from error
    name = name_of(prompt)
    run = draft_run(album_name=album_name.strip() or name, user_theme="", model=model, **options)
    if not album_name.strip() and run.is_public and run.coming_rating not in UNRESTRICTED:
        run.album_name = UNTOLD_ALBUM  # an album's name is for everybody, such a picture's prompt is not
    drawn_with = _drawn_with(run)
    try:
        negative_prompt = render_negative_prompt(run.negative_prompt, "")
    except PromptError as error:
        raise ValidationError({"negative_prompt": [str(error)]}) from error
    items = [
        RunItem(
            position=1,
            variant=variant,
            name=item_name({"name": name}, ("name",)),
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=_seed(run, 1, variant, 1),
            **drawn_with,
        )
        for variant in range(1, run.variants + 1)
    ]
    return Order(run, items)


@transaction.atomic
def submit(order: Order, *, created_by=None, inline: bool = False, priority: int = SET) -> BatchGenerationRun:
    """Write the job, the run and its whole ledger, in one transaction.

    :raises ValidationError: the template or the reference picture has been deleted since they were looked at.
    """
    run, items = order.run, order.items
    if run.template_version_id:
        template = BatchTemplate.objects.filter(versions=run.template_version_id)
        lock_all(template)
        if not template.exists():
            raise ValidationError("This template has been deleted meanwhile.")
    if run.reference_image_id:
        hold_reference(run.reference_image_id)
    run.job = runner.submit(
        kind=KIND, total=len(items), priority=priority, created_by=created_by, inline=inline
    )
    run.save(force_insert=True)
    for item in items:
        item.run = run
    RunItem.objects.bulk_create(items, batch_size=500)
    return run


def retry_run(run: BatchGenerationRun) -> BatchGenerationRun:
    """Queue a finished run again; it draws only what it lacks.

    :raises imagineer.jobs.runner.JobConflict: it is not finished, or there is nothing left to draw.
    """
    runner.retry(run.job)
    return BatchGenerationRun.objects.for_lists().get(pk=run.pk)


def forgive_items(job: Job) -> None:
    """What a person's retry does to the ledger, in the transaction that queues the job again."""
    RunItem.objects.filter(run_id=job.pk).exclude(status=JobStatus.COMPLETED).update(
        status=JobStatus.QUEUED, tries=0, strikes=0, is_alone=False, error=""
    )


def draft_run(*, album_name, user_theme, model, template_version=None, **options) -> BatchGenerationRun:
    """The row of a run, checked and not written. :raises ValidationError: names each wrong field."""
    options |= _reference(
        options.pop("reference_image_id", None) or options.pop("reference_image", None),
        options.pop("strength", None),
    )
    run = BatchGenerationRun(
        album_name=album_name.strip(),
        user_theme=user_theme,
        model=_model(model),
        template_version=template_version,
        **{name: value for name, value in options.items() if value not in (None, "")},
    )
    if run.scheduler and run.scheduler not in SCHEDULERS:
        raise ValidationError(
            {"scheduler": [f"{run.scheduler!r} is not known; write one of {', '.join(SCHEDULERS)}."]}
        )
    run.loras = check_loras(run.loras, field="loras")
    run.full_clean(exclude=["job", "album", "template_version", "loras"], validate_constraints=False)
    return run


def hold_reference(image_id: int, *, field: str = "reference_image_id") -> None:
    """Lock the picture until the transaction ends; whoever deletes or sweeps it then sees what starts from it.

    :raises ValidationError: it is gone.
    """
    lock_all(Image.objects.filter(pk=image_id))
    if not Image.objects.present().filter(pk=image_id).exists():
        raise ValidationError({field: [f"There is no picture {image_id} that could be started from."]})


def _reference(image: Image | int | None, strength: float | None) -> dict:
    """What a run keeps of the picture that it starts from. A retracted or trashed one starts nothing new."""
    if image is None:
        if strength is not None:
            raise ValidationError(
                {
                    "strength": [
                        "The strength says how far to go from a reference picture; name one, or leave it."
                    ]
                }
            )
        return {}
    image_id = image.pk if isinstance(image, Image) else image
    image = Image.objects.present().filter(pk=image_id).first()
    if image is None:
        raise ValidationError(
            {"reference_image_id": [f"There is no picture {image_id} that a run could start from."]}
        )
    return {
        "reference_image": image,
        "reference_sha256": image.sha256,
        "strength": DEFAULT_STRENGTH if strength is None else strength,
    }


def _model(name: str) -> DiffusionModel:
    try:
        model = find_model(name)
    except ModelError as error:
        # the sentence names a folder, and whoever orders may be a visitor
        logger.warning("model cannot be used", extra={"fields": {"model": name or "default", "error": error}})
        raise ValidationError(
            {"model": ["This model cannot be used; `manage.py doctor` says why."]}
        ) from error
    if model is None:
        known = (
            ", ".join(DiffusionModel.objects.filter(is_enabled=True).values_list("name", flat=True))
            or "none yet"
        )
        raise ValidationError({"model": [f"There is no model named {name!r}. Known: {known}."]})
    return model


def _drawn_with(run: BatchGenerationRun, **of_template) -> dict:
    """What an item is drawn with: the order's word, else the template's, else the model's, else the settings'."""
    of_model = run.model.defaults
    native = {"width": run.model.native_width or 512, "height": run.model.native_height or 512}

    def settle(name, last):
        given = (getattr(run, name), of_template.get(name), of_model.get(name))
        return next((value for value in given if value not in (None, "")), last)

    return {name: settle(name, last) for name, last in (native | default_options()).items()}


def _seed(run: BatchGenerationRun, position: int, variant: int, row_count: int) -> int:
    if run.seed is None:
        return secrets.randbelow(limits.MAX_SEED + 1)
    return item_seed(
        run.seed, position=position, variant=variant, row_count=row_count, same_seed=run.is_same_seed
    )


def _check_number(pictures: int) -> None:
    if pictures > MAX_ITEMS:
        raise ValidationError(f"A run may draw {MAX_ITEMS:,} pictures; this one asks for {pictures:,}.")
