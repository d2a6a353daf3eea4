import re

import pytest

from templates_app.csv_items import parse_csv, write_csv
from templates_app.prompts import (
    check_template,
    item_name,
    placeholders,
    render_negative_prompt,
    render_prompt,
)
from templates_app.sets import load_sets

SETS = {definition.name: definition for definition in load_sets()}
every_set = pytest.mark.parametrize("definition", SETS.values(), ids=SETS)

# Things that the starter model can draw; in every row one of them stands among the first words of the text.
DRAWABLE = re.compile(
    r"\b(spade|heart|diamond|club|star|moon|sun|crown|sword|cup|fish|crab|scales|arrow|key|tree|house|flower"
    r"|cloud|lightning bolt|mushroom|boat|eye|snake|ram|bull|lion|scorpion|goat|horse|dog|wolf|eagle|dragon"
    r"|king|queen|woman|man|child|children|angel|devil|skull|tower|wheel|lantern|globe|mountain|wave|fire"
    r"|leaf|rose|jug)s?\b"
)
COLOURS = "red|orange|yellow|green|teal|blue|purple|pink|white|black"


def prompts_of(definition, theme):
    return [
        render_prompt(
            base_prompt=definition.base_prompt,
            prompt_template=definition.prompt_template,
            style_suffix=definition.style_suffix,
            theme=theme,
            row=row,
        )
        for row in definition.items.rows
    ]


def drawn_text(row):
    return row.get("visual_layout") or row["description"]


def test_there_are_three_sets_of_the_promised_rows_columns_and_sizes():
    assert [(d.name, len(d.items.rows), d.width, d.height) for d in SETS.values()] == [
        ("Playing Card Deck", 54, 512, 720),
        ("Tarot Major Arcana", 22, 512, 896),
        ("Zodiac Signs", 12, 512, 768),
    ]
    assert [d.items.columns for d in SETS.values()] == [
        ("value", "suit", "personality", "visual_layout"),
        ("name", "number", "description"),
        ("name", "element", "dates", "symbol", "description"),
    ]


def test_the_deck_is_in_order_and_ends_with_the_jokers():
    items = SETS["Playing Card Deck"].items
    names = [item_name(row, items.columns) for row in items.rows]
    values = ["Ace", *map(str, range(2, 11)), "Jack", "Queen", "King"]
    suits = ["Spades", "Hearts", "Diamonds", "Clubs"]
    assert names == [f"{value}_of_{suit}" for suit in suits for value in values] + [
        "Red_Joker",
        "Black_Joker",
    ]


def test_the_trumps_are_numbered_from_nought_to_twenty_one():
    items = SETS["Tarot Major Arcana"].items
    numerals = "0 I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX XXI"
    assert " ".join(row["number"] for row in items.rows) == numerals
    assert items.rows[0]["name"] == "The Fool"
    assert items.rows[21]["name"] == "The World"


def test_the_signs_run_through_the_year_and_the_elements_in_turn():
    rows = SETS["Zodiac Signs"].items.rows
    assert " ".join(row["name"] for row in rows) == (
        "Aries Taurus Gemini Cancer Leo Virgo Libra Scorpio Sagittarius Capricorn Aquarius Pisces"
    )
    assert [row["element"] for row in rows] == ["fire", "earth", "air", "water"] * 3


@every_set
def test_the_template_of_a_set_fits_its_table(definition):
    check_template(definition.prompt_template, definition.items.columns)
    assert placeholders(definition.prompt_template)
    assert definition.description
    assert definition.example_theme
    assert render_negative_prompt("", definition.negative_prompt) == definition.negative_prompt
    assert definition.width % 8 == definition.height % 8 == 0


@every_set
def test_the_template_begins_with_the_thing_to_be_drawn(definition):
    for row in definition.items.rows:
        head = " ".join(drawn_text(row).split()[:8])
        assert DRAWABLE.search(head), head
        assert re.search(rf" on an? ({COLOURS}) background\b", drawn_text(row)), drawn_text(row)
    assert placeholders(definition.prompt_template)[0] in ("visual_layout", "description")


@every_set
def test_every_row_is_worth_drawing_and_different(definition):
    rows = definition.items.rows
    texts = [drawn_text(row) for row in rows]
    assert all(15 <= len(text.split()) <= 35 for text in texts)
    assert len(set(texts)) == len(rows)
    assert len({item_name(row, definition.items.columns) for row in rows}) == len(rows)
    for number, row in enumerate(rows):  # a sentence is nobody else's
        for other in rows[number + 1 :]:
            shared = set(drawn_text(row).lower().split()) & set(drawn_text(other).lower().split())
            assert len(shared) < 0.8 * len(set(drawn_text(row).lower().split())), (row, other)


@every_set
def test_a_prompt_fits_into_what_a_clip_text_encoder_reads(definition):
    # 77 tokens, begin and end included. Common words are one token each; words and marks are a close count
    # from below, so some room is kept for the rarer words.
    theme = f"{definition.example_theme}, copper and midnight blue"
    for prompt in prompts_of(definition, theme):
        assert len(re.findall(r"\w+|[^\w\s]", prompt)) <= 65, prompt


@every_set
def test_a_prompt_reads_as_clean_sentences(definition):
    for prompt in prompts_of(definition, definition.example_theme):
        assert prompt.startswith(f"{definition.base_prompt}. Art style: {definition.example_theme}. ")
        assert prompt.endswith(definition.style_suffix)
        assert not re.search(r"\.\.|\s\s|[{}]| [.,]|,\.", prompt), prompt


@every_set
def test_a_set_survives_being_written_and_parsed(definition):
    assert parse_csv(write_csv(definition.items)) == definition.items
