"""What the pages share: how one is answered, and how its list is cut."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from gallery.models import Album
from gallery.origins import describe_all
from gallery.paging import Page, cut_page
from gallery.serializers import shown_cover
from gallery.tiles import tile
from gallery.visibility import Viewer

PER_PAGE = 60


def page(
    request: HttpRequest, template: str, viewer: Viewer, /, *, status: int = 200, **context
) -> HttpResponse:
    response = render(request, template, context | {"viewer": viewer, "status": status}, status=status)
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
            "is_labelled": getattr(album, "is_labelled", False),
            "origin": origins.get((album.source_type, album.source_id)),
        }
        for album, cover in zip(albums, covers, strict=True)
    ]
