"""Write prompts for pictures in as many wordings as people and templates use, and keep some wordings for the judge.

A prompt names the subject and may leave the rest out. Between the words that count stand words that do not: fillers,
numbers, unknown words, and in the long form of the templates even other subjects, after the one that is meant.
The first subject that a prompt names is the one to draw.

What is kept from training are the five sentences of `UNSEEN`, as wholes: no caption has one of these frames, whatever
its subject, colours and style. Their words, and what they say in a few of them ("behind it", "all around", "think
neon"), occur in other sentences: the judge's second table tells whether known words are understood in a new order,
not whether new ones are.
"""

import random
import re
from typing import NamedTuple

from .pictures import BY_NAME, Picture
from .styles import COLOUR_WORDS, STYLES
from .subjects import COURT, SUBJECTS, SUITS
from .wordings import (
    BACKGROUND_AFTER,
    BACKGROUND_AROUND,
    BACKGROUND_TAGS,
    CLOSINGS,
    COLOUR_AFTER,
    COLOUR_BEFORE,
    COLOUR_TAGS,
    DETERMINERS,
    OPENINGS,
    SEPARATORS,
    SHADES,
    STYLE_AFTER,
    STYLE_AROUND,
    STYLE_TAGS,
)
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

# Words that name something here cannot stand for nothing elsewhere.
_SPOKEN_FOR = {word for names in STYLES.values() for name in names for word in name.split()} | set(SHADES)
_ADJECTIVES = tuple(word for word in ADJECTIVES if word not in _SPOKEN_FOR or word in SHADES)


class Told(NamedTuple):
    """A prompt for a picture, and which of `subject`, `colour`, `background`, `style` and `suit` it tells."""

    text: str
    says: frozenset[str]


def _choose(forms: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(forms), forms.values())[0]


def _with_articles(text: str) -> str:
    """`a` becomes `an` before a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|one\b)", r"\1n ", text)


def _article(rng: random.Random) -> str:
    return rng.choice(DETERMINERS) if rng.random() < 0.25 else "a"


def _noun(picture: Picture, rng: random.Random, plain: float = 0.6) -> str:
    names = BY_NAME[picture.subject].names
    noun = names[0] if rng.random() < plain else rng.choice(names)
    if picture.suit:
        suit = BY_NAME[picture.suit].names[1]
        noun = rng.choice([f"{noun} of {suit}", f"{noun} of {suit}", f"{noun} with {suit}"])
    return noun


def _colour(name: str, rng: random.Random) -> str:
    word = name if rng.random() < 0.75 else rng.choice(COLOUR_WORDS[name].split())
    return f"{rng.choice(SHADES)} {word}" if rng.random() < 0.1 else word


def _style(name: str, rng: random.Random) -> str:
    return name if rng.random() < 0.6 else rng.choice(STYLES[name])


def _unknown(rng: random.Random) -> str:
    """A word that nobody knows: what a prompt in another language or with a rare name looks like."""
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))


def _filler(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        return _unknown(rng)
    return rng.choice(_ADJECTIVES if draw < 0.65 else COMMON)


def _coloured(picture: Picture, noun: str, rng: random.Random, style: str = "") -> str:
    """The noun with article or number, its colour, a style as an adjective, and perhaps a word without meaning here."""
    words = [_filler(rng)] if rng.random() < 0.25 else []
    count = after = ""
    if noun.startswith(("two ", "pair of ")):
        count, noun = noun.rsplit(" ", 1)
    elif picture.subject in SUITS and noun in BY_NAME[picture.subject].names and rng.random() < 0.25:
        count, noun = rng.choice(COUNTS), BY_NAME[picture.subject].names[1]
    if picture.colour:
        colour = _colour(picture.colour, rng)
        if BY_NAME[picture.subject].is_person and rng.random() < 0.45:
            after = f" in {colour}"
        elif rng.random() < 0.14:
            after = " " + _choose(COLOUR_AFTER, rng).format(c=colour)
        else:
            words.insert(rng.randint(0, len(words)), _choose(COLOUR_BEFORE, rng).format(c=colour))
    if style:
        words.insert(rng.randint(0, len(words)), style)
    phrase = " ".join([*words, noun]) + after
    if count:
        return f"{count} {phrase}"
    return phrase if rng.random() < 0.25 else f"{_article(rng)} {phrase}"


def _background(name: str, rng: random.Random, phrase: str) -> str:
    """The phrase with its background behind it, beside it or before it."""
    draw, colour = rng.random(), _colour(name, rng)
    if draw < 0.68:
        joint = ", " if rng.random() < 0.12 else " "
        return phrase + joint + _choose(BACKGROUND_AFTER, rng).format(c=colour)
    if draw < 0.88:
        return f"{phrase}, {_choose(BACKGROUND_TAGS, rng).format(c=colour)}"
    return _choose(BACKGROUND_AROUND, rng).format(c=colour, n=phrase)


def _strange_form(colour: str, rng: random.Random) -> str:
    """A colour among words that say nothing of it.

    That it stands apart from the noun must do: nobody knows all forms.
    """
    words = (*COMMON, *PREPOSITIONS * 20)
    before, after = rng.choices(words, k=rng.randint(1, 5)), rng.choices(words, k=rng.choice((0, 0, 1, 2)))
    return " ".join([*before, colour, *after])


def _short(picture: Picture, noun: str, rng: random.Random, says: set[str]) -> str:
    """A sentence from parts: those that stand behind the noun, those around it, and remarks in any order."""
    style = _style(picture.style, rng) if "style" in says else ""
    colour = _colour(picture.colour, rng) if picture.colour else ""
    behind, tags = [], []
    places = ("tag", "behind", "around", "adjective")
    style_stands = rng.choices(places, (5, 2.5, 2.5, 0.7))[0] if style else ""
    is_remark = colour and rng.random() < 0.12  # the colour follows later
    bare = Picture(picture.subject, picture.background) if is_remark else picture
    phrase = _coloured(bare, noun, rng, style if style_stands == "adjective" else "")
    if is_remark:
        tags.append(_choose(COLOUR_TAGS, rng).format(c=colour, n=re.split(" of | with ", noun)[0]))
    if "background" in says:
        background = _colour(picture.background, rng)
        stands = rng.choices(("behind", "tag", "around", "strange"), (5.5, 3.5, 1.5, 1.0))[0]
        if stands == "around":
            phrase = _choose(BACKGROUND_AROUND, rng).format(c=background, n=phrase)
        elif stands == "strange":
            (tags if rng.random() < 0.5 else behind).append(_strange_form(background, rng))
        elif stands == "tag":
            tags.append(_choose(BACKGROUND_TAGS, rng).format(c=background))
        else:
            behind.append(_choose(BACKGROUND_AFTER, rng).format(c=background))
    if style_stands == "around":
        phrase = _choose(STYLE_AROUND, rng).format(s=style, n=phrase)
    elif style_stands == "tag":
        tags.append(_choose(STYLE_TAGS, rng).format(s=style))
    elif style_stands == "behind":
        behind.append(_choose(STYLE_AFTER, rng).format(s=style))
    if rng.random() < 0.3:
        rng.shuffle(behind)
    if rng.random() < 0.4:
        rng.shuffle(tags)
    if rng.random() < 0.12:
        tags.append(rng.choice(SUFFIXES))
    text = " ".join([phrase, *behind])
    for tag in tags:
        text += _choose(SEPARATORS, rng) + tag
    if rng.random() < 0.22:
        text = f"{rng.choice(OPENINGS)} {text}"
    if rng.random() < 0.1:
        text += rng.choice(CLOSINGS)
    return text


def tell_shortly(picture: Picture, rng: random.Random, noun: str = "") -> Told:
    """`a red ram on a blue background, neon style` and its relatives. `noun` stands for the subject's name."""
    says = {"subject"} if not noun else set()
    says |= {"suit"} if picture.suit and not noun else set()
    says |= {"colour"} if picture.colour else set()
    says |= {"background"} if rng.random() < 0.65 else set()
    says |= {"style"} if rng.random() < (0.4 if picture.style == "flat" else 0.93) else set()
    while is_unseen(text := _short(picture, noun or _noun(picture, rng), rng, says)):
        pass
    text = _with_articles(text) if rng.random() < 0.9 else text
    return Told(text.capitalize() if rng.random() < 0.1 else text, frozenset(says))


def tell_little(picture: Picture, rng: random.Random) -> Told:
    """A prompt that names no subject: of a thing that nobody knows, in another language, of a style alone, or empty."""
    draw = rng.random()
    if draw < 0.5:
        return tell_shortly(picture, rng, _unknown(rng) if rng.random() < 0.5 else rng.choice(COMMON))
    if draw < 0.6:
        return Told(_style(picture.style, rng) + rng.choice((" style", "", " look")), frozenset({"style"}))
    if draw < 0.7:
        colour = _colour(picture.background, rng)
        return Told(_choose(BACKGROUND_TAGS, rng).format(c=colour), frozenset({"background"}))
    if draw < 0.8:
        return Told("", frozenset())
    if draw < 0.9:
        return Told(rng.choice(BASES), frozenset())
    return Told(" ".join(_filler(rng) for _ in range(rng.randint(1, 8))), frozenset())


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


def _row(picture: Picture, rng: random.Random) -> tuple[str, set[str]]:
    """A row's own words. A title decides what is drawn, wherever it stands; without one the first thing named does."""
    subject = BY_NAME[picture.subject]
    has_background = rng.random() < 0.6
    says = {"subject"} | ({"colour"} if picture.colour else set())
    says |= {"background"} if has_background else set()
    clauses = [_distraction(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 4)))]
    has_title = rng.random() < 0.75 or (picture.suit and rng.random() < 0.5)
    noun = _noun(picture, rng)
    if subject.group in ("tarot", "cards") and has_title and rng.random() < 0.3:
        # The description begins with something else, and the title says what it is about.
        other = rng.choice(SUBJECTS)
        noun = rng.choice((rng.choice(PEOPLE), rng.choice(other.names)))
    described = _coloured(picture, noun, rng)
    if has_background:
        described = _background(picture.background, rng, described)
    if not has_title:
        return ", ".join([described, *clauses]), says
    title = _title(picture, rng)
    if rng.random() < 0.5:
        return ". ".join([", ".join([described, *clauses]), title]), says
    if picture.colour or has_background or rng.random() < 0.5:
        clauses.insert(0, described)
    return rng.choice((": ", ", ", ". ")).join([title, ", ".join(clauses)]) if clauses else title, says


def tell_at_length(picture: Picture, rng: random.Random) -> Told:
    """`Tarot card. Art style: neon. A yellow star on a blue background, … . XVII The Star. Ornate border, …`."""
    parts = [rng.choice(BASES)] if rng.random() < 0.9 else []
    row, says = _row(picture, rng)
    theme = ""
    if picture.style != "flat" or rng.random() < 0.3:
        says.add("style")
        theme = _style(picture.style, rng)
        if rng.random() < 0.3:
            word = rng.choice(_ADJECTIVES)
            theme = rng.choice([f"{theme} {word}", f"{word} {theme}", f"{theme}, {rng.choice(THEMES)}"])
    elif rng.random() < 0.6:
        theme = rng.choice((*THEMES, _unknown(rng)))
    if theme:
        parts.append(f"Art style: {theme}")
    parts.append(row[0].upper() + row[1:])
    if rng.random() < 0.8:
        parts.append(", ".join(rng.sample(SUFFIXES, rng.randint(1, 3))))
    says |= {"suit"} if picture.suit else set()
    return Told(_with_articles(". ".join(parts)), frozenset(says))


def caption(picture: Picture, rng: random.Random, *, share_of_long: float = 0.4) -> str:
    tell = tell_at_length if rng.random() < share_of_long else tell_shortly
    return tell(picture, rng).text


UNSEEN = (
    "please draw me {subject}, {background} behind it, done as {style}",
    "{background} scene featuring one {subject} - {style} look",
    "show {subject}! {style} rendering over {background}",
    "I would like {subject} with {background} all around, think {style}",
    "{style} artwork: {subject}; the backdrop is {background}",
)


_UNSEEN_FRAMES = re.compile(
    "|".join(re.sub(r"\\{\w+\\}", ".+", re.escape(wording)) for wording in UNSEEN), re.IGNORECASE
)


def is_unseen(text: str) -> bool:
    """Whether the text has one of the frames that are kept from training."""
    return bool(_UNSEEN_FRAMES.search(text))


def plain_prompt(picture: Picture) -> str:
    """The wording that the form's chips produce."""
    colour = f"{picture.colour} " if picture.colour else ""
    return f"a {colour}{picture.subject} on a {picture.background} background, {picture.style} style"


def unseen_prompt(picture: Picture, rng: random.Random) -> str:
    """A wording that training never uses; the words that count are the same."""
    subject = f"{picture.colour} {picture.subject}" if picture.colour else picture.subject
    return rng.choice(UNSEEN).format(subject=subject, background=picture.background, style=picture.style)
