from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.jobs.models import JobStatus
from templates_app.models import BatchGenerationRun

MAX_SHOWN_ITEMS = 60


@require_safe
@never_cache
def run_page(request, pk: int):
    """A run: how far it is and what it made. Its texts are shown while its album is or will be public."""
    run, viewer, tells_texts = _find(request, pk)
    failed = run.items.filter(status=JobStatus.FAILED).order_by("position", "variant")
    context = {
        "run": run,
        "job": run.job,
        "album_is_shown": run.album_id and (run.album_is_public or viewer.is_admin),
        "state": describe_progress(run, tells_texts=tells_texts),
        "tells_texts": tells_texts,
        "viewer": viewer,
        "failed_items": failed[:MAX_SHOWN_ITEMS] if viewer.is_admin else [],
    }
    return render(request, "templates_app/run.html", context)


@require_safe
@never_cache
def run_progress(request, pk: int):
    """What the live bar of the run's page shows."""
    run, _viewer, tells_texts = _find(request, pk)
    return JsonResponse(describe_progress(run, tells_texts=tells_texts))


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


def _find(request, pk: int) -> tuple[BatchGenerationRun, Viewer, bool]:
    if pk > MAX_ID:
        raise Http404
    run = get_object_or_404(BatchGenerationRun.objects.for_lists(), pk=pk)
    viewer = Viewer.from_request(request)
    return run, viewer, run.tells_texts_to(viewer)
