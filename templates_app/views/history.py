"""The history of runs: what was ordered, when, and what became of it."""

from django.views.decorators.http import require_safe

from gallery.models import DiffusionModel, Lora
from gallery.paging import NEWEST_FIRST, page_links
from gallery.serializers import shown_cover
from gallery.tiles import tile
from gallery.views.answers import cut, page
from gallery.visibility import Viewer
from imagineer.jobs.models import JobStatus
from templates_app.filters import RunFilter
from templates_app.models import BatchGenerationRun, BatchTemplate


@require_safe
def run_list(request):
    """Runs, newest first. Whoever may not know a run's words finds it by none of them."""
    viewer = Viewer.from_request(request)
    runs = BatchGenerationRun.objects.for_lists().listed()
    runs = runs.select_related("template_version__template", "album__cover")
    wanted = RunFilter(request.GET, runs, request=request)
    found = cut(request, wanted.qs if wanted.is_valid() else runs.none(), NEWEST_FIRST)
    named = {run.template_version.template_id for run in found.rows if run.template_version}
    shown = BatchTemplate.objects.visible_to(viewer).filter(pk__in=named).values_list("pk", flat=True)
    return page(
        request,
        "templates_app/runs.html",
        viewer,
        rows=[_row(run, viewer) for run in found.rows],
        template_pages=set(shown),
        pages=page_links(request, found),
        given=request.GET,
        is_filtered=any(request.GET.get(name) for name in RunFilter.base_filters),
        problems=wanted.errors,
        statuses=JobStatus.choices,
        templates=BatchTemplate.objects.visible_to(viewer).active().order_by("name")[:500],
        models=DiffusionModel.objects.enabled().order_by("name")[:200],
        loras=Lora.objects.enabled().order_by("name")[:500],
    )


def _row(run: BatchGenerationRun, viewer: Viewer) -> dict:
    tells = run.tells_texts_to(viewer)
    album = run.album if run.album_id and (viewer.is_admin or run.album.is_public) else None
    cover = shown_cover(album, viewer) if album else None
    return {
        "run": run,
        "job": run.job,
        "tells": tells,
        "template": run.template_version.template if tells and run.template_version_id else None,
        "cover": tile(cover, viewer) if cover else None,
        "settled": run.job.done + run.job.failed,
    }
