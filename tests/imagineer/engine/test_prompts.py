import pytest

from tests.imagineer.engine.asking import ask, difference

TEXTS = {
    "nothing": "",
    "blank": " \n\t ",
    "2,000 characters": "a brass gear, " * 142 + "the end of it",
    "one word of 2,000 characters": "x" * 2000,
    "emoji": "👩‍🚀🔥 and 🏳️‍🌈",
    "Chinese": "一只戴着王冠的红色狐狸",
    "Arabic": "ثعلب أحمر يرتدي تاجا",
    "Hindi": "मुकुट पहने लाल लोमड़ी",
    "combining": "e\u0301" * 40 + "\u202eback\u200b",
    "control characters": "a\0b\x07c\x1b[31m",
    "half a surrogate pair": "a \ud800 crown",
    "special tokens": "<|startoftext|> a <|endoftext|> <|endoftext|> fish",
    "markup": "<script>alert(1)</script> {{ theme }} ((a:1.2))",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_gives_a_picture(engine, text):
    prompted, negated = engine.draw([ask(text), ask("a crown", negative_prompt=text)])
    assert prompted.image.size == negated.image.size == (64, 64)
    assert prompted.recipe["prompt"] == negated.recipe["negative_prompt"] == text


def test_words_beyond_the_first_window_still_count(engine):
    long = "gears " * 40
    one, other = engine.draw([ask(long + "a red crown"), ask(long + "a blue fish")])
    assert difference(one, other) > 0
    assert not one.recipe["truncated"]


def test_what_is_beyond_the_last_window_is_cut_and_the_recipe_says_so(engine):
    short, cut, cut_too = engine.draw(
        [ask("x" * 100), ask("x" * 2000 + " a crown"), ask("x" * 2000 + " a fish")]
    )
    assert [drawn.recipe["truncated"] for drawn in (short, cut, cut_too)] == [False, True, True]
    assert difference(cut, cut_too) <= 1


def test_a_text_within_one_window_is_encoded_as_diffusers_encodes_it(engine):
    import torch

    pipe = engine._pipe
    theirs, _ = pipe.encode_prompt("a red crown", "cpu", 1, False)
    cut = engine._prompts.cut("a red crown")
    (ours,) = engine._prompts.encode([cut], [1], ())
    assert torch.allclose(ours.tokens, theirs[0], atol=1e-5)


def test_a_text_is_encoded_once_however_often_it_is_asked_for(fresh_engine):
    calls = []
    fresh_engine._pipe.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    fresh_engine.draw([ask(negative_prompt="blur", seed=seed) for seed in range(3)])
    fresh_engine.draw([ask(negative_prompt="blur", seed=9)])
    assert len(calls) == 1
