import hashlib
import io
import os
import random
import struct
import zlib

import pytest
from django.core.files.storage import default_storage
from PIL import Image as Pillow
from PIL import PngImagePlugin

from gallery.ingest import IngestError, create_image, ingest_image, prepare_image
from gallery.models import Image
from gallery.renditions import AT_INGEST, GRID, LARGE, MEDIUM
from gallery.services import retract_image, trash_image
from gallery.storage import ContentStorage
from tests.gallery.pictures import draw, encode, png

pytestmark = pytest.mark.django_db


def take(data, **fields):
    return ingest_image(data, **{"source_type": "manual"} | fields)


def stored_files(tmp_path):
    return [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


# ---- What comes in


@pytest.mark.parametrize(
    ("format", "mode", "mime_type", "extension"),
    [
        ("PNG", "RGB", "image/png", "png"),
        ("PNG", "RGBA", "image/png", "png"),
        ("PNG", "P", "image/png", "png"),
        ("PNG", "L", "image/png", "png"),
        ("PNG", "1", "image/png", "png"),
        ("JPEG", "RGB", "image/jpeg", "jpg"),
        ("JPEG", "L", "image/jpeg", "jpg"),
        ("JPEG", "CMYK", "image/jpeg", "jpg"),
        ("WEBP", "RGB", "image/webp", "webp"),
        ("GIF", "P", "image/gif", "gif"),
    ],
)
def test_a_picture_of_each_kind_comes_in_whole(format, mode, mime_type, extension):
    data = encode(draw(mode=mode), format)
    image = take(data, filename="name").image
    sha256 = hashlib.sha256(data).hexdigest()
    assert (image.sha256, image.mime_type, image.width, image.height) == (sha256, mime_type, 96, 128)
    assert image.file.name == f"originals/{sha256[:2]}/{sha256[2:4]}/{sha256}.{extension}"
    assert image.file.read() == data and image.file_size == len(data)
    for spec in (LARGE, GRID):
        rendition = Pillow.open(default_storage.open(spec.key(sha256)))
        assert rendition.format == "WEBP" and rendition.size == (96, 128)


def test_sixteen_bits_a_sample_are_not_taken_for_white():
    grey = Pillow.new("I;16", (64, 64), 0x8000)
    image = take(encode(grey)).image
    shown = Pillow.open(default_storage.open(GRID.key(image.sha256))).convert("L")
    assert abs(shown.getpixel((32, 32)) - 0x80) < 8


def test_a_photograph_is_turned_upright():
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    picture = Pillow.new("RGB", (200, 100), "red")
    picture.paste("blue", (0, 0, 100, 100))
    image = take(encode(picture, "JPEG", exif=exif)).image
    assert (image.width, image.height) == (100, 200)
    shown = Pillow.open(default_storage.open(GRID.key(image.sha256))).convert("RGB")
    assert shown.size == (100, 200)
    assert shown.getpixel((50, 40))[2] > 200 and shown.getpixel((50, 160))[0] > 200


def test_only_the_first_frame_of_an_animation_is_shown():
    frames = [Pillow.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    for format in ("GIF", "WEBP"):
        image = take(encode(frames[0], format, save_all=True, append_images=frames[1:])).image
        shown = Pillow.open(default_storage.open(GRID.key(image.sha256))).convert("RGB")
        assert shown.getpixel((32, 32))[0] > 200


def test_a_phone_s_picture_with_more_pictures_behind_it_is_a_jpeg():
    data = encode(draw(), "MPO", save_all=True, append_images=[draw(2)])
    image = take(data).image
    assert image.mime_type == "image/jpeg" and image.file.name.endswith(".jpg")


def test_a_big_picture_also_gets_a_copy_for_dense_screens():
    big, small = take(png(size=(1500, 900))).image, take(png(size=(900, 900))).image
    assert default_storage.exists(MEDIUM.key(big.sha256))
    assert not default_storage.exists(MEDIUM.key(small.sha256))


def test_smaller_copies_carry_no_metadata(tmp_path):
    canary = b"canary-5124"
    exif = Pillow.Exif()
    exif[0x010E] = canary.decode()
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", canary.decode())
    for data in (
        encode(draw(1), "JPEG", exif=exif, comment=canary),
        encode(draw(2), "PNG", pnginfo=text),
        encode(draw(3), "WEBP", exif=exif, xmp=canary),
        encode(draw(4), "GIF", comment=canary),
    ):
        assert canary in data
        take(data)
    copies = [path.read_bytes() for path in (tmp_path / "media/renditions").rglob("*.webp")]
    assert len(copies) == 4 * 3
    assert not any(canary in copy for copy in copies)


# ---- What does not


def bomb(width, height) -> bytes:
    """A PNG of this size, one bit a pixel, all black: a few kilobytes that unpack to hundreds of megabytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def lying_header(data: bytes, width: int, height: int) -> bytes:
    """The PNG with another size written into its header."""
    header = struct.pack(">II", width, height) + data[24:29]
    return data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]


def text_bomb() -> bytes:
    text = PngImagePlugin.PngInfo()
    for number in range(40):
        text.add_text(f"k{number}", "x" * 1_000_000, zip=True)
    return encode(draw(), "PNG", pnginfo=text)


def gif_of(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b";"


PNG, JPEG, WEBP, GIF = (encode(draw(size=(300, 300)), format) for format in ("PNG", "JPEG", "WEBP", "GIF"))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HOSTILE = {
    "empty": b"",
    "one byte": b"\x89",
    "only a PNG's signature": PNG[:8],
    "only a JPEG's signature": JPEG[:3],
    "SVG": SVG,
    "SVG behind a PNG's signature": PNG[:8] + SVG,
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "text": b"hello",
    "PDF": b"%PDF-1.7\n1 0 obj<<>>endobj",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x04cos\nsystem\n.",
    "TIFF": encode(draw(), "TIFF"),
    "BMP": encode(draw(), "BMP"),
    "ICO": encode(draw(size=(32, 32)), "ICO"),
    "PPM": encode(draw(), "PPM"),
    "TGA": encode(draw(), "TGA"),
    "JPEG 2000": encode(draw(), "JPEG2000"),
    "AVIF": encode(draw(), "AVIF"),
    "176 megapixels": bomb(13_300, 13_300),
    "51 megapixels": bomb(7_200, 7_200),
    "one pixel high, 60 million wide": lying_header(PNG, 60_000_000, 1),
    "two thousand million pixels": lying_header(PNG, 2**31 - 1, 1),
    "no pixels": lying_header(PNG, 0, 0),
    "no width": lying_header(PNG, 0, 300),
    "a header larger than the data": lying_header(PNG, 3000, 3000),
    "a GIF of four thousand million pixels": gif_of(65535, 65535),
    "a GIF without a frame": gif_of(10, 10),
    "text chunks of 40 MB": text_bomb(),
    "21 MiB": PNG + bytes(21 * 2**20),
    "cut PNG": PNG[: len(PNG) // 2],
    "cut JPEG": JPEG[: len(JPEG) // 2],
    "cut WebP": WEBP[: len(WEBP) // 2],
    "cut GIF": GIF[: len(GIF) // 2],
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_picture_is_refused_with_a_sentence_and_leaves_nothing(data, tmp_path):
    with pytest.raises(IngestError) as refusal:
        take(data, filename="picture.png")
    assert str(refusal.value).endswith(".") and "Error" not in str(refusal.value)
    assert stored_files(tmp_path) == [] and not Image.objects.exists()


def test_bombs_are_refused_by_their_header_before_anything_is_unpacked(monkeypatch):
    def unpack(*_):
        raise AssertionError("a pixel was unpacked")

    data = bomb(13_300, 13_300)
    monkeypatch.setattr(Pillow.Image, "load", unpack)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", unpack)
    with pytest.raises(IngestError, match="megapixels"):
        take(data)


def test_no_damage_to_a_picture_brings_down_more_than_itself(tmp_path):
    """Bytes changed at random: the picture is refused, or it comes in and can be shown; nothing else happens."""
    dice = random.Random(20)
    outcomes = set()
    for original in (PNG, JPEG, WEBP, GIF):
        for _ in range(15):
            data = bytearray(original)
            for _ in range(dice.choice([1, 3, 30])):
                data[dice.randrange(len(data))] = dice.randrange(256)
            before = len(stored_files(tmp_path))
            try:
                image = take(bytes(data)).image
            except IngestError:
                outcomes.add("refused")
                assert len(stored_files(tmp_path)) == before
            else:
                outcomes.add("taken")
                assert all(default_storage.exists(spec.key(image.sha256)) for spec in (LARGE, GRID))
    assert outcomes == {"refused", "taken"}


@pytest.mark.parametrize(
    "name", ["photo.png", "photo.PNG", "photo.html", "photo.svg", "photo.jpg.exe", "photo"]
)
def test_the_decoded_format_decides_whatever_the_name_says(name):
    image = take(JPEG, filename=name).image
    assert image.mime_type == "image/jpeg"
    assert image.filename.endswith(".jpg") and image.filename.startswith("photo")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd.png"),
        ("C:\\Users\\ada\\secret.png", "secret.png"),
        ("a\0b\nc\x1b[31m.png", "abc[31m.png"),
        ("\u202egnp.exe", "gnp.png"),
        ("  .hidden.  ", "hidden.png"),
        ("Ace_of_Spades.png", "Ace_of_Spades.png"),
        ("v1.5 final.png", "v1.5 final.png"),
        ("Dr. No", "Dr. No.png"),
        ("кот 🐈.jpeg", "кот 🐈.png"),
        ("x" * 400 + ".png", "x" * 200 + ".png"),
        ("\udcff.png", None),
        ("", None),
        ("...", None),
        ("///", None),
    ],
)
def test_a_name_is_a_label_without_folders_or_tricks(name, clean):
    image = take(PNG, filename=name).image
    assert image.filename == (clean or f"{image.sha256[:16]}.png")


def test_what_a_database_cannot_hold_is_left_out_of_a_prompt():
    assert take(PNG, prompt="a\0 cat \ud800🐈").image.prompt == "a cat 🐈"


# ---- Twice, and at once


def test_the_same_upload_twice_is_one_picture():
    first, second = take(PNG), take(io.BytesIO(PNG), source_type="scrape")
    assert first.is_new and not second.is_new
    assert first.image == second.image and Image.objects.count() == 1


def test_a_generated_picture_always_has_a_row_of_its_own():
    rows = {take(PNG, source_type="batch_generation").image.pk for _ in range(3)}
    rows.add(take(PNG).image.pk)
    assert len(rows) == 4


def test_the_upload_of_a_picture_in_the_trash_brings_it_back(album, take_in):
    image = take_in(album=album)
    trash_image(image)
    again = take(png(1))
    assert again.image == image and again.image.trashed_at is None and again.image.is_public


def test_a_retracted_picture_is_not_taken_in_again(take_in):
    retract_image(take_in())
    with pytest.raises(IngestError, match="retracted"):
        take(png(1))


def test_a_lost_file_is_mended_by_the_next_upload(take_in):
    image = take_in()
    default_storage.delete(image.file.name)
    again = take(png(1))
    assert not again.is_new and again.image == image and default_storage.exists(image.file.name)


@pytest.mark.parametrize("size", [0, 9])
def test_a_file_that_was_cut_short_is_put_back_by_the_next_upload(take_in, size):
    image = take_in()
    os.truncate(default_storage.path(image.file.name), size)
    again = take(png(1))
    assert not again.is_new and again.image == image
    assert default_storage.open(image.file.name).read() == png(1)


class OvertakenStorage(ContentStorage):
    """While one upload is being stored, another of the same picture is taken in."""

    def save(self, name, content, max_length=None):
        if not Image.objects.exists():
            create_image(REMEMBERED["prepared"], source_type="scrape")
        return super().save(name, content, max_length)


REMEMBERED = {}


def test_two_uploads_of_one_picture_at_once_make_one_row(settings):
    REMEMBERED["prepared"] = prepare_image(PNG)
    backend = f"{OvertakenStorage.__module__}.{OvertakenStorage.__name__}"
    settings.STORAGES = settings.STORAGES | {"default": settings.STORAGES["default"] | {"BACKEND": backend}}
    result = take(PNG)
    assert not result.is_new and result.image.source_type == "scrape"
    assert Image.objects.count() == 1


# ---- When something fails


def test_preparing_writes_no_row_and_creating_writes_no_file(tmp_path, django_assert_num_queries):
    with django_assert_num_queries(1):  # whether the library is new: there is no folder yet
        prepared = prepare_image(PNG)
    before = {path: path.stat().st_mtime_ns for path in stored_files(tmp_path)}
    assert len(before) == 1 + len([spec for spec in AT_INGEST if spec is not MEDIUM])
    with django_assert_num_queries(1):
        create_image(prepared, source_type="manual")
    assert {path: path.stat().st_mtime_ns for path in stored_files(tmp_path)} == before


def test_a_disk_that_is_full_leaves_no_row_and_no_half_file(tmp_path, disk_that_holds):
    noise = encode(Pillow.effect_noise((400, 400), 100))
    with disk_that_holds(len(noise) // 2), pytest.raises(OSError):
        take(noise)
    assert stored_files(tmp_path) == [] and not Image.objects.exists()
    assert take(noise).is_new


def test_a_picture_beside_bytes_that_are_not_its_own_is_refused():
    with pytest.raises(ValueError):
        prepare_image(PNG, pillow=draw(size=(10, 10)))


def test_what_our_encoder_hands_over_is_not_decoded_again(monkeypatch):
    picture = draw()
    data = encode(picture)
    expected = prepare_image(data)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    prepared = prepare_image(data, pillow=picture)
    assert prepared.is_own_encoding and not expected.is_own_encoding
    assert (prepared.sha256, prepared.phash) == (expected.sha256, expected.phash)


# ---- Perceptual hash


def distance(a: int, b: int) -> int:
    return ((a ^ b) & (2**64 - 1)).bit_count()


def test_the_perceptual_hash_knows_a_picture_in_another_size_and_encoding():
    picture, another = (
        Pillow.effect_noise((9, 12), 120).resize((600, 800), Pillow.BICUBIC) for _ in range(2)
    )
    original = prepare_image(encode(picture)).phash
    smaller = prepare_image(encode(picture.resize((300, 400)), "JPEG", quality=60)).phash
    other = prepare_image(encode(another)).phash
    assert -(2**63) <= original < 2**63
    assert distance(original, smaller) <= 6 < 12 < distance(original, other)
