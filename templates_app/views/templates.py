"""The public pages of batch templates: what they draw, and what was drawn from them."""

from django.conf import settings
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from gallery.models import Album
from gallery.paging import NEWEST_FIRST, page_links
from gallery.serializers import shown_cover
from gallery.tiles import tile
from gallery.views.answers import cards, cut, page
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.jobs.models import ACTIVE
from templates_app.csv_items import CsvItems
from templates_app.models import BatchGenerationRun, BatchTemplate
from templates_app.previews import example_prompts

ROWS_PER_PAGE = 100
SHOWN_PROMPTS = 3
SHOWN_ALBUMS = 8
SHOWN_RUNS = 5
PARTS = ("base_prompt", "prompt_template", "style_suffix", "example_theme")


@require_safe
def template_list(request):
    """The templates in use, each with the cover of what was drawn from it last."""
    viewer = Viewer.from_request(request)
    templates = BatchTemplate.objects.with_current().visible_to(viewer).active()
    templates = templates.with_latest_album(Album.objects.visible_to(viewer))
    found = cut(request, templates, NEWEST_FIRST)
    albums = Album.objects.select_related("cover").in_bulk(
        [row.album_id for row in found.rows if row.album_id]
    )
    covers = {pk: shown_cover(album, viewer) for pk, album in albums.items()}
    return page(
        request,
        "templates_app/templates.html",
        viewer,
        cards=[
            {"template": template, "cover": (cover := covers.get(template.album_id)) and tile(cover, viewer)}
            for template in found.rows
        ],
        pages=page_links(request, found),
    )


@require_safe
def template_page(request, pk: int):
    """A template: how its prompts are made, its rows, and the albums that were drawn from it."""
    viewer = Viewer.from_request(request)
    if pk > MAX_ID:
        raise Http404
    template = get_object_or_404(BatchTemplate.objects.select_related("current").visible_to(viewer), pk=pk)
    version = template.current
    parts = {name: getattr(version, name) for name in PARTS}
    items = CsvItems(tuple(version.columns), tuple(version.rows))
    here = _page_number(request, version.row_count)
    first = (here - 1) * ROWS_PER_PAGE
    albums = Album.objects.visible_to(viewer).for_lists(viewer).filter(image_count__gt=0)
    albums = albums.filter(generation_run__template_version__template=template)[:SHOWN_ALBUMS]
    runs = BatchGenerationRun.objects.listed().told_to(viewer).filter(template_version__template=template)
    active = runs.for_lists().filter(job__status__in=ACTIVE)[:SHOWN_RUNS]
    return page(
        request,
        "templates_app/template.html",
        viewer,
        template=template,
        version=version,
        examples=example_prompts(items, parts, count=SHOWN_PROMPTS),
        rows=[
            (number, [row[column] for column in items.columns])
            for number, row in enumerate(items.rows[first : first + ROWS_PER_PAGE], first + 1)
        ],
        rows_page={
            "here": here,
            "previous": here - 1,
            "next": here + 1 if first + ROWS_PER_PAGE < version.row_count else None,
            "count": _pages(version.row_count),
        },
        cards=cards(list(albums), viewer),
        active_runs=list(active),
        may_draw=(viewer.is_admin or settings.PUBLIC_GENERATION) and not template.is_archived,
    )


def _pages(row_count: int) -> int:
    return max(1, -(-row_count // ROWS_PER_PAGE))


def _page_number(request, row_count: int) -> int:
    """The page of rows that the address asks for; the nearest there is."""
    asked = request.GET.get("rows", "")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1
    return min(max(1, number), _pages(row_count))
