"""The smaller pictures that pages show. Each is a function of (SHA-256 of the original, spec), so none has a row."""

import io
from dataclasses import dataclass

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from PIL import Image as Pillow
from PIL import ImageCms, ImageFilter, ImageOps

from gallery.storage import open_whole

BLUR_DETAIL = 24  # pixels on the long side: all that a blurred rendition can know of its picture
WEBP_LIMIT = 16383  # pixels on a side
SRGB = ImageCms.createProfile("sRGB")
DECODERS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True)
class Spec:
    name: str
    side: int  # pixels; the picture fits a square of it and is never enlarged
    quality: int
    above: int = 0  # pixels; made only of pictures whose long side is larger

    def key(self, sha256: str) -> str:
        return f"renditions/{self.name}/{sha256[:2]}/{sha256}.webp"


GRID = Spec("grid", 300, 80)
MEDIUM = Spec("medium", 800, 80, above=1024)  # for dense screens; of smaller pictures the large one serves
LARGE = Spec("large", 1600, 85)
BLURRED = Spec("blurred", 300, 60)
FULL = Spec(
    "full", WEBP_LIMIT, 92
)  # what leaves the house instead of a foreign original; made when first asked for
SPECS = {spec.name: spec for spec in (GRID, MEDIUM, LARGE, BLURRED, FULL)}
AT_INGEST = (LARGE, MEDIUM, GRID, BLURRED)


def size_in(spec: Spec, width: int, height: int) -> tuple[int, int]:
    """Pixels of the rendition of a picture of this size; the blurred one is enlarged to fill its square."""
    scale = spec.side / max(width, height)
    if spec is not BLURRED:
        scale = min(1, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def decode(data: bytes, *, side: int) -> tuple[Pillow.Image, bool]:
    """The first frame, upright, in sRGB, as RGB or RGBA and fitting a square of ``side`` pixels; and whether it lay
    on its side.

    Whole files are read, so a truncated one raises; big JPEGs are decoded at a fraction of their size.

    :raises Exception: whatever Pillow raises at a broken file, which is not one family of errors.
    """
    picture = Pillow.open(io.BytesIO(data), formats=DECODERS)
    picture.draft(None, (side, side))
    picture.load()
    profile = picture.info.get("icc_profile")
    orientation = orientation_of(picture)
    picture = flatten_mode(reduce_to(picture, side), profile)
    if orientation in TURNS:  # exif_transpose() would parse the metadata again and carry it on
        picture = picture.transpose(TURNS[orientation])
    picture.info = {}
    return picture, orientation >= LYING


TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
LYING = 5  # this orientation and those after it exchange width and height
EXIF_ORIENTATION = 0x0112


def orientation_of(picture: Pillow.Image) -> int:
    """1 to 8 as in EXIF; 1 where the metadata cannot be read."""
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  hostile metadata breaks Pillow's parser in many ways; the picture is fine
        return 1
    return orientation if orientation in TURNS else 1


def reduce_to(picture: Pillow.Image, side: int) -> Pillow.Image:
    if max(picture.size) <= side:
        return picture
    if picture.mode == "P":  # colours of a palette cannot be averaged
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return ImageOps.contain(picture, (side, side), Pillow.Resampling.LANCZOS)


def flatten_mode(picture: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """As RGB or RGBA in sRGB."""
    if picture.mode.startswith("I"):  # 16 bits a sample; a plain convert() would clip at 255
        picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if profile and picture.mode in {"RGB", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile: the colours are taken as they are
    has_alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    return picture.convert("RGBA" if has_alpha else "RGB")


def render(picture: Pillow.Image, spec: Spec) -> bytes:
    """WebP bytes of the rendition, without metadata."""
    picture = blur(picture) if spec is BLURRED else reduce_to(picture, spec.side)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=spec.quality, method=4, exif=b"", xmp=b"", icc_profile=b"")
    return buffer.getvalue()


def blur(picture: Pillow.Image) -> Pillow.Image:
    """Colours and nothing else: no detail finer than a 24th of the long side is in the result."""
    size = size_in(BLURRED, *picture.size)
    small = ImageOps.contain(picture.convert("RGB"), (BLUR_DETAIL, BLUR_DETAIL), Pillow.Resampling.BOX)
    return small.resize(size, Pillow.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(8))


def render_all(picture: Pillow.Image) -> dict[Spec, bytes]:
    """The renditions that every picture has, each made from the next larger one."""
    large = reduce_to(picture, LARGE.side)
    medium = reduce_to(large, MEDIUM.side)
    grid = reduce_to(medium, GRID.side)
    made = {LARGE: render(large, LARGE), GRID: render(grid, GRID), BLURRED: render(grid, BLURRED)}
    if MEDIUM in expected(*picture.size):
        made[MEDIUM] = render(medium, MEDIUM)
    return made


def expected(width: int, height: int) -> list[Spec]:
    """The renditions that a picture of this size has from the beginning."""
    return [spec for spec in AT_INGEST if max(width, height) > spec.above]


def store(sha256: str, renditions: dict[Spec, bytes]) -> None:
    for spec, data in renditions.items():
        default_storage.save(spec.key(sha256), ContentFile(data))


def rebuild(image, specs=AT_INGEST) -> None:
    """Make renditions again from the stored original.

    :raises FileNotFoundError: the original is lost or damaged.
    """
    with open_whole(image.file.name, image.file_size) as file:
        data = file.read()
    if FULL in specs:
        store(image.sha256, {FULL: render(decode(data, side=FULL.side)[0], FULL)})
    if set(specs) - {FULL}:
        # the same steps as at ingest, so that the bytes are the same too
        made = render_all(decode(data, side=LARGE.side)[0])
        store(image.sha256, {spec: data for spec, data in made.items() if spec in specs})


def open_rendition(image, name: str) -> File:
    """The stored rendition, made again if it is not there or empty.

    :raises FileNotFoundError: neither it nor the original is there and whole.
    """
    spec = SPECS[name]
    key = spec.key(image.sha256)
    try:
        return open_whole(key)
    except FileNotFoundError:
        rebuild(image, [spec])
        return open_whole(key)
