"""The one door: every picture of any origin comes in here."""

import hashlib
import io
import re
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO

import numpy
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from PIL import Image as Pillow
from PIL import PngImagePlugin

from gallery import renditions
from gallery.models import Image, SourceType
from gallery.ratings import first_rating
from gallery.services import restore_image
from gallery.storage import is_whole

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
FORMATS = {  # the decoded format decides, never a name or a declared type
    "PNG": ("png", "image/png"),
    "JPEG": ("jpg", "image/jpeg"),
    "MPO": ("jpg", "image/jpeg"),  # a JPEG with more pictures behind it, as phones write them
    "WEBP": ("webp", "image/webp"),
    "GIF": ("gif", "image/gif"),
}
# Compressed text chunks may unpack to this much in all; Pillow's own limit is eight times that.
PngImagePlugin.MAX_TEXT_MEMORY = 8 * 2**20


class IngestError(Exception):
    """The picture is not taken in; a sentence for whoever sent it."""


@dataclass(frozen=True)
class PreparedImage:
    """A picture that is stored, with its renditions, and has no row yet."""

    sha256: str
    key: str
    mime_type: str
    width: int  # pixels, upright
    height: int
    file_size: int  # bytes
    phash: int  # signed, 64 bits
    is_own_encoding: bool


@dataclass(frozen=True)
class IngestResult:
    image: Image
    is_new: bool


def ingest_image(source: bytes | BinaryIO, *, pillow: Pillow.Image | None = None, **fields) -> IngestResult:
    """Take a picture in: check, store, describe by a row.

    The same upload or scrape twice is one Image; if it lies in the trash, it comes back. A generated picture
    always gets a row of its own. Fields are those of :func:`create_image`.

    :raises IngestError: it is no picture that we take, with the reason.
    """
    data = read_limited(source)
    if fields["source_type"] != SourceType.BATCH_GENERATION:
        known = find_known(hashlib.sha256(data).hexdigest())
        if known:
            return IngestResult(known, is_new=False)
    prepared = prepare_image(data, pillow=pillow)
    try:
        with transaction.atomic():
            return IngestResult(create_image(prepared, **fields), is_new=True)
    except IntegrityError:  # the same picture came in by another door at this moment
        known = find_known(prepared.sha256)
        if known is None:
            raise
        return IngestResult(known, is_new=False)


def find_known(sha256: str) -> Image | None:
    """The picture of these bytes that was uploaded or scraped before, out of the trash if it was there.

    None if its file is lost or damaged: then storing these bytes mends it.
    """
    image = Image.objects.filter(sha256=sha256).exclude(source_type=SourceType.BATCH_GENERATION).first()
    if image is None or not is_whole(image.file.name, image.file_size):
        return None
    if image.retracted_at:
        raise IngestError("This picture has been retracted here, so it is not taken in again.")
    if image.trashed_at is None:
        return image
    try:
        return restore_image(image)
    except Image.DoesNotExist:  # deleted for good since
        return None


def prepare_image(source: bytes | BinaryIO, *, pillow: Pillow.Image | None = None) -> PreparedImage:
    """Check, decode, hash and store a picture with its renditions; write no row.

    Everything that can go wrong with the picture goes wrong before the first byte is written. If the disk fails
    between two files, the first stays without a row until the sweep: it may be another writer's by then.

    :param pillow: the decoded picture, beside bytes that our own encoder made from it; it is not decoded again.
    :raises IngestError: it is no picture that we take, with the reason.
    :raises OSError: the storage cannot be written to.
    """
    data = read_limited(source)
    extension, mime_type, (width, height) = read_header(data)
    if pillow is None:
        picture, is_lying = decode(data)
        if is_lying:
            width, height = height, width
    elif pillow.size == (width, height):
        picture = renditions.flatten_mode(pillow, None)
    else:
        raise ValueError(f"The picture is {pillow.size}, its bytes say {(width, height)}.")
    sha256 = hashlib.sha256(data).hexdigest()
    smaller = renditions.render_all(picture)
    prepared = PreparedImage(
        sha256=sha256,
        key=f"originals/{sha256[:2]}/{sha256[2:4]}/{sha256}.{extension}",
        mime_type=mime_type,
        width=width,
        height=height,
        file_size=len(data),
        phash=perceptual_hash(picture),
        is_own_encoding=pillow is not None,
    )
    default_storage.save(prepared.key, ContentFile(data))
    renditions.store(sha256, smaller)
    return prepared


def create_image(
    prepared: PreparedImage,
    *,
    source_type: str,
    source_id: int | None = None,
    filename: str = "",
    created_by=None,
    prompt: str = "",
    negative_prompt: str = "",
    generation_params: dict | None = None,
    model=None,
    reference_image: Image | None = None,
    rating: str | None = None,
) -> Image:
    """The row of a prepared picture; belongs into the caller's short transaction. Not public until an album is.

    :param rating: what a curator has declared for all pictures of this kind.
    :raises IntegrityError: the same bytes were uploaded or scraped before.
    """
    return Image.objects.create(
        sha256=prepared.sha256,
        file=prepared.key,
        filename=clean_filename(filename, prepared),
        mime_type=prepared.mime_type,
        width=prepared.width,
        height=prepared.height,
        file_size=prepared.file_size,
        phash=prepared.phash,
        is_own_encoding=prepared.is_own_encoding,
        source_type=source_type,
        source_id=source_id,
        created_by=created_by,
        prompt=clean_text(prompt),
        negative_prompt=clean_text(negative_prompt),
        generation_params=generation_params or {},
        model=model,
        reference_image=reference_image,
        **first_rating(declared=rating, model=model, reference_image=reference_image),
    )


def read_limited(source: bytes | BinaryIO) -> bytes:
    data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
    if not data:
        raise IngestError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise IngestError(f"The file is larger than {MAX_BYTES // 2**20} MiB; send a smaller copy.")
    return data


def read_header(data: bytes) -> tuple[str, str, tuple[int, int]]:
    """File extension, MIME type and size in pixels as stored, from the header alone."""
    try:
        with Pillow.open(io.BytesIO(data), formats=renditions.DECODERS) as header:
            width, height = header.size
            if width * height <= MAX_PIXELS:
                return *FORMATS[header.format], (width, height)
    except Pillow.DecompressionBombError:
        width = height = None
    except Exception as error:  # Pillow raises a dozen kinds at broken files, and new ones with every release
        raise IngestError("This is not a PNG, JPEG, WebP or GIF picture, or it is damaged.") from error
    size = f" ({width} × {height})" if width else ""
    raise IngestError(
        f"The picture has more than {MAX_PIXELS // 10**6} megapixels{size}; send a smaller copy."
    )


def decode(data: bytes) -> tuple[Pillow.Image, bool]:
    try:
        return renditions.decode(data, side=renditions.LARGE.side)
    except MemoryError:
        raise
    except Exception as error:
        raise IngestError("The picture is damaged or cut short: it cannot be decoded to its end.") from error


# Rows of the cosine transform that a perceptual hash reads: 8 frequencies over 32 samples
COSINES = numpy.cos(numpy.pi * (2 * numpy.arange(32) + 1)[None] * numpy.arange(8)[:, None] / 64)


def perceptual_hash(picture: Pillow.Image) -> int:
    """pHash as of ImageHash 4.3: 64 signs of low frequencies against their median, as a signed number.

    Equal pictures in other sizes or encodings differ by a few bits, different ones by about 32.
    """
    grey = numpy.asarray(picture.convert("L").resize((32, 32), Pillow.Resampling.LANCZOS), numpy.float32)
    frequencies = COSINES @ grey @ COSINES.T
    bits = numpy.packbits(frequencies > numpy.median(frequencies))
    return int.from_bytes(bits.tobytes(), "big", signed=True)


def clean_filename(name: str, prepared: PreparedImage) -> str:
    """A name to show and to offer for downloads: no folder, no control or direction signs, the true extension."""
    extension = prepared.key.rpartition(".")[2]
    name = unicodedata.normalize("NFC", clean_text(name))
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(sign for sign in name if unicodedata.category(sign)[0] not in "CZ" or sign == " ")
    stem, dot, ending = name.strip().rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,5}", ending):
        stem = name
    return f"{stem.strip(' .')[:200] or prepared.sha256[:16]}.{extension}"


def clean_text(text: str) -> str:
    """Without NULs and lone surrogates, which databases refuse."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
