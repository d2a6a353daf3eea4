"""Looking for one picture: sessions, their steps, and what becomes of the alternatives.

Every writer first takes hold of the session's row by a conditional update, so that of two tabs one goes after the
other and neither writes to a session that has ended. Albums are locked before the session, as deleting one does.
"""

from collections.abc import Iterable
from contextlib import suppress

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from gallery.models import Album, AlbumImage, Image, SourceType
from gallery.names import UNTOLD_ALBUM, name_of
from gallery.services import (
    add_images,
    create_album,
    lock_album,
    restore_image,
    trash_image,
    unname_albums,
)
from gallery.weights import find_model
from imagineer.engine.types import ModelError
from imagineer.jobs import runner
from imagineer.jobs.models import Job
from templates_app import limits, ordering
from templates_app.generation_settings import current_settings, size_for
from templates_app.models import EntryType, GenerationSession, GenerationStep, RunItem, SessionStatus

MAX_STEPS = 1_000  # in one session
# What a step takes over from the one it goes on from, unless it is said.
INHERITED = ("negative_prompt", "steps", "guidance_scale", "scheduler", "rating", "loras")


class SessionConflict(Exception):
    """What was asked clashes with the state of the session; the sentence says how."""


def start_session(
    prompt: str,
    *,
    source_image: Image | None = None,
    name: str = "",
    created_by=None,
    request_key=None,
    **options,
) -> GenerationSession:
    """Begin to look for a picture, from scratch or from one that is there, with the first step.

    :param name: the beginning of the prompt if empty.
    :param options: as for :func:`add_step`.
    :raises ValidationError: names each wrong field; nothing is begun then.
    """
    session = GenerationSession(
        name=name.strip() or name_of(prompt),
        entry_type=EntryType.REFINEMENT if source_image else EntryType.SCRATCH,
        source_image=source_image,
        created_by=created_by,
    )
    session.full_clean(exclude=["created_by"])
    try:
        with transaction.atomic():
            if source_image:
                ordering.hold_reference(source_image.pk, field="source_image_id")
            session.save(force_insert=True)
            step = add_step(session, prompt, created_by=created_by, request_key=request_key, **options)
            if step.session_id != session.pk:
                raise IntegrityError("this form was sent before")
    except IntegrityError:
        sent_before = GenerationStep.objects.filter(request_key=request_key).first() if request_key else None
        if sent_before is None:
            raise
        return sent_before.session
    return session


@transaction.atomic
def add_step(
    session: GenerationSession,
    prompt: str,
    *,
    parent: GenerationStep | None = None,
    image: Image | None = None,
    use_image: bool = True,
    created_by=None,
    request_key=None,
    **options,
) -> GenerationStep:
    """Take a step: order alternatives, drawn before all sets.

    It goes on from ``image``, else from the parent's chosen picture, else (at the root) from the session's source.

    :param parent: the step that it goes on from; None begins at the root.
    :param image: an alternative of the parent, which becomes its chosen one.
    :param use_image: False draws from the words alone, whatever is chosen.
    :param request_key: a step that was asked for with this key already is returned instead of a second one.
    :param options: a run's; those of ``INHERITED``, the model and the size are the parent's if they are not given.
    :raises ValidationError: names each wrong field; nothing is queued then.
    :raises SessionConflict: the session has ended or is full, or nothing has been chosen to go on from.
    """
    _hold(session)
    if request_key and (sent_before := GenerationStep.objects.filter(request_key=request_key).first()):
        return sent_before
    last = session.steps.aggregate(last=Max("position"))["last"] or 0
    if last >= MAX_STEPS:
        raise SessionConflict(
            f"A session holds {MAX_STEPS:,} steps, and this one is full. Keep a picture and refine it in a new one."
        )
    if parent is not None and parent.session_id != session.pk:
        raise ValidationError({"parent_id": ["This step belongs to another session."]})
    if image is not None:
        if parent is None:
            raise ValidationError({"image_id": ["An alternative belongs to a step; name it as parent_id."]})
        _choose(parent, image)
    reference = _reference(session, parent) if use_image else None
    if reference is None and options.get("strength") is not None:
        raise ValidationError(
            {"strength": ["The strength says how far to go from a picture; there is none here."]}
        )
    options = _inherit(options, parent, reference)
    if options.get("variants") in (None, ""):
        options["variants"] = current_settings().default_batch_size
    run = ordering.start_single(
        prompt,
        album_name=session.name,
        has_own_album=False,
        is_public=False,
        created_by=created_by,
        reference_image=reference,
        **options,
    )
    return GenerationStep.objects.create(
        session=session, parent=parent, position=last + 1, run=run, request_key=request_key
    )


@transaction.atomic
def choose_image(step: GenerationStep, image: Image | None) -> GenerationStep:
    """Say which alternative is the one to go on from; None takes that back. Steps already taken stay as they are."""
    _hold(step.session)
    _choose(step, image)
    return step


def keep_images(step: GenerationStep, image_ids: Iterable[int], **into) -> tuple[Album, int]:
    """Put alternatives into an album: this one, or a new one of this name; return it and how many came new to it.

    The name of an album that the session has kept pictures in means that album, so that a form sent twice makes
    no second one.

    :param album, album_name: where they go.
    :param is_public: of a new album; one that is there stays as it is.
    :param created_by: of a new album.
    """
    while (kept := _try_to_keep(step, list(image_ids), **into)) is None:
        pass
    return kept


@transaction.atomic
def _try_to_keep(
    step: GenerationStep,
    image_ids: list[int],
    *,
    album: Album | None = None,
    album_name: str = "",
    is_public: bool = True,
    created_by=None,
) -> tuple[Album, int] | None:
    """None if an album of this name came or went before the session was locked: albums are locked before it."""
    session, album_name = step.session, album_name.strip()
    is_named = album is None
    if is_named:
        if is_public and _tells_a_prompt(album_name, _images_of(step, image_ids)):
            album_name = UNTOLD_ALBUM
        album = _album_of(session, album_name)
    if album is not None:
        try:
            lock_album(album)
        except Album.DoesNotExist:
            if is_named:
                return None
            raise ValidationError({"album_id": ["This album has been deleted."]}) from None
    _hold(session)
    if is_named and _album_of(session, album_name) != album:
        return None
    images = _images_of(step, image_ids)
    if gone := [image.pk for image in images if image.is_gone]:
        raise SessionConflict(f"Picture {gone[0]} is in the trash. Restore it before you keep it.")
    if album is None:
        if not album_name:
            raise ValidationError({"album_name": ["Name the album that the pictures go to."]})
        album = create_album(
            name=album_name,
            source_type=SourceType.BATCH_GENERATION,
            is_public=is_public,
            created_by=created_by,
        )
    added = add_images(album, images)
    unname_albums(Album.objects.filter(pk=album.pk))
    GenerationSession.objects.filter(pk=session.pk).update(album=album)
    session.album = album
    return album, added


def _tells_a_prompt(album_name: str, images: list[Image]) -> bool:
    """Whether the name is the prompt of a picture that is not for everybody, as a public album's name is."""
    return any(image.is_restricted and album_name == name_of(image.prompt) for image in images)


def _album_of(session: GenerationSession, name: str) -> Album | None:
    """The album of this name that the session has kept pictures in."""
    is_its = Q(sessions=session) | Q(places__image__run_item__run__session_step__session=session)
    return Album.objects.filter(is_its, name=name).order_by("pk").first()


@transaction.atomic
def discard_images(step: GenerationStep, image_ids: Iterable[int]) -> int:
    """Move alternatives to the trash; return how many were not there yet. A chosen one is chosen no more.

    :raises SessionConflict: one of them is kept, perhaps in another tab since this one was opened.
    """
    _hold(step.session)
    images = [image for image in _images_of(step, image_ids) if not image.is_gone]
    if kept := AlbumImage.objects.filter(image__in=images).select_related("album").first():
        raise SessionConflict(
            f"Picture {kept.image_id} is kept in “{kept.album}”, so nothing was discarded. Its page in the admin can "
            "move it to the trash all the same."
        )
    GenerationStep.objects.filter(pk=step.pk, chosen_image__in=images).update(chosen_image=None)
    for image in images:
        with suppress(Image.DoesNotExist):  # deleted for good since
            trash_image(image)
    step.refresh_from_db(fields=["chosen_image"])
    return len(images)


def restore_images(step: GenerationStep, image_ids: Iterable[int]) -> int:
    """Take alternatives out of the trash again; return how many were there."""
    with transaction.atomic():
        _hold(step.session)
        images = [image for image in _images_of(step, image_ids) if image.trashed_at]
    restored = 0
    for image in images:
        with suppress(Image.DoesNotExist):  # deleted for good since
            restore_image(image)
            restored += 1
    return restored


@transaction.atomic
def retry_step(step: GenerationStep) -> GenerationStep:
    """Draw what a step lacks. :raises imagineer.jobs.runner.JobConflict: there is nothing to try again."""
    _hold(step.session)
    ordering.retry_run(step.run)
    return GenerationStep.objects.for_lists().get(pk=step.pk)


@transaction.atomic
def complete_session(session: GenerationSession, *, discard_rest: bool = False) -> GenerationSession:
    """End a session that has found its picture.

    :param discard_rest: what is not kept goes to the trash, by the tick; else it stays, private.
    :raises SessionConflict: it has ended already, or something is still being drawn.
    """
    _hold(session)
    drawing = session.steps.filter(run__job__in=active_jobs(session)).first()
    if drawing:
        raise SessionConflict(f"{drawing} is still being drawn. Wait for it, or cancel it.")
    return _end(session, SessionStatus.COMPLETED, is_discarding=discard_rest)


@transaction.atomic
def abandon_session(session: GenerationSession) -> GenerationSession:
    """Give a session up: what is being drawn is cancelled, what is not kept goes to the trash by the tick.

    :raises SessionConflict: it has ended already.
    """
    _hold(session)
    for job in active_jobs(session):
        with suppress(runner.JobConflict):
            runner.request_cancel(job)
    return _end(session, SessionStatus.ABANDONED, is_discarding=True)


def check_session_goes_on(job: Job) -> None:
    """:raises imagineer.jobs.runner.JobConflict: the job is a step of a session that has ended."""
    step = GenerationStep.objects.filter(run=job.pk).select_related("session").first()
    if step is None:
        return
    try:
        _hold(step.session)  # who ends it at this moment sees the job, or is seen here
    except SessionConflict as conflict:
        raise runner.JobConflict(
            f"Its session is {step.session.status}, so it draws nothing more."
        ) from conflict


def _hold(session: GenerationSession) -> None:
    """Lock the session's row until the transaction ends. :raises SessionConflict: it has ended."""
    if not GenerationSession.objects.active().filter(pk=session.pk).update(updated_at=timezone.now()):
        session.refresh_from_db()
        raise SessionConflict(f"This session is {session.status}. Refine one of its pictures in a new one.")


def _choose(step: GenerationStep, image: Image | None) -> None:
    if image is not None:
        [image] = _images_of(step, [image.pk], field="image_id")
        if image.is_gone:
            raise SessionConflict(f"Picture {image.pk} is in the trash. Restore it before you choose it.")
    GenerationStep.objects.filter(pk=step.pk).update(chosen_image=image)
    step.chosen_image = image


def _images_of(step: GenerationStep, image_ids: Iterable[int], *, field: str = "image_ids") -> list[Image]:
    ids = list(dict.fromkeys(image_ids))
    if not ids:
        raise ValidationError({field: ["Name one picture of the step at least."]})
    found = Image.objects.filter(pk__in=ids[: limits.MAX_VARIANTS + 1], run_item__run=step.run_id).in_bulk()
    if missing := [pk for pk in ids if pk not in found]:
        raise ValidationError({field: [f"Picture {missing[0]} is no alternative of step {step.position}."]})
    return [found[pk] for pk in ids]


def _reference(session: GenerationSession, parent: GenerationStep | None) -> Image | None:
    """:raises SessionConflict: nothing has been chosen to go on from, or it is gone."""
    if parent is None:
        if session.entry_type == EntryType.REFINEMENT and session.source_image is None:
            raise SessionConflict(
                "The picture that this session refines has been deleted; go on from a step."
            )
        return session.source_image
    parent.refresh_from_db(fields=["chosen_image"])
    if parent.chosen_image is None:
        raise SessionConflict(
            f"Choose an alternative of step {parent.position} to go on from, or draw from the words alone."
        )
    return parent.chosen_image


def _inherit(options: dict, parent: GenerationStep | None, reference: Image | None) -> dict:
    inherited = {}
    size = None
    if parent is not None:
        run = parent.run
        inherited = {name: getattr(run, name) for name in INHERITED} | {"model": run.model.name}
        size = RunItem.objects.filter(run=run).values_list("width", "height").first()
    options = inherited | options
    if not (options.get("width") or options.get("height")):
        if size is None and reference is not None:
            with suppress(ModelError):
                if model := find_model(options.get("model") or ""):
                    size = size_for(model, reference.width, reference.height)
        if size is not None:
            options["width"], options["height"] = size
    return options


def active_jobs(session: GenerationSession):
    return Job.objects.active().filter(generation_run__session_step__session=session)


def _end(session: GenerationSession, status: SessionStatus, *, is_discarding: bool) -> GenerationSession:
    GenerationSession.objects.filter(pk=session.pk).update(
        status=status, completed_at=timezone.now(), is_discarding=is_discarding
    )
    session.refresh_from_db()
    return session
