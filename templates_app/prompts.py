"""How a row of a template becomes an item: its prompt, its name and its seed. Pure functions, no database.

A prompt has four parts: base prompt, art style, the row filled into the prompt template, style suffix. In a
prompt template `{column}` stands for the row's value. There is no escape and no other syntax: braces around
anything that could not be the name of a column, such as `{a|b}`, are text like any other.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from .csv_items import UNSTORABLE, listed

MAX_PROMPT = 2_000  # characters after trimming, for the negative prompt and each part of a template too
MAX_SEED = 2**31 - 1
MAX_ITEM_NAME = 120  # bytes of UTF-8, so that an extension and a number fit into a file name of 255

# Possessive, and no brace in the class: each character is looked at once, whatever the text.
_PLACEHOLDER = re.compile(r"\{([\w -]++)\}")
# With the full stop that follows it, which goes when the value is empty or brings its own.
_PLACEHOLDER_AND_STOP = re.compile(r"\{([\w -]++)\}(?:\.(?=\s|\Z)(\s*+))?")
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
_NAME_COLUMNS = ("name", "card", "sign")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED_FILE_NAME = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)
_POSITIONS = re.compile(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?")


class PromptError(ValueError):
    """A prompt or a template of prompts that cannot be used; the message is a sentence for the user."""


class RowSelectionError(ValueError):
    """A selection of rows that cannot be followed; the message is a sentence for the user."""


def placeholders(text: str) -> list[str]:
    """The names in `{…}` that a column could have, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def check_template(prompt_template: str, columns: Sequence[str]) -> None:
    """Raise PromptError when the template names a column that the table lacks, or is longer than a prompt."""
    _check_text(prompt_template, "prompt template")
    if unknown := [name for name in placeholders(prompt_template) if name not in columns]:
        verb = "is no column" if len(unknown) == 1 else "are no columns"
        raise PromptError(
            f"In the prompt template, {listed(unknown[:10])} {verb} of the table. "
            f"Its columns are {listed(columns)}; capital and small letters differ."
        )


def check_prompt(prompt: str) -> str:
    """Return the prompt trimmed; raise PromptError unless 1 to 2,000 storable characters are left."""
    prompt = prompt.strip()
    if not prompt:
        raise PromptError("The prompt is empty. Say what is to be drawn.")
    return _check_text(prompt, "prompt")


def render_prompt(
    *, base_prompt: str, prompt_template: str, style_suffix: str, theme: str, row: Mapping[str, str]
) -> str:
    """The prompt of one row: the four parts that are not empty, trimmed, joined by ". ".

    A part that already ends a sentence (. ! ? …) is followed by a space alone, and a full stop written behind
    a `{column}` goes when the row's value is empty or ends a sentence itself. Values and theme are inserted
    as they are: braces in them mean nothing.

    Raises PromptError when the template names a column that the row lacks, or as `check_prompt` does.
    """
    theme = theme.strip()
    parts = [
        base_prompt,
        f"Art style: {theme}" if theme else "",
        fill_row(prompt_template, row),
        style_suffix,
    ]
    prompt = ""
    for part in filter(None, map(str.strip, parts)):
        joint = "" if not prompt else " " if prompt.endswith(_SENTENCE_ENDS) else ". "
        prompt += joint + part
    return check_prompt(prompt)


def fill_row(prompt_template: str, row: Mapping[str, str]) -> str:
    """The prompt template with each `{column}` replaced by the row's value, in one pass over the template.

    Raises PromptError when the row lacks a column.
    """

    def value(match: re.Match[str]) -> str:
        column, space = match.groups()
        if column not in row:
            raise PromptError(f"The prompt template names {listed([column])}, which this row lacks.")
        text = row[column]
        if space is None:
            return text
        if not text:
            return ""
        return text + space if text.endswith(_SENTENCE_ENDS) else f"{text}.{space}"

    return _PLACEHOLDER_AND_STOP.sub(value, prompt_template)


def render_negative_prompt(user: str, template: str) -> str:
    """The user's negative prompt, then the template's, joined by ", "; either may be empty.

    Raises PromptError when the two together are too long.
    """
    parts = (part.strip().rstrip(", ") for part in (user, template))
    return _check_text(", ".join(filter(None, parts)), "negative prompt")


def item_name(row: Mapping[str, str], columns: Sequence[str]) -> str:
    """The name of a row's picture, never empty and safe as a file name without extension.

    `value_of_suit` where the row has both, else the column `name`, `card` or `sign`, else the first column
    that gives one (their names in any case). A joker therefore leaves `suit` empty and has its name in
    `value`, which comes first: `Ace_of_Spades`, `Red_Joker`. Letters and digits of any script, `_` and `-`
    are kept, spaces become `_`. Two rows may have one name; telling them apart is the caller's.
    """
    by_column = {column.casefold(): row[column] for column in reversed(columns)}
    value, suit = by_column.get("value", ""), by_column.get("suit", "")
    candidates = [f"{value} of {suit}"] if _file_name(value) and _file_name(suit) else []
    candidates += [by_column.get(column, "") for column in _NAME_COLUMNS]
    candidates += [row[column] for column in columns]
    return next(filter(None, map(_file_name, candidates)), "item")


def item_seed(seed: int, *, position: int, variant: int, row_count: int, same_seed: bool = False) -> int:
    """The seed of an item, from the run's `seed` (0 to 2147483647); `position` and `variant` count from 1.

    Rows count up from `seed`, further variants go on after the template's last row (`row_count` is the number
    of all its rows, so that an item drawn alone has the seed that it has in a whole run), past 2147483647
    from 0 again. With `same_seed` the rows share a seed, and only variants differ: they would be the same
    picture otherwise.
    """
    step = variant - 1 if same_seed else (variant - 1) * row_count + position - 1
    return (seed + step) % (MAX_SEED + 1)


def select_rows(text: str, count: int) -> list[int]:
    """The positions that "1,17-20" names, ascending, each once; blank text means all `count` rows.

    Raises RowSelectionError for anything that is not a position or a range within 1 to `count`.
    """
    if not text.strip():
        return list(range(1, count + 1))
    ranges = []
    for piece in text.split(","):
        match = _POSITIONS.fullmatch(piece.strip())
        if not match:
            raise RowSelectionError(f"{listed([piece.strip()])} is no row. Write rows as 1,17-20.")
        first = int(match[1])
        last = int(match[2] or first)
        if not 1 <= first <= last <= count:
            raise RowSelectionError(
                f"{listed([piece.strip()])} is not within the rows 1 to {count}, the smaller number first."
            )
        ranges.append((first, last))
    # Sorted, so that overlapping ranges cost no more than the rows they name.
    selected: list[int] = []
    for first, last in sorted(ranges):
        selected += range(max(first, selected[-1] + 1 if selected else 1), last + 1)
    return selected


def _check_text(text: str, what: str) -> str:
    if len(text) > MAX_PROMPT:
        raise PromptError(f"The {what} is {len(text):,} characters long; {MAX_PROMPT:,} are allowed.")
    if UNSTORABLE.search(text):
        raise PromptError(f"The {what} holds a control character. Remove it.")
    return text


def _file_name(text: str) -> str:
    """The text as a file name without extension, or "" when nothing of it can be kept."""
    kept = (
        c
        for c in unicodedata.normalize("NFC", text)
        if c.isspace() or c in "_-" or unicodedata.category(c)[0] in "LMN"
    )
    name = "_".join("".join(kept).split())
    name = name.lstrip("_-").encode()[:MAX_ITEM_NAME].decode(errors="ignore").rstrip("_-")
    return f"{name}_item" if _RESERVED_FILE_NAME.fullmatch(name) else name
