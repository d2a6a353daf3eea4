"""Write prompts for pictures in as many wordings as people and templates use, and keep some wordings for the judge.

A prompt names the subject and may leave the rest out. Between the words that count stand words that do not: fillers,
numbers, unknown words, and in the long form of the templates even other subjects, after the one that is meant.
The first subject that a prompt names is the one to draw.
"""

import random

from .pictures import BY_NAME, Picture
from .styles import COLOUR_WORDS, STYLES
from .subjects import COURT, SUBJECTS, SUITS
from .words import (
    ADJECTIVES,
    BASES,
    CARD_VALUES,
    CLAUSES,
    COMMON,
    COUNTS,
    DEEDS,
    ELEMENTS,
    NUMERALS,
    PEOPLE,
    PREPOSITIONS,
    SUFFIXES,
    SYLLABLES,
    THEMES,
)


def _article(noun: str, rng: random.Random) -> str:
    if rng.random() < 0.2:
        return "the"
    return "an" if noun[0] in "aeiou" else "a"


def _noun(picture: Picture, rng: random.Random, plain: float = 0.6) -> str:
    names = BY_NAME[picture.subject].names
    noun = names[0] if rng.random() < plain else rng.choice(names)
    if picture.suit:
        suit = BY_NAME[picture.suit].names[1]
        noun = rng.choice([f"{noun} of {suit}", f"{noun} of {suit}", f"{noun} with {suit}"])
    return noun


def _colour(name: str, rng: random.Random) -> str:
    return name if rng.random() < 0.75 else rng.choice(COLOUR_WORDS[name].split())


def _style(name: str, rng: random.Random) -> str:
    return name if rng.random() < 0.6 else rng.choice(STYLES[name])


def _unknown(rng: random.Random) -> str:
    """A word that nobody knows: what a prompt in another language or with a rare name looks like."""
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))


def _filler(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        return _unknown(rng)
    return rng.choice(ADJECTIVES if draw < 0.65 else COMMON)


def _coloured(picture: Picture, noun: str, rng: random.Random) -> str:
    """The noun with article or number, its colour, and perhaps a word that means nothing to the picture."""
    words = [_filler(rng)] if rng.random() < 0.25 else []
    count = ""
    if noun.startswith(("two ", "pair of ")):
        count, noun = noun.rsplit(" ", 1)
    elif picture.subject in SUITS and rng.random() < 0.25:
        count, noun = rng.choice(COUNTS), BY_NAME[picture.subject].names[1]
    if picture.colour:
        colour = _colour(picture.colour, rng)
        if rng.random() < (0.5 if BY_NAME[picture.subject].is_person else 0.1):
            return f"{count or _article(noun, rng)} {noun} in {colour}"
        words.append(colour)
    phrase = " ".join([*words, noun])
    if count:
        return f"{count} {phrase}"
    return phrase if rng.random() < 0.2 else f"{_article(phrase, rng)} {phrase}"


BACKGROUND_FORMS = {
    "on a {} background": 6.0,
    "{} background": 3.0,
    "on {}": 1.5,
    "against a {} backdrop": 1.0,
    "against {}": 0.5,
    "with a {} background": 0.7,
    "background: {}": 0.5,
    "background in {}": 0.5,
    "with {} as the background": 0.4,
    "in front of a {} wall": 0.5,
    "in front of {}": 0.4,
    "upon {}": 0.4,
    "set on {}": 0.4,
    "{} surroundings": 0.4,
    "{} ground": 0.4,
}


def _background(name: str, rng: random.Random) -> str:
    form = rng.choices(list(BACKGROUND_FORMS), BACKGROUND_FORMS.values())[0]
    return form.format(_colour(name, rng))


def short_caption(picture: Picture, rng: random.Random) -> str:
    """`a red ram on a blue background, neon style` and its relatives."""
    noun = _coloured(picture, _noun(picture, rng), rng)
    background = _background(picture.background, rng) if rng.random() < 0.65 else ""
    tells_style = rng.random() < (0.4 if picture.style == "flat" else 0.93)
    style = _style(picture.style, rng) if tells_style else ""
    before = rng.random() < 0.3
    if style and before:
        noun = rng.choice(
            [f"{style} {noun}", f"{style} of {noun}", f"{style} drawing of {noun}", f"{style} style {noun}"]
        )
    joint = (
        ", "
        if background
        and (not background.startswith(("on", "ag", "in ", "up", "set", "with")) or rng.random() < 0.3)
        else " "
    )
    text = noun + (joint + background if background else "")
    if style and not before:
        text += rng.choice(
            [f", {style} style", f", {style}", f" in {style} style", f". {style.capitalize()}"]
        )
    if rng.random() < 0.15:
        text = (
            rng.choice(
                ("a picture of ", "an illustration of ", "drawing of ", "a portrait of ", "an image of ")
            )
            + text
        )
    if rng.random() < 0.12:
        text += ", " + rng.choice(SUFFIXES)
    if rng.random() < 0.1:
        text = text.capitalize()
    return text


def _distraction(rng: random.Random) -> str:
    """A clause that may name other things; none of them is drawn."""
    draw = rng.random()
    if draw < 0.12:
        return " ".join(rng.choices(COMMON, k=rng.randint(2, 7)))
    if draw < 0.5:
        return _aside(rng)
    clause = rng.choice(CLAUSES)
    while "{" in clause:
        other = rng.choice(rng.choice(SUBJECTS).names) if rng.random() < 0.7 else _filler(rng)
        colour = rng.choice(list(COLOUR_WORDS)) if rng.random() < 0.3 else _filler(rng)
        clause = clause.replace("{thing}", other, 1).replace("{word}", colour, 1)
    return clause


def _aside(rng: random.Random) -> str:
    """`one bright star resting on her open palm`: another thing, with words around it."""
    thing = rng.choice(rng.choice(SUBJECTS).names)
    marks = [rng.choice(("a", "a", "one", "the", "his", "her", "its", "two", "twelve", "some", ""))]
    if rng.random() < 0.6:
        marks.append(rng.choice(list(COLOUR_WORDS)) if rng.random() < 0.4 else _filler(rng))
    around = rng.choices((*COMMON, *PREPOSITIONS * 12), k=rng.randint(0, 5))
    before = rng.choices((*COMMON, *PREPOSITIONS * 30), k=rng.randint(0, 2))
    return " ".join(word for word in (*before, *marks, thing, *around) if word)


def _named(noun: str) -> str:
    return " ".join(word if word in ("of", "with") else word.capitalize() for word in noun.split())


def _title(picture: Picture, rng: random.Random) -> str:
    """The name of the card or sign as templates write it."""
    subject = BY_NAME[picture.subject]
    named = _named(_noun(picture, rng, plain=0.45))
    number = rng.choice(NUMERALS)
    if subject.group == "cards" and picture.subject not in COURT and rng.random() < 0.75:
        named = f"{rng.choice(CARD_VALUES)} of {subject.names[-1].capitalize()}"
    forms = [
        named,
        f"The {named}",
        f"{named}, number {number}",
        f"The {named}, number {number}",
        f"{number} The {named}",
    ]
    if subject.group == "tarot":
        forms += [f"{number} The {named}", f"{number} {named}"] * 2
    if subject.group == "zodiac":
        sign, symbol, element = subject.names[1].capitalize(), _named(subject.name), rng.choice(ELEMENTS)
        forms += [
            f"{sign}, the {subject.name}",
            f"{sign} the {symbol}, {element} sign",
            f"the zodiac sign {sign}",
        ] * 2
        forms.append(f"{sign}, {element} sign, symbol: the {subject.name}")
    if picture.suit or subject.group == "cards":
        forms.append(f"The {named} {rng.choice(DEEDS)}")
    return rng.choice(forms)


def _row(picture: Picture, rng: random.Random) -> str:
    """A row's own words. A title decides what is drawn, wherever it stands; without one the first thing named does."""
    subject = BY_NAME[picture.subject]
    background = ""
    if rng.random() < 0.6:
        background = rng.choice((" ", " ", ", ")) + _background(picture.background, rng)
    clauses = [_distraction(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 4)))]
    has_title = rng.random() < 0.75 or (picture.suit and rng.random() < 0.5)
    noun = _noun(picture, rng)
    if subject.group in ("tarot", "cards") and has_title and rng.random() < 0.3:
        # The description begins with something else, and the title says what it is about.
        other = rng.choice(SUBJECTS)
        noun = rng.choice((rng.choice(PEOPLE), rng.choice(other.names)))
    described = _coloured(picture, noun, rng) + background
    if not has_title:
        return ", ".join([described, *clauses])
    title = _title(picture, rng)
    if rng.random() < 0.5:
        return ". ".join([", ".join([described, *clauses]), title])
    if picture.colour or background or rng.random() < 0.5:
        clauses.insert(0, described)
    return rng.choice((": ", ", ", ". ")).join([title, ", ".join(clauses)]) if clauses else title


def template_caption(picture: Picture, rng: random.Random) -> str:
    """`Tarot card. Art style: neon. A yellow star on a blue background, … . XVII The Star. Ornate border, rich colours`."""
    parts = [rng.choice(BASES)] if rng.random() < 0.9 else []
    if picture.style != "flat":
        theme = _style(picture.style, rng)
        if rng.random() < 0.3:
            word = rng.choice(ADJECTIVES)
            theme = rng.choice([f"{theme} {word}", f"{word} {theme}", f"{theme}, {rng.choice(THEMES)}"])
        parts.append(f"Art style: {theme}")
    elif rng.random() < 0.7:
        parts.append(f"Art style: {rng.choice((*THEMES, *STYLES['flat'], _unknown(rng)))}")
    row = _row(picture, rng)
    parts.append(row[0].upper() + row[1:])
    if rng.random() < 0.8:
        parts.append(", ".join(rng.sample(SUFFIXES, rng.randint(1, 3))))
    return ". ".join(parts)


def caption(picture: Picture, rng: random.Random, *, is_long: float = 0.4) -> str:
    return template_caption(picture, rng) if rng.random() < is_long else short_caption(picture, rng)


UNSEEN = (
    "please draw me {subject}, {background} behind it, done as {style}",
    "{background} scene featuring one {subject} - {style} look",
    "show {subject}! {style} rendering over {background}",
    "I would like {subject} with {background} all around, think {style}",
    "{style} artwork: {subject}; the backdrop is {background}",
)


def plain_prompt(picture: Picture) -> str:
    """The wording that the form's chips produce."""
    colour = f"{picture.colour} " if picture.colour else ""
    return f"a {colour}{picture.subject} on a {picture.background} background, {picture.style} style"


def unseen_prompt(picture: Picture, rng: random.Random) -> str:
    """A wording that training never uses; the words that count are the same."""
    subject = f"{picture.colour} {picture.subject}" if picture.colour else picture.subject
    return rng.choice(UNSEEN).format(subject=subject, background=picture.background, style=picture.style)
