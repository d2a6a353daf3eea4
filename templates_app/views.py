from django.http import JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gallery.visibility import Viewer
from templates_app.models import BatchGenerationRun

MAX_SHOWN_ITEMS = 60


@require_safe
@never_cache
def run_page(request, pk: int):
    """A run: how far it is and what it made. Its texts are shown while its album is or will be public."""
    run = get_object_or_404(BatchGenerationRun.objects.for_lists(), pk=pk)
    viewer = Viewer.from_request(request)
    tells_texts = run.album_is_public or viewer.is_admin
    failed = run.items.filter(status="failed").order_by("position", "variant")[:MAX_SHOWN_ITEMS]
    return render(
        request,
        "templates_app/run.html",
        {
            "run": run,
            "job": run.job,
            "tells_texts": tells_texts,
            "viewer": viewer,
            "failed_items": failed if viewer.is_admin else [],
        },
    )


@require_safe
@never_cache
def run_progress(request, pk: int):
    run = get_object_or_404(BatchGenerationRun.objects.for_lists(), pk=pk)
    tells_texts = run.album_is_public or Viewer.from_request(request).is_admin
    return JsonResponse(describe_progress(run.job, tells_message=tells_texts))
