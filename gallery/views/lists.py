"""Home, the list of albums, and what else is said about the house."""

from django.views.decorators.http import require_safe

from gallery.models import Album, Image, SourceType
from gallery.paging import NEWEST_FIRST, page_links
from gallery.tiles import tile
from gallery.views.answers import cards, cut, page
from gallery.visibility import Viewer

ALBUMS_ON_HOME = 6
MAX_SEARCH = 200  # characters
SORTS = {  # name in the address: name on the page, order
    "newest": ("Newest", NEWEST_FIRST),
    "oldest": ("Oldest", ("pk",)),
    "name": ("Name", ("sort_name", "pk")),
    "most": ("Most pictures", ("-shown_count", "-pk")),  # never by what the viewer hides
}


@require_safe
def home(request):
    viewer = Viewer.from_request(request)
    # for admins too: what is tried in sessions and re-rolls is private, and would flood what is shown
    published = Image.objects.listed_for(viewer).filter(is_public=True).with_badges(viewer)
    found = cut(request, published, NEWEST_FIRST)
    is_first = found.previous is None
    latest = Album.objects.visible_to(viewer).for_lists(viewer).with_badges(viewer).filter(image_count__gt=0)
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
    queryset = Album.objects.visible_to(viewer).for_lists(viewer).with_badges(viewer)
    source, sort = request.GET.get("source_type"), request.GET.get("sort")
    text = " ".join(request.GET.get("q", "")[:MAX_SEARCH].split())
    is_training = request.GET.get("training") == "1"
    if source in SourceType.values:
        queryset = queryset.filter(source_type=source)
    if is_training:
        queryset = queryset.filter(is_training_source=True)
    if sort == "name":
        queryset = queryset.with_sort_name()
    sort_name, order = SORTS.get(sort, SORTS["newest"])
    found = cut(request, queryset.matching(text), order)
    return page(
        request,
        "gallery/albums.html",
        viewer,
        cards=cards(found.rows, viewer),
        pages=page_links(request, found),
        source=source,
        sources=SourceType.choices,
        text=text,
        is_training=is_training,
        sort=sort if sort in SORTS else "newest",
        sort_name=sort_name,
        sorts=[(value, name) for value, (name, _) in SORTS.items()],
        is_filtered=bool(source in SourceType.values or is_training or text),
    )


@require_safe
def about(request):
    return page(request, "gallery/about.html", Viewer.from_request(request))
