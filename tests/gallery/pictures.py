"""Pictures for the tests."""

import io

from PIL import Image as Pillow
from PIL import ImageDraw


def draw(number: int = 1, *, size=(96, 128), mode="RGB") -> Pillow.Image:
    """A picture with detail, different for each number."""
    picture = Pillow.new(
        "RGB", size, (40 + 37 * number % 200, 90 + 61 * number % 150, 200 - 29 * number % 180)
    )
    pen = ImageDraw.Draw(picture)
    for step in range(0, max(size), 8):
        pen.line((step, 0, size[0] - step, size[1]), fill=(255, (step * number * 7) % 256, (step * 3) % 256))
    pen.ellipse((size[0] // 9, size[1] // 6, size[0] // 9 * 8, size[1] // 6 * 5), outline=(0, 0, 0), width=3)
    pen.text((5, 5), str(number), fill=(255, 255, 255))
    return picture.convert(mode)


def encode(picture: Pillow.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png(number: int = 1, **options) -> bytes:
    return encode(draw(number, **options))
