import random

import numpy as np
import pytest

from imagineer.starter_model.pictures import Picture, choose_picture, draw_picture
from imagineer.starter_model.styles import COLOURS, DRAW
from imagineer.starter_model.subjects import HELD_OUT, SUBJECTS


def test_a_picture_is_the_same_for_the_same_seed_and_another_for_another():
    picture = Picture("lion", "teal")
    first, again, other = (draw_picture(picture, random.Random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("style", list(DRAW))
def test_every_style_draws_every_shape_of_picture(style):
    for width, height in ((128, 128), (128, 192), (112, 192), (192, 128)):
        drawn = draw_picture(Picture("crown", "blue", style, width=width, height=height), random.Random(0))
        assert drawn.shape == (height, width, 3)
        assert drawn.dtype == np.uint8
        assert drawn.std() > 5


@pytest.mark.parametrize("subject", [s.name for s in (*SUBJECTS, *HELD_OUT)])
def test_every_subject_fills_a_good_part_of_its_picture(subject):
    drawn = draw_picture(Picture(subject, "white"), random.Random(0)).astype(int)
    ground = drawn[0, 0]
    inked = (np.abs(drawn - ground).sum(2) > 40).mean()
    assert inked > 0.06


def test_the_background_has_the_asked_colour():
    for name, value in COLOURS.items():
        corner = draw_picture(Picture("star", name, colour="black"), random.Random(0))[0, 0].astype(int)
        assert np.abs(corner - np.array(value)).max() <= 12


def test_a_subject_stands_out_from_every_background_that_is_chosen_for_it():
    rng = random.Random(8)
    for _ in range(300):
        picture = choose_picture(rng, style_names=["flat"])
        drawn = draw_picture(picture, rng).astype(int)
        assert (np.abs(drawn - drawn[0, 0]).sum(2) > 40).mean() > 0.04, picture
