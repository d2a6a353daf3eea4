"""Write prompts for pictures in as many wordings as people and templates use, and keep some wordings for the judge.

A prompt names the subject and may leave the rest out. Between the words that count stand words that do not: fillers,
numbers, unknown words, and in the long form of the templates even other subjects, after the one that is meant.
The first subject that a prompt names is the one to draw.
"""

import random

from .pictures import BY_NAME, Picture
from .styles import COLOUR_WORDS, STYLES
from .subjects import COURT, SUBJECTS
from .words import ADJECTIVES, BASES, CARD_VALUES, CLAUSES, NUMERALS, SUFFIXES, THEMES


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
    syllables = "ba co di fu ga he jo ka lin mor nu pel qua ris sto tur vi wen xa yo zel ton ber ska que ing est".split()
    return "".join(rng.choices(syllables, k=rng.randint(2, 4)))


def _filler(rng: random.Random) -> str:
    return rng.choice(ADJECTIVES) if rng.random() < 0.85 else _unknown(rng)


def _coloured(picture: Picture, noun: str, rng: random.Random) -> str:
    """The noun with article, its colour and perhaps a word that means nothing to the picture."""
    words = [_filler(rng)] if rng.random() < 0.25 else []
    if picture.colour:
        colour = _colour(picture.colour, rng)
        if rng.random() < 0.12:
            return f"{_article(noun, rng)} {noun} in {colour}"
        words.append(colour)
    phrase = " ".join([*words, noun])
    return phrase if rng.random() < 0.2 else f"{_article(phrase, rng)} {phrase}"


def _background(name: str, rng: random.Random) -> str:
    colour = _colour(name, rng)
    forms = (f"on a {colour} background", f"on {colour}", f"{colour} background", f"against a {colour} backdrop")
    return rng.choices(forms, (6, 1.5, 3, 1))[0]


def short_caption(picture: Picture, rng: random.Random) -> str:
    """`a red ram on a blue background, neon style` and its relatives."""
    noun = _coloured(picture, _noun(picture, rng), rng)
    background = _background(picture.background, rng) if rng.random() < 0.65 else ""
    tells_style = rng.random() < (0.4 if picture.style == "flat" else 0.93)
    style = _style(picture.style, rng) if tells_style else ""
    before = rng.random() < 0.3
    if style and before:
        noun = rng.choice([f"{style} {noun}", f"{style} of {noun}", f"{style} drawing of {noun}", f"{style} style {noun}"])
    joint = ", " if background and (not background.startswith(("on", "ag")) or rng.random() < 0.3) else " "
    text = noun + (joint + background if background else "")
    if style and not before:
        text += rng.choice([f", {style} style", f", {style}", f" in {style} style", f". {style.capitalize()}"])
    if rng.random() < 0.15:
        text = rng.choice(("a picture of ", "an illustration of ", "drawing of ", "a portrait of ", "an image of ")) + text
    if rng.random() < 0.12:
        text += ", " + rng.choice(SUFFIXES)
    if rng.random() < 0.1:
        text = text.capitalize()
    return text


def _distraction(rng: random.Random) -> str:
    """A clause that may name other things; none of them is drawn."""
    clause = rng.choice(CLAUSES)
    while "{" in clause:
        other = rng.choice(rng.choice(SUBJECTS).names) if rng.random() < 0.7 else _filler(rng)
        colour = rng.choice(list(COLOUR_WORDS)) if rng.random() < 0.3 else _filler(rng)
        clause = clause.replace("{thing}", other, 1).replace("{word}", colour, 1)
    return clause


def _title(picture: Picture, rng: random.Random) -> str:
    """The head of a template's row: the name of the card or sign."""
    noun = _noun(picture, rng, plain=0.45)
    group = BY_NAME[picture.subject].group
    named = " ".join(w if w in ("of", "with") else w.capitalize() for w in noun.split())
    if group == "cards" and picture.subject not in COURT and rng.random() < 0.75:
        named = f"{rng.choice(CARD_VALUES)} of {BY_NAME[picture.subject].names[-1].capitalize()}"
    forms = [named, f"The {named}", f"{named}, number {rng.choice(NUMERALS)}", f"The {named}, number {rng.choice(NUMERALS)}"]
    if group == "zodiac":
        names = BY_NAME[picture.subject].names
        forms += [f"{names[1].capitalize()}, the {names[0]}", f"{names[1].capitalize()} the {names[0]}", f"the zodiac sign {names[1]}"]
        forms += [f"{names[1].capitalize()}, {rng.choice(('fire', 'earth', 'air', 'water'))} sign, symbol: the {names[0]}"]
    return rng.choice(forms)


def template_caption(picture: Picture, rng: random.Random) -> str:
    """`A tarot card of a wise figure. Art style: neon. The Sun, number XIX: … . flat colours, centred`."""
    parts = [rng.choice(BASES)] if rng.random() < 0.9 else []
    if picture.style != "flat":
        theme = _style(picture.style, rng)
        if rng.random() < 0.3:
            theme = rng.choice([f"{theme} {rng.choice(ADJECTIVES)}", f"{rng.choice(ADJECTIVES)} {theme}", f"{theme}, {rng.choice(THEMES)}"])
        parts.append(f"Art style: {theme}")
    elif rng.random() < 0.7:
        parts.append(f"Art style: {rng.choice((*THEMES, *STYLES['flat'], _unknown(rng)))}")
    row = _title(picture, rng)
    described = rng.random()
    if described < 0.4:
        row += rng.choice((": ", ", ", " - ", ". ")) + _coloured(picture, _noun(picture, rng), rng)
    elif picture.colour:
        row = f"{row}, {_coloured(picture, _noun(picture, rng, 1.0), rng)}"
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        row += rng.choice((", ", " ", ": ", "; ", ". ")) + _distraction(rng)
    if rng.random() < 0.25:
        row += f", {_background(picture.background, rng)}"
    parts.append(row)
    if rng.random() < 0.7:
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
