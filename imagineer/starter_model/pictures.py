"""Compose a picture from what a prompt may ask for: subject, its colour, background, style and suit."""

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from . import styles
from .drawing import SUBJECT_SIZE, draw_subject
from .subjects import COURT, HELD_OUT, SUBJECTS, SUITS, Subject

BY_NAME: dict[str, Subject] = {subject.name: subject for subject in (*SUBJECTS, *HELD_OUT)}
_RECOLOUR_SHARE = 0.45
_STYLE_SHARE = {"flat": 4.0}
_GROUP_SHARE = {"zodiac": 3.0, "cards": 2.5, "tarot": 1.8, "everyday": 1.0}


# Every drawing has one size and stands in the middle. What a network of this size lacks is not detail but layout:
# turned, scaled and shifted freely the shapes stay blobs for many times longer.
_SIZE = 104


@dataclass(frozen=True)
class Picture:
    """What a picture shows. `colour` None leaves the subject its own colours; `background` is always drawn."""

    subject: str
    background: str
    style: str = "flat"
    colour: str | None = None
    suit: str | None = None
    width: int = 128
    height: int = 128


def _rim_colour(subject: Subject) -> np.ndarray:
    """Mean colour of the drawing's border, which must stand out from the background."""
    pixels = np.asarray(draw_subject(subject), np.float32) / 255
    alpha = Image.fromarray((pixels[..., 3] * 255).astype(np.uint8))
    inner = np.asarray(alpha.filter(ImageFilter.MinFilter(9)), np.float32)[..., None] / 255
    weight = pixels[..., 3:] * (1 - inner) + 1e-6
    return (pixels[..., :3] * weight).sum((0, 1)) / weight.sum()


_legible: dict[tuple[str, str | None], list[str]] = {}


def legible_backgrounds(subject: Subject, colour: str | None) -> list[str]:
    """Backgrounds that the subject stands out from."""
    key = (subject.name, colour)
    if key not in _legible:
        drawn = styles.rgb(colour) if colour else _rim_colour(subject)
        distance = {name: float(np.abs(styles.rgb(name) - drawn).sum()) for name in styles.COLOURS}
        _legible[key] = [name for name, d in distance.items() if d > 0.55 and name != colour]
    return _legible[key]


def choose_picture(
    rng: random.Random, width: int = 128, height: int = 128, subjects=SUBJECTS, style_names=None
) -> Picture:
    """A random picture of the domain; zodiac, cards and tarot more often than everyday things."""
    weights = [_GROUP_SHARE.get(subject.group, 1.0) for subject in subjects]
    subject = rng.choices(subjects, weights)[0]
    names = list(style_names or styles.STYLES)
    style = rng.choices(names, [_STYLE_SHARE.get(name, 1.0) for name in names])[0]
    colour = rng.choice(list(styles.COLOURS)) if rng.random() < _RECOLOUR_SHARE and style != "brass" else None
    background = rng.choice(legible_backgrounds(subject, colour))
    suit = rng.choice(SUITS) if subject.name in COURT and rng.random() < 0.6 else None
    return Picture(subject.name, background, style, colour, suit, width, height)


def _place(
    image: Image.Image, width: int, height: int, size: float, x: float, y: float, turn: float = 0
) -> np.ndarray:
    """The drawing on a transparent canvas: `size` pixels wide, centred on (x, y), turned by degrees; premultiplied."""
    zoom = size / SUBJECT_SIZE
    small = image.resize((round(size), round(size)), Image.Resampling.LANCZOS) if zoom < 1 else image
    zoom = size / small.width
    pixels = np.asarray(small, np.float32)
    pixels = np.concatenate([pixels[..., :3] * (pixels[..., 3:] / 255), pixels[..., 3:]], 2)
    small = Image.fromarray(pixels.astype(np.uint8), "RGBA")
    cos, sin = math.cos(math.radians(turn)) / zoom, math.sin(math.radians(turn)) / zoom
    half = small.width / 2
    matrix = (cos, sin, half - cos * x - sin * y, -sin, cos, half + sin * x - cos * y)
    return (
        np.asarray(
            small.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC),
            np.float32,
        )
        / 255
    )


def draw_picture(picture: Picture, rng: random.Random) -> np.ndarray:
    """uint8 (height, width, 3). `rng` tints it and its background, so that no two pictures are the same."""
    width, height = picture.width, picture.height
    noise = np.random.default_rng(rng.getrandbits(32))
    layer = _place(draw_subject(BY_NAME[picture.subject]), width, height, _SIZE, width / 2, height / 2)
    alpha = layer[..., 3:]
    colour = np.clip(layer[..., :3] / np.maximum(alpha, 1e-3), 0, 1)
    if picture.colour:
        colour = styles.recolour(colour, alpha, picture.colour)
    if picture.suit:
        mark = draw_subject(BY_NAME[picture.suit])
        for mx, my, mturn in ((0.12, 0.1, 0), (0.88, 0.9, 180)):
            drawn = _place(mark, width, height, 0.24 * _SIZE, width * mx, height * my, mturn)
            over = drawn[..., 3:]
            colour = colour * (1 - over) + np.clip(drawn[..., :3] / np.maximum(over, 1e-3), 0, 1) * over
            alpha = np.maximum(alpha, over)
    back = styles.rgb(picture.background) + noise.uniform(-0.035, 0.035, 3).astype(np.float32)
    back = np.clip(back, 0, 1).astype(np.float32)
    drawn = styles.DRAW[picture.style](colour.astype(np.float32), alpha, back, noise)
    return (np.clip(drawn, 0, 1) * 255 + 0.5).astype(np.uint8)
