"""The judge on drawings whose content is known: what it cannot name there it cannot be asked about elsewhere."""

import random

import pytest

from imagineer.starter_model.judge import fresh_pictures, judge_pictures, load_judge
from imagineer.starter_model.pictures import Picture, draw_picture


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def _draw(pictures: list[Picture]):
    rng = random.Random(6)
    return [draw_picture(picture, rng) for picture in pictures]


def test_it_names_subject_colour_and_background_of_most_of_our_own_drawings(judge):
    asked = fresh_pictures(31, 244)
    verdict = judge_pictures(judge, asked, _draw(asked))
    assert verdict.subject > 0.9
    assert verdict.background > 0.93
    assert verdict.colour > 0.65


def test_it_is_not_taken_in_by_pictures_of_other_things(judge):
    asked = [Picture("ram", "blue", colour="red"), Picture("crown", "white", colour="green")] * 4
    drawn = _draw([Picture("castle", "yellow", colour="black")] * 8)
    verdict = judge_pictures(judge, asked, drawn)
    assert (verdict.subject, verdict.colour, verdict.background) == (0, 0, 0)


def test_a_subject_in_its_own_colours_says_nothing_about_reading_colours(judge):
    asked = [Picture("heart", "white"), Picture("ram", "blue", "neon", colour="red")]
    verdict = judge_pictures(judge, asked, _draw(asked))
    assert verdict.colour != verdict.colour  # nan: there was nothing to name
