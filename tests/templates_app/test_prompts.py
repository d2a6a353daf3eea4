import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.prompts import (
    MAX_ITEM_NAME,
    MAX_SEED,
    PromptError,
    RowSelectionError,
    check_prompt,
    check_template,
    fill_row,
    item_name,
    item_seed,
    placeholders,
    render_negative_prompt,
    render_prompt,
    select_rows,
)


def render(template="{a}", *, base="", suffix="", theme="", **row):
    return render_prompt(
        base_prompt=base, prompt_template=template, style_suffix=suffix, theme=theme, row=row
    )


# Templates


def test_placeholders_are_listed_once_in_order():
    assert placeholders("{suit} and {value}, {suit} {größe 2} {b-c_d}") == [
        "suit",
        "value",
        "größe 2",
        "b-c_d",
    ]


@pytest.mark.parametrize(
    "text", ["{a|b}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{a", "a}", "((a))", "{1+1}"]
)
def test_braces_that_could_not_name_a_column_are_plain_text(text):
    assert placeholders(text) == []
    check_template(text, ["a"])
    assert fill_row(text, {"a": "x"}) == text


def test_a_template_that_names_an_unknown_column_is_refused_with_the_known_ones():
    check_template("{value} of {suit}", ["value", "suit"])
    with pytest.raises(PromptError, match=r"“colour” is no column .* “value”, “suit”"):
        check_template("{value} of {colour}", ["value", "suit"])


@pytest.mark.parametrize("text", ["{__class__}", "{{ settings }}", "{{{Value}}}", "{ value }", "{value }"])
def test_template_syntax_of_other_systems_is_an_unknown_column(text):
    with pytest.raises(PromptError, match=r"no column"):
        check_template(text, ["value"])


def test_a_template_of_2001_characters_is_refused():
    check_template("x" * 2000, [])
    with pytest.raises(PromptError, match="2,001"):
        check_template("x" * 2001, [])


HOSTILE = [
    "{" * 10**6,
    "}" * 10**6,
    "{a" * 10**6,
    "{" + "a" * 10**6,
    "{a}" * 10**6,
    "{a}. " * 10**6,
    "{a} " * 10**6,
]


@pytest.mark.parametrize("text", HOSTILE, ids=["open", "close", "half", "long", "full", "stops", "spaces"])
def test_a_million_braces_are_read_in_one_pass(text):
    # A reading that is quadratic needs hours for these; the time limit of the suite is the only clock here.
    assert placeholders(text) == (["a"] if "{a}" in text else [])
    assert fill_row(text, {"a": "{a}"}).count("{") == text.count("{")


# Rendering


def test_the_four_parts_are_joined_in_order():
    prompt = render(
        "{value} of {suit}",
        base="Playing card",
        suffix="vintage engraving",
        theme="brass gears",
        value="Ace",
        suit="Spades",
    )
    assert prompt == "Playing card. Art style: brass gears. Ace of Spades. vintage engraving"


@pytest.mark.parametrize(
    ("kwargs", "prompt"),
    [
        ({"a": "king"}, "king"),
        ({"a": "king", "theme": "neon"}, "Art style: neon. king"),
        ({"a": "king", "base": "  ", "theme": " \n", "suffix": "\t"}, "king"),
        ({"a": " ", "base": "Card", "suffix": "crisp"}, "Card. crisp"),
        ({"a": "king", "base": " Card ", "suffix": " crisp "}, "Card. king. crisp"),
    ],
)
def test_empty_parts_are_dropped_and_the_others_trimmed(kwargs, prompt):
    assert render(**kwargs) == prompt


@pytest.mark.parametrize("end", [".", "!", "?", "…", "...", "。"])
def test_a_part_that_ends_a_sentence_gets_no_second_full_stop(end):
    expected = f"Card{end} Art style: neon{end} king{end} crisp{end}"
    assert render(base=f"Card{end}", theme=f"neon{end}", a=f"king{end}", suffix=f"crisp{end}") == expected


@pytest.mark.parametrize(
    ("a", "b", "prompt"),
    [
        ("king", "sword", "king. sword. end"),
        ("king.", "sword!", "king. sword! end"),
        ("king…", "", "king… end"),
        ("", "sword", "sword. end"),
        ("", "", "end"),
    ],
)
def test_a_full_stop_written_behind_a_column_is_not_doubled_nor_left_alone(a, b, prompt):
    assert render("{a}. {b}. end", a=a, b=b) == prompt


def test_dots_that_are_no_full_stop_stay():
    assert render("{a}... {a}.. {a}", a="king") == "king... king.. king"
    assert render("{a}.5 {a}.", a="1.") == "1..5 1."


def test_values_and_theme_are_never_expanded_again():
    assert render("{a} {b}", theme="{a}", a="{b}", b="{a}{a}") == "Art style: {a}. {b} {a}{a}"


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(st.text("{}ab. ", max_size=12), min_size=2, max_size=2),
    st.text("{}ab.! ", max_size=12),
)
def test_a_value_is_inserted_once_as_it_is(values, theme):
    a, b = values
    row = {"a": a, "b": b}
    assert fill_row("<{a}|{b}|{a}>", row) == f"<{a}|{b}|{a}>"
    prompt = render("<{a}|{b}>", base="{a}", theme=theme, suffix="{b}", **row)
    assert f"<{a}|{b}>" in prompt
    assert prompt.startswith("{a}. ")
    assert prompt.endswith("{b}")
    assert theme.strip() in prompt


def test_base_prompt_and_style_suffix_are_not_filled():
    assert render(base="{a}", suffix="{a}", a="x") == "{a}. x. {a}"


def test_a_row_that_lacks_a_column_is_refused_by_name():
    with pytest.raises(PromptError, match="“colour”"):
        render("{colour} {a}", a="x")


def test_a_rendered_prompt_of_2001_characters_is_refused():
    assert len(render(a="x" * 1996, base="ab")) == 2000
    with pytest.raises(PromptError, match="2,001"):
        render(a="x" * 1997, base="ab")


def test_a_prompt_is_trimmed_and_must_have_1_to_2000_storable_characters():
    assert check_prompt("  a cat\n ") == "a cat"
    assert check_prompt(" " + "x" * 2000 + " ") == "x" * 2000
    for bad in ("", " \n\t ", "x" * 2001, "a\x00b", "half an emoji \ud83d"):
        with pytest.raises(PromptError):
            check_prompt(bad)


@pytest.mark.parametrize(
    ("user", "template", "joined"),
    [
        ("hands", "blurry, low quality", "hands, blurry, low quality"),
        ("", " blurry ", "blurry"),
        (" hands ", "", "hands"),
        ("", "", ""),
        ("hands, ", "blurry,", "hands, blurry"),
    ],
)
def test_the_users_negative_prompt_comes_before_the_templates(user, template, joined):
    assert render_negative_prompt(user, template) == joined


def test_a_negative_prompt_that_is_too_long_together_is_refused():
    with pytest.raises(PromptError, match="negative prompt"):
        render_negative_prompt("x" * 1500, "y" * 1500)


# Names


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"value": "Ace", "suit": "Spades", "name": "x"}, "Ace_of_Spades"),
        ({"Suit": "Spades", "Value": "10"}, "10_of_Spades"),
        ({"value": "Red Joker", "suit": "", "personality": "x"}, "Red_Joker"),
        ({"suit": "Spades", "name": "The Fool"}, "The_Fool"),
        ({"number": "0", "name": "The High  Priestess"}, "The_High_Priestess"),
        ({"sign": "Leo", "card": "The Sun"}, "The_Sun"),
        ({"element": "fire", "sign": "Leo"}, "Leo"),
        ({"subject": "a red kite", "place": "sky"}, "a_red_kite"),
        ({"name": "", "subject": "a red kite"}, "a_red_kite"),
        ({"name": "größe — Löwe 獅子 हिन्दी"}, "größe_Löwe_獅子_हिन्दी"),
    ],
)
def test_an_item_is_named_by_its_row(row, name):
    assert item_name(row, list(row)) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("../../etc/passwd", "etcpasswd"),
        ("..", "item"),
        ("", "item"),
        ("🂡🎴", "item"),
        ("/", "item"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\x00b\nc", "ab_c"),
        ("C:\\x\\y", "Cxy"),
        ("CON", "CON_item"),
        ("nul", "nul_item"),
        ("Com1", "Com1_item"),
        ("Console", "Console"),
        ("x" * 300, "x" * MAX_ITEM_NAME),
        ("獅" * 300, "獅" * (MAX_ITEM_NAME // 3)),
    ],
)
def test_a_hostile_value_gives_a_safe_name(value, name):
    assert item_name({"name": value}, ["name"]) == name


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.sampled_from(["value", "suit", "name", "x"]), st.text(), min_size=1))
def test_any_row_gives_a_safe_name(row):
    name = item_name(row, list(row))
    assert name
    assert len(name.encode()) <= MAX_ITEM_NAME + len("_item")
    assert all(c in "_-" or unicodedata.category(c)[0] in "LMN" for c in name)
    assert name[0] not in "_-"


# Seeds


def test_rows_count_up_from_the_seed_and_variants_go_on_after_the_last_row():
    seeds = [item_seed(100, position=p, variant=v, row_count=54) for v in (1, 2, 3) for p in range(1, 55)]
    assert seeds == list(range(100, 100 + 3 * 54))


def test_seeds_begin_again_at_zero_past_the_largest():
    assert item_seed(MAX_SEED, position=1, variant=1, row_count=3) == 2147483647
    assert item_seed(MAX_SEED, position=2, variant=1, row_count=3) == 0
    assert item_seed(MAX_SEED - 1, position=1, variant=2, row_count=3) == 1


def test_with_same_seed_rows_share_a_seed_and_variants_differ():
    def seed(position, variant):
        return item_seed(7, position=position, variant=variant, row_count=54, same_seed=True)

    assert {seed(p, 1) for p in range(1, 55)} == {7}
    assert {seed(p, 2) for p in range(1, 55)} == {8}


@settings(deadline=None)  # the machine may be busy
@given(
    st.integers(0, MAX_SEED),
    st.integers(1, 10_000),
    st.integers(1, 64),
    st.integers(1, 10_000),
    st.booleans(),
)
def test_every_seed_is_within_the_limits(seed, position, variant, row_count, same_seed):
    drawn = item_seed(seed, position=position, variant=variant, row_count=row_count, same_seed=same_seed)
    assert 0 <= drawn <= MAX_SEED


# Selections


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("1,17-20", [1, 17, 18, 19, 20]),
        (" 3 , 1 - 2 ", [1, 2, 3]),
        ("5,1,5,4-6", [1, 4, 5, 6]),
        ("54", [54]),
        ("1-54", list(range(1, 55))),
        ("", list(range(1, 55))),
        ("  ", list(range(1, 55))),
    ],
)
def test_rows_are_selected_in_row_order_each_once(text, positions):
    assert select_rows(text, 54) == positions


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "55",
        "1-55",
        "20-17",
        "x",
        "1,,2",
        "1,",
        "-3",
        "1-",
        "1-2-3",
        "1.5",
        "9" * 5000,
        "1-" + "9" * 9,
        "٣",
    ],
)
def test_a_selection_that_cannot_be_followed_is_refused(text):
    with pytest.raises(RowSelectionError):
        select_rows(text, 54)


def test_a_refused_selection_names_the_piece_and_the_rows_there_are():
    with pytest.raises(RowSelectionError, match=r"“50-60” .* 1 to 54"):
        select_rows("1,50-60", 54)


def test_many_overlapping_ranges_cost_no_more_than_their_rows():
    assert select_rows(",".join(["1-10000"] * 20_000), 10_000) == list(range(1, 10_001))


# The house


def test_the_pure_modules_need_no_django():
    code = "import sys, templates_app.prompts, templates_app.sets; print('django' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch("False\n", run.stdout)
