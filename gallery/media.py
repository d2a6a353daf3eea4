"""Bytes of pictures, past the gate."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from gallery.addresses import content_name, media_url
from gallery.delivery import ASK_EACH_TIME, FOR_EVER, deliver, harden
from gallery.models import Image
from gallery.renditions import BLURRED, FULL, SPECS, rebuild
from gallery.visibility import Gone, Viewer, check_open, is_open_to_all, may_leave_as_it_is, may_see_details

COLUMNS = [
    "id",
    "sha256",
    "file",
    "file_size",
    "filename",
    "mime_type",
    "rating",
    "is_public",
    "trashed_at",
    "retracted_at",
    "is_own_encoding",
]


@require_safe
def media(request: HttpRequest, pk: int, spec: str, name: str) -> HttpResponse:
    """A rendition at an address that is named by content: it never answers with the bytes of another one.

    Who may not see it clear any more, because its rating or their filter has changed since the page was made, is
    sent on to the blurred one, so that the page they have open stays whole.
    """
    image = Image.objects.only(*COLUMNS).filter(pk=pk).first()
    if image and is_open_to_all(image):
        # neither session nor user is looked at: nothing in the answer depends on them
        viewer = Viewer()
    else:
        viewer = Viewer.from_request(request)
        try:
            check_open(image, viewer)
        except Gone:
            return withdrawn()
    if spec not in SPECS or not constant_time_compare(name, content_name(image, spec)):
        raise Http404
    if spec != BLURRED.name and not may_see_details(image, viewer):
        return send_on(media_url(image, BLURRED))
    cache = FOR_EVER if is_open_to_all(image) else ASK_EACH_TIME
    return send_rendition(request, image, spec, cache=cache, may_redirect=spec != BLURRED.name)


def withdrawn() -> HttpResponse:
    return harden(HttpResponse(Gone.default_detail, status=410, content_type="text/plain"))


def send_on(url: str) -> HttpResponse:
    return harden(HttpResponseRedirect(url, headers={"Cache-Control": "private, no-store"}))


def send_rendition(
    request: HttpRequest,
    image: Image,
    spec: str,
    *,
    cache: str = ASK_EACH_TIME,
    filename: str = "",
    may_redirect: bool = False,
) -> HttpResponse:
    """:raises Http404: the file is lost or damaged."""
    return deliver(
        request,
        SPECS[spec].key(image.sha256),
        etag=content_name(image, spec),
        content_type="image/webp",
        cache=cache,
        filename=filename,
        make=lambda: rebuild(image, [SPECS[spec]]),
        may_redirect=may_redirect,
    )


def send_original(
    request: HttpRequest, image: Image, *, is_admin: bool, may_redirect: bool = False
) -> HttpResponse:
    """The file as a download: for the public only re-encoded, unless it tells nothing but what it shows.

    :raises Http404: the file is lost or damaged.
    """
    if is_admin or may_leave_as_it_is(image):
        return deliver(
            request,
            image.file.name,
            size=image.file_size,
            etag=content_name(image, "original"),
            content_type=image.mime_type,
            filename=image.filename,
            may_redirect=may_redirect,
        )
    return send_rendition(
        request,
        image,
        FULL.name,
        filename=f"{image.filename.rpartition('.')[0]}.webp",
        may_redirect=may_redirect,
    )
