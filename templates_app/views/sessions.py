"""The pages of sessions, for admins: the list, a new one, the tree with its current step."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Q, Subquery
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gallery.models import Album, Image
from gallery.paging import NEWEST_FIRST, cut_page, page_links
from gallery.tiles import tile
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.jobs import runner
from imagineer.once import request_key
from templates_app import sessions
from templates_app.drawing_form import SessionForm, StepForm, initial_from
from templates_app.limits import MAX_VARIANTS
from templates_app.models import GenerationSession, GenerationStep, RunItem, SessionStatus
from templates_app.serializers.sessions import items_of
from templates_app.session_tree import lay_out
from templates_app.sessions import SessionConflict
from templates_app.views.access import admin_page

PER_PAGE = 30
OFFERED_ALBUMS = 50


@require_safe
@never_cache
@admin_page
def session_list(request):
    queryset = GenerationSession.objects.with_counts().annotate(
        latest_image=Subquery(
            RunItem.objects.filter(
                run__session_step__session=OuterRef("pk"), image__trashed_at=None, image__retracted_at=None
            )
            .exclude(image=None)
            .order_by("-image")
            .values("image")[:1]
        )
    )
    status = request.GET.get("status")
    if status in SessionStatus.values:
        queryset = queryset.filter(status=status)
    cursors = {name: request.GET.get(name) for name in ("after", "before")}
    try:
        found = cut_page(queryset, NEWEST_FIRST, size=PER_PAGE, **cursors)
    except ValueError:
        found = cut_page(queryset, NEWEST_FIRST, size=PER_PAGE)
    viewer = Viewer.from_request(request)
    images = Image.objects.in_bulk([row.latest_image for row in found.rows if row.latest_image])
    cards = [
        {"session": row, "cover": tile(images[row.latest_image], viewer) if row.latest_image else None}
        for row in found.rows
    ]
    context = {
        "cards": cards,
        "pages": page_links(request, found),
        "status": status,
        "statuses": SessionStatus.choices,
    }
    return render(request, "templates_app/sessions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@admin_page
def session_new(request):
    """Begin from scratch, or from the picture that ``?source=ID`` names."""
    source = find_source(request)
    if request.method == "POST":
        form = SessionForm(request.POST, source=source)
        if form.is_valid():
            session = form.order(
                sessions.start_session,
                source_image=source,
                created_by=request.user,
                request_key=request_key(request),
            )
            if session:
                return redirect(session)
    else:
        of_source = {"prompt": source.prompt, "negative_prompt": source.negative_prompt} if source else {}
        form = SessionForm(
            source=source, initial=of_source | initial_from(request.GET, SessionForm.base_fields)
        )
    shown = source and tile(source, Viewer.from_request(request))
    return render(request, "templates_app/session_new.html", {"form": form, "source": source, "tile": shown})


def find_source(request) -> Image | None:
    number = request.GET.get("source", "")
    if not number:
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Http404
    return get_object_or_404(Image.objects.present(), pk=number)


@require_safe
@never_cache
@admin_page
def session_page(request, pk: int):
    session = find_session(pk)
    step = current_step(session, request.GET.get("step"))
    initial = initial_of(step) | initial_from(request.GET, StepForm.base_fields)
    form = StepForm(source=step.chosen_image, initial=initial | {"image_id": step.chosen_image_id})
    return show(request, session, step, form)


@require_POST
@admin_page
def session_act(request, pk: int, position: int):
    """What the forms of a session's page ask for: one step's pictures, the next step, or the session's end."""
    session = find_session(pk)
    step = current_step(session, str(position))
    do = request.POST.get("do", "")
    try:
        if do == "step" or do == "root":
            return take_step(request, session, step, at_root=do == "root")
        if do not in ACTS:
            raise Http404
        ACTS[do](request, session, step)
    except (SessionConflict, runner.JobConflict) as error:
        messages.error(request, str(error))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(f"{step.get_absolute_url()}{'#next' if do == 'choose' else ''}")


def take_step(request, session, step, *, at_root: bool):
    seen = (
        Image.objects.filter(pk=number_in(request, "image_id")).first()
        if request.POST.get("image_id")
        else None
    )
    source = session.source_image if at_root else seen
    form = StepForm(request.POST, source=source)
    if form.is_valid():
        form.cleaned_data.pop("image_id")
        uses_image = bool(source and form.cleaned_data["use_image"])
        more = {
            "parent": None if at_root else step,
            "image": seen if uses_image and not at_root else None,
            "use_image": uses_image,
            "created_by": request.user,
            "request_key": request_key(request),
        }
        try:
            if taken := form.order(lambda **order: sessions.add_step(session, **order | more)):
                return redirect(taken)
        except SessionConflict as error:
            if not GenerationSession.objects.active().filter(pk=session.pk).exists():
                raise
            form.add_error(None, str(error))  # what is written stays
    return show(request, session, step, form)


def choose(request, session, step):
    image = get_object_or_404(Image, pk=number_in(request, "image"))
    sessions.choose_image(step, image)


def keep(request, session, step):
    album_id = request.POST.get("album", "")
    album = get_object_or_404(Album, pk=number_in(request, "album")) if album_id else None
    album, added = sessions.keep_images(
        step,
        picked(request),
        album=album,
        album_name=request.POST.get("album_name", ""),
        is_public="is_public" in request.POST,
        created_by=request.user,
    )
    state = "public" if album.is_public else "private"
    messages.success(request, f"{counted(added)} kept in {album.name}, which is {state}.")


def discard(request, session, step):
    messages.success(
        request, f"{counted(sessions.discard_images(step, picked(request)))} moved to the trash."
    )


def restore(request, session, step):
    messages.success(request, f"{counted(sessions.restore_images(step, picked(request)))} restored.")


def retry(request, session, step):
    sessions.retry_step(step)


def cancel(request, session, step):
    runner.request_cancel(step.run.job)


def complete(request, session, step):
    sessions.complete_session(session, discard_rest="discard_rest" in request.POST)
    messages.success(request, "The session is completed.")


def abandon(request, session, step):
    sessions.abandon_session(session)
    messages.success(
        request, "The session is abandoned; what it has not kept goes to the trash within minutes."
    )


ACTS = {act.__name__: act for act in (choose, keep, discard, restore, retry, cancel, complete, abandon)}


def show(request, session: GenerationSession, step: GenerationStep, form: StepForm):
    viewer = Viewer.from_request(request)
    items = items_of([step]).get(step.run_id, [])
    job = step.run.job
    alternatives = [
        {
            "item": item,
            "tile": tile(item.image, viewer) if item.image else None,
            "is_chosen": item.image_id is not None and item.image_id == step.chosen_image_id,
            "is_gone": bool(item.image and item.image.is_gone),
            "status": item.status_under(job),
        }
        for item in items
    ]
    from_step = step.parent
    reference = step.run.reference_image
    context = {
        "session": session,
        "step": step,
        "job": job,
        "first": items[0] if items else None,
        "alternatives": alternatives,
        "has_gone": any(alternative["is_gone"] for alternative in alternatives),
        "reference": reference and tile(reference, viewer),
        "from_step": from_step,
        "chosen": step.chosen_image and tile(step.chosen_image, viewer),
        "source": session.source_image and tile(session.source_image, viewer),
        "form": form,
        "tree": tree_of(session, step, viewer),
        "albums": Album.objects.order_by("-pk")[:OFFERED_ALBUMS] if session.is_active else [],
        "settled": job.done + job.failed,
    }
    return render(request, "templates_app/session.html", context)


def tree_of(session: GenerationSession, current: GenerationStep, viewer: Viewer) -> list[dict]:
    """The rows of the tree that are shown, each with its step and a small picture; their number is bounded."""
    parents = dict(session.steps.order_by("position").values_list("pk", "parent"))
    rows = lay_out(parents, current=current.pk)
    first_drawn = RunItem.objects.filter(run=OuterRef("run")).exclude(image=None).order_by("variant")
    steps = (
        GenerationStep.objects.for_lists()
        .filter(pk__in=[row.step for row in rows])
        .select_related("parent", "chosen_image")
        .annotate(
            first_image=Subquery(first_drawn.values("image")[:1]),
            kept=Count(
                "run__items",
                filter=Q(run__items__image__places__isnull=False, run__items__image__trashed_at=None),
                distinct=True,
            ),
        )
        .in_bulk()
    )
    images = Image.objects.in_bulk(
        [step.first_image for step in steps.values() if step.first_image and not step.chosen_image_id]
    )
    shown = []
    for row in rows:
        step = steps[row.step]
        image = step.chosen_image or images.get(step.first_image)
        shown.append(
            {
                "row": row,
                "step": step,
                "job": step.run.job,
                "thumbnail": tile(image, viewer) if image else None,
                "is_current": row.step == current.pk,
                "is_branch": step.parent_id is not None and step.parent.position != step.position - 1,
            }
        )
    return shown


def initial_of(step: GenerationStep) -> dict:
    """The next step's form, filled as the step was drawn."""
    run = step.run
    first = RunItem.objects.filter(run=run).first()
    return {
        "prompt": step.prompt,
        "negative_prompt": run.negative_prompt,
        "model": run.model.name,
        "loras": run.loras,
        "steps": run.steps,
        "guidance_scale": run.guidance_scale,
        "scheduler": run.scheduler,
        "rating": run.rating,
        "variants": run.variants,
        "strength": run.strength,
        "width": first and first.width,
        "height": first and first.height,
    }


def find_session(pk: int) -> GenerationSession:
    sessions_ = GenerationSession.objects.with_counts().select_related("source_image", "album")
    if pk > MAX_ID:
        raise Http404
    return get_object_or_404(sessions_, pk=pk)


def current_step(session: GenerationSession, position: str | None) -> GenerationStep:
    """The step that the address names, else the latest."""
    steps = session.steps.for_lists().select_related(
        "session", "parent", "chosen_image", "run__job", "run__model", "run__reference_image"
    )
    if position:
        if not (position.isascii() and position.isdigit() and len(position) < 10):
            raise Http404
        return get_object_or_404(steps, position=position)
    step = steps.order_by("-position").first()
    if step is None:
        raise Http404
    return step


def picked(request) -> list[int]:
    values = request.POST.getlist("image")[: MAX_VARIANTS + 1]
    return [int(value) for value in values if value.isascii() and value.isdigit() and len(value) < 19]


def number_in(request, name: str) -> int:
    value = request.POST.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Http404
    return int(value)


def counted(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"
