"""The public pages."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gallery.models import Album, AlbumImage, Image, SourceType
from gallery.origins import describe_all
from gallery.paging import ALBUM_ORDER, NEWEST_FIRST, Page, cut_page, page_links
from gallery.recipes import describe_recipe
from gallery.serializers import shown_cover
from gallery.tiles import tile
from gallery.visibility import AGE_KEY, MODE_KEY, MODES, Gone, Viewer, check_open, may_see_details

ALBUMS_ON_HOME = 6
PER_PAGE = 60


def page(
    request: HttpRequest, template: str, viewer: Viewer, *, status: int = 200, **context
) -> HttpResponse:
    response = render(request, template, context | {"viewer": viewer}, status=status)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def cut(request: HttpRequest, queryset, keys) -> Page:
    """The page that the address asks for; the first one if its cursor is none of ours."""
    cursors = {name: request.GET.get(name) for name in ("after", "before")}
    try:
        return cut_page(queryset, keys, size=PER_PAGE, **cursors)
    except ValueError:
        return cut_page(queryset, keys, size=PER_PAGE)


def cards(albums: list[Album], viewer: Viewer) -> list[dict]:
    origins = describe_all([(album.source_type, album.source_id) for album in albums], viewer)
    covers = [shown_cover(album, viewer) for album in albums]
    return [
        {
            "album": album,
            "cover": cover and tile(cover, viewer),
            "origin": origins.get((album.source_type, album.source_id)),
        }
        for album, cover in zip(albums, covers, strict=True)
    ]


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


@require_safe
def album(request, pk: int):
    viewer = Viewer.from_request(request)
    album = get_object_or_404(Album.objects.visible_to(viewer).for_lists(viewer), pk=pk)
    found = cut(request, Image.objects.listed_for(viewer).in_album_order(album), ALBUM_ORDER)
    source = (album.source_type, album.source_id)
    return page(
        request,
        "gallery/album.html",
        viewer,
        album=album,
        origin=describe_all([source], viewer).get(source),
        tiles=[tile(image, viewer, album_id=album.pk) for image in found.rows],
        pages=page_links(request, found),
    )


@require_safe
def image(request, pk: int):
    viewer = Viewer.from_request(request)
    try:
        image = check_open(Image.objects.select_related("model").filter(pk=pk).first(), viewer)
    except Gone as gone:
        return page(request, "error.html", viewer, status=410, title="Withdrawn", sentence=gone.detail)
    source = (image.source_type, image.source_id)
    is_clear = may_see_details(image, viewer)
    return page(
        request,
        "gallery/image.html",
        viewer,
        image=image,
        tile=tile(image, viewer),
        recipe=describe_recipe(image) if is_clear else [],
        labels=list(image.labels.live()) if is_clear else [],
        albums=list(image.albums.visible_to(viewer).order_by("-pk")[:50]),
        origin=describe_all([source], viewer).get(source),
        neighbours=neighbours(request, image, viewer),
    )


def neighbours(request, image: Image, viewer: Viewer) -> dict:
    """The pictures before and after this one in the album that the address names."""
    number = request.GET.get("album", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return {}
    album = Album.objects.visible_to(viewer).filter(pk=number).first()
    place = album and AlbumImage.objects.filter(album=album, image=image).first()
    if not place:
        return {}
    images = Image.objects.listed_for(viewer).in_album_order(album)
    here = f"{place.position}-{place.pk}"
    before = cut_page(images, ALBUM_ORDER, size=1, before=here).rows
    after = cut_page(images, ALBUM_ORDER, size=1, after=here).rows
    return {
        "album": album,
        "previous": tile(before[0], viewer, album_id=album.pk) if before else None,
        "next": tile(after[0], viewer, album_id=album.pk) if after else None,
    }


@require_http_methods(["GET", "HEAD", "POST"])
def age_confirmation(request):
    """Remember for this session that the viewer is of age, and show restricted pictures from now on."""
    if request.method != "POST":
        return page(
            request,
            "gallery/age_confirmation.html",
            Viewer.from_request(request),
            next=safe_next(request, request.GET.get("next")),
        )
    request.session[AGE_KEY] = True
    request.session[MODE_KEY] = "show"
    return HttpResponseRedirect(safe_next(request, request.POST.get("next")))


@require_POST
def content_filter(request):
    """Remember for this session how restricted pictures are shown; showing them asks for the age first."""
    mode = request.POST.get("nsfw")
    next_url = safe_next(request, request.POST.get("next"))
    viewer = Viewer.from_request(request)
    if mode == "show" and not (viewer.is_of_age or viewer.is_admin):
        response = page(request, "gallery/age_confirmation.html", viewer, next=next_url)
        return response
    if mode in MODES:
        request.session[MODE_KEY] = mode
    return HttpResponseRedirect(next_url)


def safe_next(request, url: str | None) -> str:
    """The address to go on to, if it is one of ours."""
    if url and url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return url
    return reverse("home")
