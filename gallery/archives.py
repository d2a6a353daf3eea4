"""Pictures as a zip file that is written while it is read: it is never whole in memory or on a disk."""

import io
import logging
import re
import unicodedata
import zipfile
from collections.abc import Iterator

from django.core.files.base import File
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header

from gallery.models import Image
from gallery.paging import ALBUM_ORDER, cut_page
from gallery.renditions import BLURRED, FULL, LARGE, MEDIUM, open_rendition
from gallery.storage import open_whole
from gallery.visibility import Viewer, may_leave_as_it_is, may_see_details

logger = logging.getLogger(__name__)

SIZES = {
    "original": "Original files",
    "large": f"Large, up to {LARGE.side} pixels",
    "medium": f"Medium, up to {MEDIUM.side} pixels",
}
AT_ONCE = 20  # pictures read from the database; what is hidden meanwhile is missing from the next ones
CHUNK = 64 * 2**10  # bytes
NAME_LENGTH = 180  # bytes in UTF-8, so that a suffix still fits the 255 of file systems
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # by one system or another
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, as devices


def send_archive(
    request: HttpRequest, images, viewer: Viewer, *, name: str, size: str, is_clear=may_see_details
) -> HttpResponse:
    """The pictures as a download.

    :param images: as ``Image.objects.listed_for(viewer).in_album_order(album)`` gives them.
    :param size: one of ``SIZES``.
    :param is_clear: tells of a picture and the viewer whether it may be shown clear.
    """
    response = StreamingHttpResponse(
        () if request.method == "HEAD" else stream_archive(images, viewer, size=size, is_clear=is_clear),
        content_type="application/zip",
    )
    response.headers["Content-Disposition"] = content_disposition_header(True, f"{safe_name(name)}.zip")
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy that waits for the whole would hold it all
    return response


def stream_archive(images, viewer: Viewer, *, size: str, is_clear=may_see_details) -> Iterator[bytes]:
    """The bytes of a zip with these pictures, each as the viewer sees it: one that they may not see clear is blurred
    and nameless. A picture whose file is lost is left out, and a text at the end counts such."""
    outlet, names, lost, cursor = Outlet(), {}, 0, None
    images = images.select_related("reference_image")
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        while True:
            found = cut_page(images, ALBUM_ORDER, size=AT_ONCE, after=cursor)
            for image in found.rows:
                try:
                    file, name = open_as_seen(image, viewer, size=size, is_clear=is_clear)
                except (OSError, ValueError) as error:
                    logger.error("Picture %s is missing from a zip: %s", image.pk, error)
                    lost += 1
                    continue
                entry = zipfile.ZipInfo(make_unique(name, names), image.created_at.timetuple()[:6])
                entry.external_attr = 0o644 << 16
                with file, archive.open(entry, "w") as target:
                    while data := file.read(CHUNK):
                        target.write(data)
                        yield outlet.take()
            cursor = found.next
            if not cursor:
                break
        if lost:
            text = f"{lost} of the pictures could not be read. The server's log names them.\n"
            archive.writestr(make_unique("Missing pictures.txt", names), text)
    yield outlet.take()


def open_as_seen(image: Image, viewer: Viewer, *, size: str, is_clear) -> tuple[File, str]:
    """The file to send and its name in the archive.

    :raises FileNotFoundError: it is lost or damaged.
    """
    if not is_clear(image, viewer):
        return open_rendition(image, BLURRED.name), "Blurred picture.webp"
    name = safe_name(image.filename.rpartition(".")[0] or image.filename)
    if size == "original":
        if viewer.is_admin or may_leave_as_it_is(image):
            file = open_whole(image.file.name, image.file_size)
            return file, f"{name}.{image.file.name.rpartition('.')[2]}"
        spec = FULL  # without what its maker left in it
    else:
        spec = MEDIUM if size == MEDIUM.name and max(image.width, image.height) > MEDIUM.above else LARGE
    return open_rendition(image, spec.name), f"{name}.webp"


class Outlet(io.RawIOBase):
    """A file that can only be written, and gives away what has been written to it."""

    def __init__(self):
        self.parts = []

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self.parts)
        self.parts.clear()
        return data


def safe_name(text: str) -> str:
    """The text as a file's name without suffix, on every system."""
    text = unicodedata.normalize("NFC", text)
    # format characters can turn a name around, so that it seems to have another suffix
    text = "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Cs") else sign for sign in text)
    text = " ".join(FORBIDDEN.sub("_", text).split())
    text = text.encode("utf-8", "replace")[:NAME_LENGTH].decode("utf-8", "ignore").strip(" .")
    return f"_{text}" if not text or RESERVED.fullmatch(text) else text


def make_unique(name: str, taken: dict[str, int]) -> str:
    """The name, numbered where it is taken already; systems differ in whether capitals tell names apart."""
    first, (stem, _, suffix) = name.casefold(), name.rpartition(".")
    while name.casefold() in taken:
        taken[first] += 1
        name = f"{stem} ({taken[first]}).{suffix}"
    taken[name.casefold()] = 1
    return name
