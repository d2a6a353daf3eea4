"""Draw one subject as an RGBA picture out of its icons (Fluent Emoji by Microsoft, MIT, and a few of our own)."""

import functools
import io
import json
from pathlib import Path

import resvg_py
from PIL import Image

from .subjects import Subject

SUBJECT_SIZE = 192
_UNITS = 32  # side of an icon's view box

ICONS: dict[str, str] = json.loads(Path(__file__).with_name("icons.json").read_text())["icons"]


def subject_svg(subject: Subject) -> str:
    """The subject's drawing as one SVG document; icons are placed as its parts say, the later above the earlier."""
    groups = []
    for part in subject.parts:
        icon, x, y, size, turn, is_mirrored = (*part, *(0, False)[len(part) - 4 :])
        flip = "scale(-1 1)" if is_mirrored else ""
        groups.append(
            f'<g transform="translate({x * _UNITS} {y * _UNITS}) rotate({turn}) scale({size}) {flip}'
            f' translate({-_UNITS / 2} {-_UNITS / 2})">{ICONS[icon]}</g>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SUBJECT_SIZE}" height="{SUBJECT_SIZE}" viewBox="0 0 {_UNITS} {_UNITS}">{"".join(groups)}</svg>'
    )


@functools.cache
def draw_subject(subject: Subject) -> Image.Image:
    """RGBA, `SUBJECT_SIZE` pixels square, transparent around the drawing."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=subject_svg(subject)))
    return Image.open(io.BytesIO(png)).convert("RGBA")
