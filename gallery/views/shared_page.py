"""What a shared link opens, below ``/s/{key}``: its picture or its album, and nothing else.

Each request finds the link again, so that revoking it ends everything at once.
"""

from functools import wraps

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from gallery import media
from gallery.archives import SIZES, send_archive
from gallery.models import Image, SharedLink
from gallery.paging import ALBUM_ORDER, page_links
from gallery.recipes import describe_recipe
from gallery.renditions import BLURRED, FULL, SPECS, Spec
from gallery.sharing import images_named_by, record_use
from gallery.tiles import Tile, build_tile
from gallery.views.answers import cut, page
from gallery.visibility import Gone, Viewer, sees_clear


def opened_by_key(view):
    """Find the live link of the key, and keep its address to whoever has it: no other site learns it by Referer,
    no search engine lists it. Whatever is not there answers alike."""

    @require_safe
    @wraps(view)
    def find_link(request: HttpRequest, key: str, **parameters) -> HttpResponse:
        request.shared_key = key
        link = SharedLink.objects.find(key)
        try:
            if link is None:
                raise Http404
            response = view(request, link, **parameters)
        except Http404:
            response = shared_page(request, "missing", status=404)
        except Gone as gone:
            response = shared_page(request, "missing", status=410, sentence=gone.detail)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return find_link


def shared_page(request, name: str, **context) -> HttpResponse:
    return page(request, f"gallery/shared/{name}.html", Viewer.from_request(request), **context)


def find_image(link: SharedLink, pk: int) -> Image:
    """:raises Http404: the link does not name it, or it is in the trash. :raises Gone: it has been withdrawn."""
    image = images_named_by(link).filter(pk=pk).first()
    if image is None or (image.is_gone and image.retracted_at is None):
        raise Http404
    if image.is_gone:
        raise Gone
    return image


def shared_url(key: str, image: Image, spec: Spec) -> str:
    return f"/s/{key}/media/{image.pk}/{spec.name}.webp"


def shared_tile(image: Image, viewer: Viewer, key: str) -> Tile:
    return build_tile(
        image,
        is_clear=sees_clear(image, viewer),
        url=f"/s/{key}/images/{image.pk}",
        address=lambda image, spec: shared_url(key, image, spec),
    )


@opened_by_key
def shared(request, link):
    record_use(link)
    if link.image_id is not None:
        return picture(request, find_image(link, link.image_id))
    viewer = Viewer.from_request(request)
    named = images_named_by(link).present()
    found = cut(request, named.kept_by_filter(viewer), ALBUM_ORDER)
    return shared_page(
        request,
        "album",
        album=link.album,
        tiles=[shared_tile(image, viewer, request.shared_key) for image in found.rows],
        pages=page_links(request, found),
        key=request.shared_key,
        sizes=SIZES,
        count=named.kept_by_filter(viewer).count(),
        is_filtered=viewer.hides and named.exists(),
    )


@opened_by_key
def shared_image(request, link, pk: int):
    return picture(request, find_image(link, pk), album=link.album)


def picture(request, image: Image, album=None) -> HttpResponse:
    viewer = Viewer.from_request(request)
    return shared_page(
        request,
        "image",
        image=image,
        album=album,
        key=request.shared_key,
        tile=shared_tile(image, viewer, request.shared_key),
        recipe=describe_recipe(image) if sees_clear(image, viewer) else [],
    )


@opened_by_key
def shared_media(request, link, pk: int, spec: str):
    image = find_image(link, pk)
    if spec not in SPECS or spec == FULL.name:
        raise Http404
    if spec != BLURRED.name and not sees_clear(image, Viewer.from_request(request)):
        return media.send_on(shared_url(request.shared_key, image, BLURRED))
    return media.send_rendition(request, image, spec)


@opened_by_key
def shared_file(request, link, pk: int):
    image = find_image(link, pk)
    if not sees_clear(image, Viewer.from_request(request)):
        raise Http404
    return media.send_original(request, image, is_admin=False)


@opened_by_key
def shared_download(request, link):
    """The pictures of a shared album as a zip, in the size that ``?size=`` names."""
    size = request.GET.get("size", "large")
    if link.album_id is None or size not in SIZES:
        raise Http404
    viewer = Viewer.from_request(request)
    images = images_named_by(link).present().kept_by_filter(viewer)
    return send_archive(request, images, viewer, name=link.album.name, size=size, is_clear=sees_clear)
