"""How bytes leave the house: from here, from the proxy in front (IMAGINEER_X_ACCEL), or from a bucket by an address
that holds for two minutes. Whoever calls has passed the gate already."""

import errno
import logging
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

from django.conf import settings
from django.core.cache import caches
from django.core.files import File
from django.core.files.storage import default_storage
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from gallery.storage import is_whole, open_whole

logger = logging.getLogger(__name__)

FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "private, no-cache"
BLOCK = 64 * 2**10  # bytes read at once
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def deliver(
    request: HttpRequest,
    key: str,
    *,
    etag: str,
    content_type: str,
    size: int | None = None,
    cache: str = ASK_EACH_TIME,
    filename: str = "",
    make: Callable[[], None] | None = None,
    may_redirect: bool = False,
) -> HttpResponse:
    """The stored file as an answer: whole, a part of it, or that nothing has changed.

    :param filename: offered as the name of a download; empty: shown in place.
    :param size: bytes that it has while it is whole; None where any number but zero will do.
    :param make: makes the file if it is not there and whole; raises FileNotFoundError where it cannot.
    :param may_redirect: a bucket may send the file itself. The address there holds the SHA-256 of the original, so
        it is for those who may know that.
    :raises Http404: the file is lost or damaged.
    """
    headers = {
        "Cache-Control": cache,
        "ETag": f'"{etag}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition_header(True, filename) if filename else "inline",
    }
    conditional = get_conditional_response(
        request, etag=headers["ETag"], response=HttpResponse(headers=headers)
    )
    if conditional.status_code != 200:
        return harden(conditional)
    try:
        if settings.X_ACCEL:
            find_or_make(is_whole, key, size, make)
            # the proxy sends ETag, length and ranges by itself
            headers["X-Accel-Redirect"] = quote(f"{settings.X_ACCEL}/{key}")
            return harden(HttpResponse(content_type=content_type, headers=headers))
        if may_redirect and hasattr(default_storage, "signed_url"):
            find_or_make(is_there, key, size, make)
            return harden(to_bucket(key, content_type, headers["Content-Disposition"]))
        file = open_or_make(key, size, make)
    except FileNotFoundError as error:
        logger.error("The file %s is lost or damaged: %s", key, error)
        raise Http404 from error
    return harden(answer(request, file, content_type, headers))


def is_there(key: str, size: int | None) -> bool:
    """Asked of the bucket once in ten minutes: each question is a request to another machine."""
    remembered = caches["process"]
    name = f"there:{key}"
    if remembered.get(name):
        return True
    there = is_whole(key, size)
    if there:
        remembered.set(name, True, 600)
    return there


def to_bucket(key: str, content_type: str, disposition: str) -> HttpResponse:
    url = default_storage.signed_url(key, content_type=content_type, disposition=disposition)
    return HttpResponseRedirect(url, headers={"Cache-Control": "private, no-store"})


def find_or_make(is_found: Callable, key: str, size: int | None, make: Callable[[], None] | None) -> None:
    if is_found(key, size):
        return
    if make is None:
        raise FileNotFoundError(errno.ENOENT, "It is not there as it was stored", key)
    make()


def open_or_make(key: str, size: int | None, make: Callable[[], None] | None) -> File:
    try:
        return open_whole(key, size)
    except FileNotFoundError:
        if make is None:
            raise
    make()
    return open_whole(key, size)


def answer(request: HttpRequest, file: File, content_type: str, headers: dict) -> HttpResponse:
    size = file.size
    part = range(size)
    is_current = request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
    if request.method == "GET" and is_current:
        part = find_part(request.headers.get("Range", ""), size)
    if request.method == "HEAD" or not part:
        file.close()
        if part or not size:
            return HttpResponse(content_type=content_type, headers=headers | {"Content-Length": str(size)})
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = headers | {"Content-Length": str(len(part))}
    if len(part) == size:
        response = FileResponse(file, content_type=content_type)
        for name, value in headers.items():  # over Django's own, which name the file by its SHA-256
            response.headers[name] = value
        return response
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response = StreamingHttpResponse(
        read_part(file, part), status=206, content_type=content_type, headers=headers
    )
    response._resource_closers.append(file.close)
    return response


def find_part(header: str, size: int) -> range:
    """The bytes that a Range header asks for: all, where it asks in a way that may be ignored (RFC 9110, 14.2);
    none, where it cannot be satisfied."""
    wanted = ONE_RANGE.fullmatch(header)
    if not wanted or not any(wanted.groups()):
        return range(size)
    first, last = wanted.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return range(size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def read_part(file: File, part: range) -> Iterator[bytes]:
    length = len(part)
    file.seek(part.start)
    while length > 0 and (block := file.read(min(BLOCK, length))):
        length -= len(block)
        yield block


def harden(response: HttpResponse) -> HttpResponse:
    """Whatever the bytes are, a browser takes them for a picture and nothing else."""
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
