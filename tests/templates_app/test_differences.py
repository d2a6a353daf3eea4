"""What changed between two versions of a template."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.differences import MAX_SHOWN_ROWS, compare_versions, compare_words


@dataclass
class Version:
    rows: list
    columns: list = field(default_factory=lambda: ["name", "text"])
    base_prompt: str = "Tarot card"
    prompt_template: str = "{text}"
    style_suffix: str = ""
    example_theme: str = ""
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    rating: str = ""
    lora_config: list = field(default_factory=list)


def rows(*names, **texts):
    return [{"name": name, "text": texts.get(name, f"the {name}")} for name in names]


def told(difference):
    return [(row.kind, row.was, row.now, row.name) for row in difference.rows]


def pieces_of(change):
    return [(piece.kind, piece.text) for piece in change.pieces]


def test_a_version_does_not_differ_from_itself():
    version = Version(rows("Sun", "Moon"))
    assert compare_versions(version, version).is_empty


def test_texts_are_compared_word_by_word():
    old = Version(rows("Sun"), base_prompt="A worn tarot card")
    new = Version(rows("Sun"), base_prompt="A golden tarot card", width=768, rating="safe")
    difference = compare_versions(old, new)
    assert [change.name for change in difference.texts] == ["base prompt", "width", "rating"]
    assert pieces_of(difference.texts[0]) == [
        ("kept", "A "),
        ("removed", "worn"),
        ("added", "golden"),
        ("kept", " tarot card"),
    ]
    assert pieces_of(difference.texts[2]) == [("removed", "none"), ("added", "safe")]


def test_loras_are_told_with_their_weights():
    new = Version(rows("Sun"), lora_config=[{"lora": "ink", "weight": 0.5}])
    [change] = compare_versions(Version(rows("Sun")), new).texts
    assert pieces_of(change) == [("removed", "none"), ("added", "ink × 0.5")]


def test_a_row_that_is_put_in_moves_no_other():
    difference = compare_versions(Version(rows("Sun", "Moon")), Version(rows("Star", "Sun", "Moon")))
    assert told(difference) == [("added", None, 1, "Star")]


def test_rows_are_known_by_their_names_wherever_they_stand():
    old = Version(rows("Sun", "Moon", "Star", "World"))
    new = Version(rows("Moon", "Star", "World", "Sun", Star="a star"))
    difference = compare_versions(old, new)
    assert told(difference) == [("changed", 3, 2, "Star"), ("moved", 1, 4, "Sun")]
    assert pieces_of(difference.rows[0].cells[0])[-1] == ("added", "star")
    assert difference.counts == {"added": 0, "removed": 0, "changed": 1, "moved": 1}


def test_a_renamed_row_is_the_same_row():
    difference = compare_versions(Version(rows("Sun", "Moon")), Version(rows("Sun", "Luna", Luna="the Moon")))
    assert told(difference) == [("changed", 2, 2, "Luna")]
    assert [cell.name for cell in difference.rows[0].cells] == ["name"]


def test_rows_of_one_name_are_paired_in_their_order():
    difference = compare_versions(Version(rows("Sun", "Sun")), Version(rows("Sun", "Sun", "Sun")))
    assert told(difference) == [("added", None, 3, "Sun")]


def test_columns_are_told_once_and_not_in_every_row():
    old = Version([{"name": "Sun", "text": "a sun"}])
    new = Version(
        [{"colour": "red", "picture": "a sun", "name": "Sun"}], columns=["colour", "picture", "name"]
    )
    difference = compare_versions(old, new)
    assert difference.rows == []
    assert difference.columns == [
        "The column “text” is called “picture” now.",
        "The column “colour” is new.",
        "The columns stand in another order: colour, picture, name.",
    ]
    assert compare_versions(new, Version([{"name": "Sun"}], columns=["name"])).columns == [
        "The column “colour” is gone.",
        "The column “picture” is gone.",
    ]


def test_only_the_first_rows_are_shown_and_all_are_counted():
    names = [f"Row {number}" for number in range(10_000)]
    new = Version(rows(*names, **{name: f"another {name}" for name in names}))
    difference = compare_versions(Version(rows(*names)), new)
    assert len(difference.rows) == MAX_SHOWN_ROWS
    assert difference.counts["changed"] == 10_000
    assert difference.hidden_rows == 10_000 - MAX_SHOWN_ROWS


@pytest.mark.parametrize("text", ["a " * 1000, "x" * 2000, " " * 2000])
def test_long_texts_are_shown_before_and_after(text):
    old, new = text, text[:-1] + "!"
    assert "".join(piece.text for piece in compare_words(old, new) if piece.kind != "added") == old
    assert "".join(piece.text for piece in compare_words(old, new) if piece.kind != "removed") == new


names = st.lists(st.sampled_from("abcdef"), max_size=8)


@settings(deadline=None)  # the machine may be busy
@given(names, names)
def test_what_is_told_turns_the_old_rows_into_the_new_ones(before, after):
    difference = compare_versions(Version(rows(*before)), Version(rows(*after)))
    counts = difference.counts
    assert len(before) - counts["removed"] + counts["added"] == len(after)
    assert difference.is_empty == (before == after)


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_hold_both_texts(before, after):
    pieces = compare_words(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
