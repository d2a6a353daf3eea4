"""The page of a run: how far it is, its slots with what stands in them, and what it was ordered with."""

from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Avg, Count, Sum
from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.models import Image
from gallery.paging import cut_page, page_links
from gallery.tiles import Tile, tile
from gallery.views.answers import page
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.jobs import runner
from imagineer.jobs.models import JobStatus
from templates_app import ordering
from templates_app.estimates import Span, remaining_seconds
from templates_app.models import BatchGenerationRun, BatchTemplate, RunItem
from templates_app.serializers.runs import FAILED_FOR_THE_PUBLIC
from templates_app.slots import pictures_in
from templates_app.views.access import admin_page

SLOTS = 60  # a page
SLOT_ORDER = ("position", "variant")


@dataclass(frozen=True)
class Slot:
    """One item of a run as a viewer may see it."""

    item: RunItem
    status: str
    name: str  # empty if it is not for this viewer
    tile: Tile | None
    error: str
    has_other: bool  # a picture of a re-roll stands in its place
    candidates: int  # pictures of re-rolls, drawn or on their way


@require_safe
@never_cache
def run_page(request, pk: int):
    """Texts are shown while the album is or will be public; pictures as the gate says."""
    run, viewer, tells_texts = find_run(request, pk)
    cursors = {name: request.GET.get(name) for name in ("after", "before")}
    try:
        found = cut_page(run.items.all(), SLOT_ORDER, size=SLOTS, **cursors)
    except ValueError:
        found = cut_page(run.items.all(), SLOT_ORDER, size=SLOTS)
    version = run.template_version
    return page(
        request,
        "templates_app/run.html",
        viewer,
        run=run,
        job=run.job,
        template=version.template if version and tells_texts else None,
        has_template_page=bool(version)
        and BatchTemplate.objects.visible_to(viewer).filter(pk=version.template_id).exists(),
        is_current=bool(version and version.template.current_id == version.pk),
        has_slots=run.has_own_album and viewer.is_admin,
        album_is_shown=run.album_id and (run.album_is_public or viewer.is_admin),
        state=describe_progress(run, tells_texts=tells_texts),
        tells_texts=tells_texts,
        slots=slots_for(run, found.rows, viewer, tells_texts=tells_texts),
        pages=page_links(request, found),
        times=times_of(run),
        drawn_with=found.rows[0] if found.rows else None,
    )


@require_safe
@never_cache
def run_progress(request, pk: int):
    """What the live bar of the run's page shows."""
    run, _viewer, tells_texts = find_run(request, pk)
    return JsonResponse(describe_progress(run, tells_texts=tells_texts))


@require_POST
@admin_page
def cancel_run(request, pk: int):
    return _act(
        request, pk, lambda run: runner.request_cancel(run.job), "It is cancelled, or stops at its next step."
    )


@require_POST
@admin_page
def retry_run(request, pk: int):
    return _act(request, pk, ordering.retry_run, "It is queued again and makes only what is missing.")


def _act(request, pk: int, service, sentence: str):
    run = find_run(request, pk)[0]
    try:
        service(run)
    except runner.JobConflict as conflict:
        messages.warning(request, str(conflict))
    else:
        messages.success(request, sentence)
    return redirect("run", pk)


def slots_for(
    run: BatchGenerationRun, items: list[RunItem], viewer: Viewer, *, tells_texts: bool
) -> list[Slot]:
    """What these items are to the viewer, in as many queries for one as for sixty."""
    standing = pictures_in(items)
    shown = Image.objects.listed_for(viewer).in_bulk([pk for pk in standing.values() if pk])
    others = {}
    if viewer.is_admin:
        redrawn = RunItem.objects.filter(run__parent=run, position__in={item.position for item in items})
        redrawn = redrawn.filter(image__trashed_at=None).order_by().values_list("position")
        others = dict(redrawn.annotate(number=Count("pk")))
    slots = []
    for item in items:
        image = shown.get(standing[item.pk])
        picture = tile(image, viewer, album_id=run.album_id) if image else None
        # a completed one is named with its picture: what is hidden, trashed or withdrawn is not
        is_told = tells_texts and (
            viewer.is_admin or (not picture.is_blurred if picture else item.status != JobStatus.COMPLETED)
        )
        error = item.error if viewer.is_admin else FAILED_FOR_THE_PUBLIC if item.error else ""
        slots.append(
            Slot(
                item=item,
                status=item.status_under(run.job),
                name=item.name.replace("_", " ") if is_told else "",
                tile=picture,
                error=error if item.status != JobStatus.COMPLETED and is_told else "",
                has_other=item.chosen_image_id is not None,
                candidates=others.get(item.position, 0),
            )
        )
    return slots


def times_of(run: BatchGenerationRun) -> dict:
    """Seconds: waited for a worker, spent on drawing, on each picture, and how long it will still take."""
    job = run.job
    drawn = run.items.aggregate(all=Sum("seconds"), each=Avg("seconds"))
    left = remaining_seconds([run.pk])[run.pk] if job.is_active else None
    return {
        "waited": _exactly((job.started_at - job.created_at).total_seconds()) if job.started_at else None,
        "drawn": _exactly(drawn["all"]) if drawn["all"] else None,
        "each": drawn["each"],
        "left": left if left and left.most else None,
    }


def _exactly(seconds: float) -> Span:
    return Span(seconds, seconds)


def describe_progress(run: BatchGenerationRun, *, tells_texts: bool) -> dict:
    job = run.job
    return {
        "status": job.get_status_display(),
        "is_active": job.is_active,
        "done": job.done,
        "failed": job.failed,
        "settled": job.done + job.failed,
        "total": job.total,
        # what a waiting job waits for may name a folder or a host
        "message": job.message if tells_texts and job.status == JobStatus.RUNNING else "",
    }


def find_run(request, pk: int) -> tuple[BatchGenerationRun, Viewer, bool]:
    if pk > MAX_ID:
        raise Http404
    runs = BatchGenerationRun.objects.for_lists().select_related("template_version__template", "parent")
    run = get_object_or_404(runs, pk=pk)
    viewer = Viewer.from_request(request)
    return run, viewer, run.tells_texts_to(viewer)
