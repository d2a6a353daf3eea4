import random

from imagineer.starter_model.captions import UNSEEN, caption, plain_prompt, short_caption, unseen_prompt
from imagineer.starter_model.pictures import BY_NAME, Picture, choose_picture
from imagineer.starter_model.styles import HELD_OUT_STYLES
from imagineer.starter_model.subjects import HELD_OUT, SUBJECTS


def _captions(count: int = 2000) -> list[tuple[Picture, str]]:
    rng = random.Random(3)
    pictures = [choose_picture(rng) for _ in range(count)]
    return [(picture, caption(picture, rng)) for picture in pictures]


def test_every_caption_names_its_subject_or_its_card():
    for picture, text in _captions():
        ends = {name.split()[-1].lower() for name in BY_NAME[picture.subject].names}
        assert any(end in text.lower() for end in ends), (picture, text)


def test_a_short_caption_names_no_colour_that_the_picture_lacks():
    rng = random.Random(4)
    picture = Picture("ram", "blue", "neon", "red")
    for _ in range(500):
        words = short_caption(picture, rng).lower()
        assert not any(f" {other} " in f" {words} " for other in ("green", "yellow", "purple", "teal")), words


def test_held_out_subjects_and_styles_are_in_no_caption():
    text = " ".join(text for _, text in _captions(5000)).lower()
    for subject in HELD_OUT:
        assert f" {subject.name} " not in text
    for style in HELD_OUT_STYLES:
        assert style not in text


def test_the_judges_wordings_are_not_among_those_of_training():
    trained = " ".join(text for _, text in _captions(5000)).lower()
    rng = random.Random(1)
    for wording in UNSEEN:
        fixed = max(wording.replace("{", "}").split("}")[::2], key=len).strip().lower()
        assert fixed not in trained, fixed
    picture = Picture("crab", "teal", "flat", "red")
    assert "red crab" in unseen_prompt(picture, rng)
    assert plain_prompt(picture) == "a red crab on a teal background, flat style"


def test_captions_are_the_same_for_the_same_seed():
    assert _captions(50) == _captions(50)


def test_there_are_at_least_a_hundred_subjects_and_no_name_means_two_things():
    assert len(SUBJECTS) >= 100
    assert len(HELD_OUT) >= 10
    names = [name for subject in (*SUBJECTS, *HELD_OUT) for name in subject.names]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
