"""The slots of a run: each row's place in the album, the pictures that may stand there, and which one does.

A slot is an item of a run with an album of its own. Its candidates are the item's own picture and those of all
re-rolls of its row; promoting one gives it the slot's place, and the one that stood there stays a candidate.

Order of locks: the album, then the item, then pictures; drawing takes them in the same order.
"""

import secrets
import uuid
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from gallery.models import Album, AlbumImage, Image
from gallery.services import lock_album, replace_image, trash_image
from imagineer.once import make_once
from templates_app import limits, ordering
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.prompts import PromptError, check_prompt, item_seed, render_negative_prompt


class SlotConflict(Exception):
    """What was asked clashes with the state of the run, its album or a picture; the sentence is for the user."""


def root_of(run: BatchGenerationRun) -> BatchGenerationRun:
    """The run whose slots these are: the run itself, or the one that a re-roll draws again."""
    return run.parent if run.parent_id else run


def candidates(run: BatchGenerationRun, position: int):
    """The items of one row, of the run and then of its re-rolls, oldest first; drawn or not."""
    root = root_of(run)
    return (
        RunItem.objects.filter(Q(run=root) | Q(run__parent=root), position=position)
        .select_related("run__job", "image")
        .order_by("run_id", "variant")
    )


def pictures_in(slots: Iterable[RunItem]) -> dict[int, int | None]:
    """The id of the picture that stands in each slot of the album, by the slot's id.

    It is the chosen one, else the slot's own, unless another slot has that: it was chosen there while something else
    stood here which has been deleted for good since.
    """
    slots = list(slots)
    own = [slot.image_id for slot in slots if slot.image_id]
    elsewhere = set(RunItem.objects.filter(chosen_image__in=own).values_list("chosen_image", flat=True))
    return {
        slot.pk: slot.chosen_image_id or (None if slot.image_id in elsewhere else slot.image_id)
        for slot in slots
    }


def reroll_slot(
    run: BatchGenerationRun,
    position: int,
    *,
    created_by=None,
    inline: bool = False,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    seed: int | None = None,
    **options,
) -> BatchGenerationRun:
    """Order a row's picture again, with new seeds or from ``seed`` on; nothing takes its place until it is promoted.

    Everything else is as the row was ordered, also when its template has changed since.

    :param prompt: another prompt than the row's; it is what the picture's recipe says.
    :param options: ``variants`` (1–16), ``steps``, ``guidance_scale``, ``scheduler``, ``strength``.
    :raises ValidationError: names each wrong field; nothing is queued then.
    :raises SlotConflict: the pictures of this run have no slots.
    :raises RunItem.DoesNotExist: the run has no such row.
    """
    root = root_of(run)
    if not root.has_own_album:
        raise SlotConflict("The pictures of a session have no slots; draw again in the session.")
    slot = root.items.order_by("variant").filter(position=position).first()
    if slot is None:
        raise RunItem.DoesNotExist
    if root.reference_sha256 and root.reference_image_id is None:
        raise SlotConflict("The reference picture of this run was purged, so its rows cannot be drawn again.")
    given = {name: value for name, value in options.items() if value not in (None, "")}
    child = ordering.draft_run(
        album_name=root.album_name,
        user_theme=root.user_theme,
        model=root.model.name,
        template_version=root.template_version,
        parent=root,
        has_own_album=False,
        is_public=False,
        row_selection=str(position),
        seed=seed,
        loras=root.loras,
        rating=root.rating,
        negative_prompt=negative_prompt or "",
        reference_image_id=root.reference_image_id,
        **{"strength": root.strength} | given,
    )
    try:
        drawn_prompt = slot.prompt if prompt is None else check_prompt(prompt)
        drawn_negative = slot.negative_prompt if negative_prompt is None else negative_prompt
        drawn_negative = render_negative_prompt(drawn_negative, "")
    except PromptError as error:
        raise ValidationError({"prompt": [str(error)]}) from error
    items = [
        RunItem(
            position=position,
            variant=variant,
            name=slot.name,
            prompt=drawn_prompt,
            negative_prompt=drawn_negative,
            seed=_seed(seed, variant),
            width=slot.width,
            height=slot.height,
            steps=child.steps or slot.steps,
            guidance_scale=slot.guidance_scale if child.guidance_scale is None else child.guidance_scale,
            scheduler=child.scheduler or slot.scheduler,
        )
        for variant in range(1, child.variants + 1)
    ]
    return ordering.submit(
        ordering.Order(child, items), created_by=created_by, inline=inline, priority=ordering.INTERACTIVE
    )


@transaction.atomic
def reroll_slots(
    run: BatchGenerationRun,
    positions: Iterable[int],
    *,
    request_key: uuid.UUID | None = None,
    **options,
) -> list[BatchGenerationRun]:
    """Order several rows again, each as :func:`reroll_slot` does; all of them or, where one is refused, none.

    :param request_key: what was ordered with this key already is returned instead of ordered anew.
    :param options: of each, as for :func:`reroll_slot`.
    """
    return [
        make_once(
            BatchGenerationRun,
            request_key and uuid.uuid5(request_key, str(row)),
            reroll_slot,
            run,
            row,
            **options,
        )
        for row in sorted(set(positions))
    ]


@transaction.atomic
def promote(
    run: BatchGenerationRun,
    position: int,
    image: Image | int,
    *,
    variant: int = 1,
    instead_of: int | None = None,
) -> RunItem:
    """Give a candidate the slot's place in the album; the cover follows, all other slots stay as they are.

    :param variant: which of the row's slots, where the run draws several pictures a row.
    :param instead_of: id of the picture that the person saw there; refused if another has come meanwhile.
    :raises SlotConflict: no candidate, in the trash, withdrawn, in another slot, or the album is gone.
    :raises RunItem.DoesNotExist: the run has no such slot.
    """
    root = root_of(run)
    album = _lock_album_of(root)
    slot = RunItem.objects.select_for_update(no_key=True).get(run=root, position=position, variant=variant)
    image_id = image.pk if isinstance(image, Image) else image
    standing = pictures_in([slot])[slot.pk]
    if instead_of is not None and instead_of != standing:
        raise SlotConflict("Somebody has put another picture there meanwhile. Look again, then choose.")
    if image_id == standing and AlbumImage.objects.filter(album=album, image=image_id).exists():
        return slot
    chosen = candidates(root, position).filter(image=image_id).first()
    if chosen is None:
        raise SlotConflict(f"Picture {image_id} was not drawn for row {position} of this run.")
    if chosen.image.retracted_at is not None:
        raise SlotConflict("This picture has been withdrawn; choose another one.")
    if chosen.image.trashed_at is not None:
        raise SlotConflict("This picture is in the trash. Restore it first, or choose another one.")
    if root.items.filter(chosen_image=image_id).exclude(pk=slot.pk).exists():
        raise SlotConflict("Another slot has chosen this picture. Put another one there first.")
    old = Image.objects.filter(pk=standing).exclude(pk=image_id).first()
    slot.run = root
    try:
        replace_image(album, old, chosen.image, position=slot.place)
    except ValueError as error:
        raise SlotConflict(str(error)) from error
    slot.chosen_image = None if chosen.pk == slot.pk else chosen.image
    slot.save(update_fields=["chosen_image"])
    return slot


@transaction.atomic
def discard(run: BatchGenerationRun, position: int, images: Iterable[int]) -> int:
    """Move candidates to the trash, from where they can be restored; return how many.

    :param images: their ids.
    :raises SlotConflict: one is no candidate, or stands in a slot; nothing is discarded then.
    """
    root, wanted = root_of(run), set(images)
    if root.album_id:
        _lock_album_of(root)
    drawn = {item.image_id: item.image for item in candidates(root, position) if item.image_id}
    if strange := sorted(wanted - set(drawn)):
        raise SlotConflict(f"Picture {strange[0]} was not drawn for row {position} of this run.")
    if wanted & set(pictures_in(root.items.filter(position=position)).values()):
        raise SlotConflict("This picture stands in the album. Put another one in its place first.")
    for image_id in sorted(wanted):
        trash_image(drawn[image_id])
    return len(wanted)


def _lock_album_of(root: BatchGenerationRun) -> Album:
    album_id = BatchGenerationRun.objects.values_list("album", flat=True).get(pk=root.pk)
    try:
        return lock_album(Album(pk=album_id))
    except Album.DoesNotExist:
        what = "has been deleted" if root.job.done else "appears with the run's first picture; retry the run"
        raise SlotConflict(f"There is no album to put it into: it {what}.") from None


def _seed(first: int | None, variant: int) -> int:
    if first is None:
        return secrets.randbelow(limits.MAX_SEED + 1)
    return item_seed(first, position=1, variant=variant, row_count=1)
