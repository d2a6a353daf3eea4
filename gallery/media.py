"""Bytes of pictures, past the gate."""

import logging

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from gallery.models import Image
from gallery.renditions import FULL, SPECS, open_rendition
from gallery.visibility import Gone, Viewer, check_open, is_open_to_all, may_see_details, rendition_for

logger = logging.getLogger(__name__)

FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "private, no-cache"
COLUMNS = [
    "id",
    "sha256",
    "file",
    "filename",
    "mime_type",
    "rating",
    "is_public",
    "trashed_at",
    "retracted_at",
    "is_own_encoding",
]


@require_safe
def media(request: HttpRequest, pk: int, spec: str, sha: str) -> HttpResponse:
    """A rendition at an address that is named by content."""
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
    if spec not in SPECS or not image.sha256.startswith(sha):
        raise Http404
    return send_rendition(request, image, rendition_for(image, viewer, spec), is_named_by_content=True)


def withdrawn() -> HttpResponse:
    return harden(HttpResponse(Gone.default_detail, status=410, content_type="text/plain"))


def send_rendition(
    request: HttpRequest, image: Image, name: str, *, is_named_by_content: bool = False
) -> HttpResponse:
    """:raises Http404: the file is lost."""
    for_ever = is_named_by_content and is_open_to_all(image)
    return send(
        request,
        lambda: open_rendition(image, name),
        etag=f'"{name}-{image.sha256[:16]}"',
        cache=FOR_EVER if for_ever else ASK_EACH_TIME,
        content_type="image/webp",
    )


def send_original(request: HttpRequest, image: Image, viewer: Viewer) -> HttpResponse:
    """The file as a download: for the public a foreign one only re-encoded, without what its maker left in it.

    :raises Http404: the viewer may not see it clear, or the file is lost.
    """
    if not may_see_details(image, viewer):
        raise Http404
    if viewer.is_admin or image.is_own_encoding:
        return send(
            request,
            lambda: image.file.storage.open(image.file.name),
            etag=f'"original-{image.sha256[:16]}"',
            content_type=image.mime_type,
            filename=image.filename,
        )
    return send(
        request,
        lambda: open_rendition(image, FULL.name),
        etag=f'"{FULL.name}-{image.sha256[:16]}"',
        content_type="image/webp",
        filename=f"{image.filename.rpartition('.')[0]}.webp",
    )


def send(request, open_file, *, etag, content_type, cache=ASK_EACH_TIME, filename="") -> HttpResponse:
    headers = {"Cache-Control": cache, "ETag": etag}
    unchanged = get_conditional_response(request, etag=etag, response=HttpResponse(headers=headers))
    if unchanged.status_code != 200:
        return harden(unchanged)
    try:
        file = open_file()
    except FileNotFoundError as error:
        logger.error("The file of %s is lost: %s", request.path, error)
        raise Http404 from error
    return harden(
        FileResponse(
            file, content_type=content_type, headers=headers, as_attachment=bool(filename), filename=filename
        )
    )


def harden(response: HttpResponse) -> HttpResponse:
    """Whatever the bytes are, a browser takes them for a picture and nothing else."""
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
