"""Drawing styles: each turns one cut-out drawing into a finished picture, by image filters alone.

All arrays are float32 in 0..1; a picture is (height, width, 3), an alpha mask (height, width, 1), a colour (3,).
"""

import numpy as np
from PIL import Image, ImageFilter

COLOURS = {
    "red": (220, 40, 45),
    "orange": (245, 140, 35),
    "yellow": (250, 212, 55),
    "green": (50, 165, 75),
    "teal": (25, 155, 160),
    "blue": (45, 100, 220),
    "purple": (130, 60, 190),
    "pink": (245, 135, 185),
    "white": (246, 246, 246),
    "black": (24, 24, 30),
}  # fmt: skip
COLOUR_WORDS = {
    "red": "crimson scarlet",
    "orange": "amber",
    "yellow": "lemon-yellow",
    "green": "emerald",
    "teal": "turquoise cyan",
    "blue": "azure navy",
    "purple": "violet lilac",
    "pink": "rose-coloured magenta",
    "white": "ivory",
    "black": "ebony",
}  # fmt: skip
STYLES = {
    "flat": ("flat", "flat design", "emoji", "minimal", "simple", "cartoon", "vector"),
    "outline": ("outline", "line art", "ink drawing", "sketch", "pen and ink", "contour"),
    "neon": ("neon", "cyberpunk", "synthwave", "neon lights", "glowing neon"),
    "engraving": ("engraving", "vintage engraving", "woodcut", "etching", "vintage", "antique print"),
    "watercolour": ("watercolour", "watercolor", "aquarelle", "watercolour painting", "painting"),
    "sticker": ("sticker", "die-cut sticker", "vinyl sticker", "decal"),
    "pixel art": ("pixel art", "8-bit", "retro game", "pixelated", "pixels"),
    "brass": ("brass", "steampunk", "brass gears", "gold", "golden", "bronze", "gilded", "metal"),
    "pastel": ("pastel", "pastel colours", "soft pastel", "dreamy", "kawaii"),
    "stained glass": ("stained glass", "church window", "mosaic", "cathedral glass"),
}  # fmt: skip
HELD_OUT_STYLES = {"chalk": ("chalk",), "blueprint": ("blueprint",)}

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_PARCHMENT = np.array([0.91, 0.84, 0.70], np.float32)
_INK = np.array([0.20, 0.13, 0.09], np.float32)


def rgb(name: str) -> np.ndarray:
    return np.array(COLOURS[name], np.float32) / 255


def luma(picture: np.ndarray) -> np.ndarray:
    return (picture @ _LUMA)[..., None]


def recolour(picture: np.ndarray, alpha: np.ndarray, name: str) -> np.ndarray:
    """The drawing in shades of one colour: its own light and dark are kept as shade and tint."""
    base, light = rgb(name), luma(picture)
    inside = light[alpha > 0.5]
    low, high = (np.percentile(inside, 4), np.percentile(inside, 96)) if inside.size else (0.0, 1.0)
    light = np.clip((light - low) / max(high - low, 0.12), 0, 1)
    if name == "white":
        return 0.62 + light * 0.38 * np.ones(3, np.float32)
    if name == "black":
        return 0.03 + light * 0.30 * np.ones(3, np.float32)
    shade, tint = base * 0.42, base + (1 - base) * 0.5
    return np.where(
        light < 0.6, shade + (base - shade) * (light / 0.6), base + (tint - base) * ((light - 0.6) / 0.4)
    )


def _blur(mask: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8).squeeze())
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
    return blurred if blurred.ndim == 3 else blurred[..., None]


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    image = Image.fromarray((mask[..., 0] * 255).astype(np.uint8)).filter(
        ImageFilter.MaxFilter(2 * pixels + 1)
    )
    return _blur(np.asarray(image, np.float32)[..., None] / 255, 0.7)


def _lines(picture: np.ndarray, alpha: np.ndarray, width: int = 1) -> np.ndarray:
    """Lines of about 2 px where colours or the silhouette change."""
    stack = np.concatenate([picture * alpha, alpha * 1.6], 2)
    padded = np.pad(stack, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]).max(2, keepdims=True)
    down = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]).max(2, keepdims=True)
    lines = np.clip((np.maximum(across, down) - 0.10) * 4.0, 0, 1)
    if width > 1:
        lines = _grow(lines, width - 1)
    return lines


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> np.ndarray:
    """Smooth noise in 0..1, (height, width, 1); `cell` is the size of a blotch in pixels."""
    small = rng.random((shape[0] // cell + 2, shape[1] // cell + 2), np.float32)
    image = Image.fromarray((small * 255).astype(np.uint8)).resize(
        (shape[1], shape[0]), Image.Resampling.BICUBIC
    )
    return np.asarray(image, np.float32)[..., None] / 255


def flat(picture, alpha, back, rng):
    return back + (picture - back) * alpha


def outline(picture, alpha, back, rng):
    ink = np.full(3, 0.08, np.float32) if back @ _LUMA > 0.45 else np.full(3, 0.96, np.float32)
    inside = picture[alpha[..., 0] > 0.5]
    if inside.size and inside.std(0).mean() < 0.2 and np.ptp(inside.mean(0)) > 0.25:
        ink = np.clip(inside.mean(0), 0, 1)  # a drawing in one colour keeps that colour
    return back + (ink - back) * _lines(picture, alpha)


def neon(picture, alpha, back, rng):
    dark = back * 0.16 + np.array([0.015, 0.01, 0.05], np.float32)
    line = _lines(picture, alpha)
    bright = picture / np.maximum(picture.max(2, keepdims=True), 0.25)
    bright = np.clip(bright + (bright - bright.mean(2, keepdims=True)) * 0.7 + 0.1, 0, 1)
    tube = (
        np.asarray(
            Image.fromarray((bright * alpha * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5)),
            np.float32,
        )
        / 255
    )
    glow = np.clip(_blur(line, 4.0) * 1.5, 0, 1)
    return np.clip(dark + tube * glow * 0.75 + (tube * 0.75 + 0.25 - dark) * line, 0, 1)


def engraving(picture, alpha, back, rng):
    paper = _PARCHMENT * 0.72 + back * 0.28
    height, width = alpha.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = (0.5 + 0.5 * np.cos((x + y) * (2 * np.pi / 7.0)))[..., None]
    dark = 1 - luma(picture)
    hatch = np.clip((wave - (1.02 - dark * 0.95)) * 5 + 0.2, 0, 1) * (dark > 0.18)
    ink = np.clip(np.maximum(hatch * alpha * 0.85, _lines(picture, alpha)), 0, 1)
    tone = _INK * 0.8 + picture.reshape(-1, 3)[np.argmax(alpha)] * 0.05
    body = paper + (paper * 0.55 + picture * 0.35 - paper) * alpha * 0.55
    return body + (tone - body) * ink


def watercolour(picture, alpha, back, rng):
    height, width = alpha.shape[:2]
    wash = 0.97 + (back - 0.97) * (0.5 + 0.22 * _noise(rng, (height, width), 48))
    soft = _blur(alpha, 1.6)
    edge = np.clip(soft * (1 - soft) * 4, 0, 1) * (alpha > 0.3)
    body = np.asarray(
        Image.fromarray((picture * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8)), np.float32
    )
    body = body / 255
    body = 1 - (1 - body) * (0.72 + 0.25 * _noise(rng, (height, width), 40)) * (0.85 + 0.4 * edge)
    return np.clip(wash + (body - wash) * soft * 0.95, 0, 1)


def sticker(picture, alpha, back, rng):
    border = _grow(alpha, 4)
    shadow = np.roll(_blur(border, 2.0), (3, 2), (0, 1)) * 0.35
    paper = back * (1 - shadow)
    paper = paper + (0.99 - paper) * border
    return paper + (picture - paper) * alpha


def pixel_art(picture, alpha, back, rng, block: int = 4):
    height, width = alpha.shape[0] // block, alpha.shape[1] // block

    def cells(values):
        whole = values[: height * block, : width * block]
        return whole.reshape(height, block, width, block, -1).mean((1, 3))

    cover = cells(alpha)
    colour = cells(picture * alpha) / np.maximum(cover, 1e-3)
    colour = np.round(colour * 5) / 5
    small = np.where(cover > 0.45, colour, back)
    big = small.repeat(block, 0).repeat(block, 1)
    pad = ((0, alpha.shape[0] - big.shape[0]), (0, alpha.shape[1] - big.shape[1]), (0, 0))
    return np.pad(big, pad, mode="edge")


def brass(picture, alpha, back, rng):
    ramp = np.array(
        [[0.16, 0.08, 0.04], [0.52, 0.31, 0.10], [0.83, 0.60, 0.22], [1.0, 0.93, 0.62]], np.float32
    )
    light = np.clip(luma(picture) * 1.05, 0, 0.999)[..., 0]
    shine = np.linspace(0.10, -0.10, alpha.shape[0], dtype=np.float32)[:, None]
    at = np.clip(light + shine, 0, 0.999) * 3
    low = at.astype(int)
    metal = ramp[low] + (ramp[low + 1] - ramp[low]) * (at - low)[..., None]
    dark = back * 0.35 + np.array([0.10, 0.065, 0.04], np.float32)
    rim = np.clip(_grow(alpha, 2) - alpha, 0, 1)
    body = dark + (ramp[1] * 0.8 - dark) * rim
    return body + (metal - body) * alpha


def pastel(picture, alpha, back, rng):
    tint = lambda c: 0.93 - (0.93 - (c * 0.55 + 0.42)) * 0.85  # noqa: E731
    return tint(back) + (tint(picture) - tint(back)) * alpha


def chalk(picture, alpha, back, rng):
    board = np.array([0.15, 0.22, 0.20], np.float32) * 0.85 + back * 0.15
    grain = np.clip(_noise(rng, alpha.shape[:2], 6) * 1.4, 0.4, 1)
    fill = 0.30 * alpha * (picture * 0.4 + 0.6)
    return np.clip(board + fill * grain + (0.92 - board) * _lines(picture, alpha, 2) * grain, 0, 1)


def stained_glass(picture, alpha, back, rng):
    height, width = alpha.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2) * 8 / np.pi
    pane = back * (0.75 + 0.35 * (np.floor(angle) % 2))[..., None]
    lead = (np.abs(angle - np.round(angle)) * np.hypot(y - height / 2, x - width / 2) < 4)[..., None]
    pane = pane * (1 - 0.9 * lead)
    vivid = np.clip(picture.mean(2, keepdims=True) + (picture - picture.mean(2, keepdims=True)) * 1.5, 0, 1)
    glass = pane + (vivid - pane) * alpha
    return np.clip(glass * (1 - _lines(picture, alpha, 2) * 0.95), 0, 1)


def blueprint(picture, alpha, back, rng):
    height, width = alpha.shape[:2]
    sheet = np.array([0.08, 0.22, 0.50], np.float32) * 0.9 + back * 0.1
    grid = np.zeros((height, width, 1), np.float32)
    grid[4::16] = grid[:, 4::16] = 0.22
    paper = sheet + (0.9 - sheet) * grid
    line = _lines(picture, alpha)
    paper = paper + (sheet * 1.25 - paper) * alpha * 0.6
    return np.clip(paper + (0.95 - paper) * line, 0, 1)


DRAW = {
    "flat": flat,
    "outline": outline,
    "neon": neon,
    "engraving": engraving,
    "watercolour": watercolour,
    "sticker": sticker,
    "pixel art": pixel_art,
    "brass": brass,
    "pastel": pastel,
    "chalk": chalk,
    "stained glass": stained_glass,
    "blueprint": blueprint,
}
