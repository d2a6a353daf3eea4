"""Home and the lists of albums."""

from django.views.decorators.http import require_safe

from gallery.models import Album, Image, SourceType
from gallery.paging import NEWEST_FIRST, page_links
from gallery.tiles import tile
from gallery.views.answers import cards, cut, page
from gallery.visibility import Viewer

ALBUMS_ON_HOME = 6


@require_safe
def home(request):
    viewer = Viewer.from_request(request)
    found = cut(request, Image.objects.listed_for(viewer), NEWEST_FIRST)
    is_first = found.previous is None
    latest = Album.objects.visible_to(viewer).for_lists(viewer).filter(image_count__gt=0)
    latest = list(latest[:ALBUMS_ON_HOME]) if is_first else []
    return page(
        request,
        "gallery/home.html",
        viewer,
        cards=cards(latest, viewer),
        tiles=[tile(image, viewer) for image in found.rows],
        pages=page_links(request, found),
        is_first=is_first,
    )


@require_safe
def albums(request):
    viewer = Viewer.from_request(request)
    queryset = Album.objects.visible_to(viewer).for_lists(viewer)
    source = request.GET.get("source_type")
    if source in SourceType.values:
        queryset = queryset.filter(source_type=source)
    found = cut(request, queryset, NEWEST_FIRST)
    return page(
        request,
        "gallery/albums.html",
        viewer,
        cards=cards(found.rows, viewer),
        pages=page_links(request, found),
        source=source,
        sources=SourceType.choices,
    )
