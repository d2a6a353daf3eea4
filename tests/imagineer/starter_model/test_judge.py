"""The judge on drawings whose content is known: what it cannot name there it cannot be asked about elsewhere."""

import random

import numpy as np
import pytest
from PIL import Image

from imagineer.starter_model.judge import fresh_pictures, judge_pictures, load_judge
from imagineer.starter_model.pictures import Picture, draw_picture


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def _draw(pictures: list[Picture]):
    rng = random.Random(6)
    return [draw_picture(picture, rng) for picture in pictures]


def _soften(drawn: np.ndarray) -> np.ndarray:
    """As soft as what an autoencoder makes of it."""
    height, width = drawn.shape[:2]
    small = Image.fromarray(drawn).resize((width * 6 // 10, height * 6 // 10), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("change", [np.asarray, _soften])
def test_it_names_what_our_own_drawings_show_sharp_or_soft(judge, change):
    asked = fresh_pictures(31, 244)
    verdict = judge_pictures(judge, asked, [change(drawn) for drawn in _draw(asked)])
    assert verdict.subject > 0.96
    assert verdict.background > 0.97
    assert verdict.colour > 0.92
    assert verdict.style > 0.8


def test_it_is_not_taken_in_by_pictures_of_other_things(judge):
    asked = [Picture("ram", "blue", colour="red"), Picture("crown", "white", colour="green")] * 4
    drawn = _draw([Picture("castle", "yellow", colour="black")] * 8)
    verdict = judge_pictures(judge, asked, drawn)
    assert (verdict.subject, verdict.colour, verdict.background) == (0, 0, 0)


def test_a_subject_in_its_own_colours_says_nothing_about_reading_colours(judge):
    asked = [Picture("heart", "white"), Picture("ram", "blue", "neon", colour="red")]
    verdict = judge_pictures(judge, asked, _draw(asked))
    assert verdict.colour != verdict.colour  # nan: there was nothing to name
