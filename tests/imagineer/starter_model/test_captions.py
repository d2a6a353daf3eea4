import random
import re

from imagineer.starter_model import wordings
from imagineer.starter_model.captions import (
    UNSEEN,
    Told,
    caption,
    is_unseen,
    plain_prompt,
    tell_at_length,
    tell_little,
    tell_shortly,
    unseen_prompt,
)
from imagineer.starter_model.pictures import BY_NAME, Picture, choose_picture
from imagineer.starter_model.styles import COLOUR_WORDS, HELD_OUT_STYLES, STYLES
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
        words = tell_shortly(picture, rng).text.lower()
        assert not any(f" {other} " in f" {words} " for other in ("green", "yellow", "purple", "teal")), words


def test_held_out_subjects_and_styles_are_in_no_caption():
    text = " ".join(text for _, text in _captions(5000)).lower()
    for subject in HELD_OUT:
        assert f" {subject.name} " not in text
    for style in HELD_OUT_STYLES:
        assert style not in text


def _holds(text: str, *words: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words)


def _told(tell, count: int = 1500) -> list[tuple[Picture, Told]]:
    rng = random.Random(9)
    pictures = [choose_picture(rng) for _ in range(count)]
    return [(picture, tell(picture, rng)) for picture in pictures]


def _colour_words(name: str) -> list[str]:
    return [name, *COLOUR_WORDS[name].split()]


def test_a_short_caption_holds_the_words_of_what_it_tells_and_of_nothing_else():
    for picture, told in _told(tell_shortly):
        assert _holds(told.text, *_colour_words(picture.background)) == ("background" in told.says), told
        if picture.colour:
            assert _holds(told.text, *_colour_words(picture.colour)) == ("colour" in told.says), told
        if picture.style != "flat":  # whose words, such as simple, are said of other things too
            assert _holds(told.text, *STYLES[picture.style]) == ("style" in told.says), told


def test_a_long_caption_holds_the_words_of_what_it_tells():
    for picture, told in _told(tell_at_length):
        words = {"background": _colour_words(picture.background), "style": STYLES[picture.style]}
        words["colour"] = _colour_words(picture.colour) if picture.colour else []
        for name in told.says & set(words):
            assert _holds(told.text, *words[name]), (name, told)


def test_a_caption_without_a_subject_names_none():
    mean_more = ("church", "rose")  # church windows are a style, rose-coloured is a colour
    names = [name for subject in SUBJECTS for name in subject.names if name not in mean_more]
    for _, told in _told(tell_little, 400):
        assert "subject" not in told.says
        assert not _holds(told.text, *names), told


def test_no_form_uses_a_word_that_names_something_to_draw():
    names = [name for subject in (*SUBJECTS, *HELD_OUT) for name in subject.names]
    for table in vars(wordings).values():
        if isinstance(table, dict | tuple):
            for form in table:
                assert not _holds(form, *names), form


def test_every_form_comes_with_its_slots_filled_and_most_backgrounds_are_told_without_the_word():
    tables = {
        "c": (wordings.COLOUR_BEFORE, wordings.COLOUR_AFTER, wordings.COLOUR_TAGS),
        "s": (wordings.STYLE_AFTER, wordings.STYLE_AROUND, wordings.STYLE_TAGS),
    }
    backgrounds = wordings.BACKGROUND_AFTER, wordings.BACKGROUND_AROUND, wordings.BACKGROUND_TAGS
    tables["c"] += backgrounds
    for slot, forms in tables.items():
        assert all(f"{{{slot}}}" in form for table in forms for form in table)
    assert all("{n}" in form for form in (*wordings.BACKGROUND_AROUND, *wordings.STYLE_AROUND))
    for table in backgrounds:
        assert sum("background" not in form and "backdrop" not in form for form in table) > len(table) / 2
    for tell in (tell_shortly, tell_at_length, tell_little):
        assert not any(brace in told.text for _, told in _told(tell) for brace in "{}")


def test_no_caption_has_the_frame_of_a_wording_that_is_kept_from_training():
    rng = random.Random(1)
    picture = Picture("crab", "teal", "neon", "red")
    for wording in UNSEEN:
        assert is_unseen(wording.format(subject="a red crab", background="teal", style="neon"))
    assert all(is_unseen(unseen_prompt(picture, rng)) for _ in range(20))
    assert not is_unseen(plain_prompt(picture))
    for tell in (tell_shortly, tell_at_length, tell_little):
        assert not any(is_unseen(told.text) for _, told in _told(tell, 4000))
    assert "red crab" in unseen_prompt(picture, rng)
    assert plain_prompt(picture) == "a red crab on a teal background, neon style"


def test_captions_are_the_same_for_the_same_seed():
    assert _captions(50) == _captions(50)


def test_there_are_at_least_a_hundred_subjects_and_no_name_means_two_things():
    assert len(SUBJECTS) >= 100
    assert len(HELD_OUT) >= 10
    names = [name for subject in (*SUBJECTS, *HELD_OUT) for name in subject.names]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
