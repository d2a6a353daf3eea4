"""The limits of what may be asked for, each with its own sentence (docs: README, "Limits").

They stand on the model fields, so that the admin, the API and the commands refuse the same things.
"""

import math
import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator

from gallery.names import JOINERS, UNPRINTABLE
from templates_app.csv_items import UNSTORABLE
from templates_app.prompts import MAX_PROMPT, MAX_SEED

MAX_VARIANTS = 16
MAX_DESCRIPTION = 5_000  # characters


def between(least, most, what: str) -> list:
    sentence = f"{what} must be from {least} to {most}."
    return [MinValueValidator(least, sentence), MaxValueValidator(most, sentence)]


STEPS = between(1, 150, "The number of steps")


def finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValidationError("This must be a number; it is infinite or none.")


GUIDANCE = [finite, *between(0, 30, "The guidance scale")]
STRENGTH = [finite, *between(0.05, 1, "The strength")]
SEED = between(0, MAX_SEED, "The seed")
VARIANTS = between(1, MAX_VARIANTS, "The number of variants")


def divisible_by_eight(value: int) -> None:
    if value % 8:
        raise ValidationError(
            f"Width and height must be divisible by 8; {value} is not, {value - value % 8} is."
        )


SIDE = [*between(64, 2048, "Width and height"), divisible_by_eight]


def prompt_length(text: str) -> None:
    if len(text.strip()) > MAX_PROMPT:
        raise ValidationError(
            f"A prompt may have {MAX_PROMPT:,} characters; this one has {len(text.strip()):,}."
        )


def negative_prompt_length(text: str) -> None:
    if len(text.strip()) > MAX_PROMPT:
        raise ValidationError(
            f"A negative prompt may have {MAX_PROMPT:,} characters; this one has {len(text.strip()):,}."
        )


def description_length(text: str) -> None:
    if len(text.strip()) > MAX_DESCRIPTION:
        raise ValidationError(
            f"A description may have {MAX_DESCRIPTION:,} characters; this one has {len(text.strip()):,}."
        )


def storable(text: str) -> None:
    if UNSTORABLE.search(text):
        raise ValidationError("This holds a control character or half of a sign. Remove it.")


def printable(text: str) -> None:
    if any(unicodedata.category(sign) in UNPRINTABLE and sign not in JOINERS for sign in text):
        raise ValidationError("This holds control characters or line breaks; write plain text on one line.")
