"""Write captioned pictures of the styles and subjects that the model has never seen, for training LoRAs on.

`python -m imagineer.starter_model.heldout tests/data/starter_heldout` makes what is committed there.
"""

import argparse
import random
from pathlib import Path

from PIL import Image

from .pictures import BY_NAME, Picture, draw_picture, legible_backgrounds
from .styles import HELD_OUT_STYLES, STYLES
from .subjects import HELD_OUT, SUBJECTS

_STYLE_PICTURES, _SUBJECT_PICTURES = 12, 3


def write_held_out(folder: Path, *, seed: int = 7) -> None:
    """PNG and caption (`.txt`) pairs: a folder for each held-out style, of known subjects, and one of subjects."""
    rng = random.Random(f"{seed}/held out")
    for style in HELD_OUT_STYLES:
        for subject in rng.sample(SUBJECTS, _STYLE_PICTURES):
            picture = Picture(subject.name, rng.choice(legible_backgrounds(subject, None)), style)
            _write(folder / style, subject.name, picture, f"a {subject.name}, {style} style", rng)
    for subject in HELD_OUT:
        for i in range(_SUBJECT_PICTURES):
            background = rng.choice(legible_backgrounds(subject, None))
            style = "flat" if i == 0 else rng.choice(list(STYLES))
            caption = f"a {subject.name} on a {background} background, {style} style"
            _write(
                folder / "subjects",
                f"{subject.name}-{i + 1}",
                Picture(subject.name, background, style),
                caption,
                rng,
            )


def _write(folder: Path, name: str, picture: Picture, caption: str, rng: random.Random) -> None:
    assert picture.subject in BY_NAME
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '-')}.png"
    Image.fromarray(draw_picture(picture, rng)).quantize(64).save(path, optimize=True)
    path.with_suffix(".txt").write_text(caption + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write_held_out(parser.parse_args().folder)
