"""What a table and the parts of a prompt will give, before anything is stored or drawn. Pure: no database."""

import re
from collections import Counter
from dataclasses import dataclass, field

from templates_app.csv_items import CsvItems, listed
from templates_app.prompts import (
    PromptError,
    item_name,
    placeholders,
    render_negative_prompt,
    render_prompt,
)

SHOWN_ROWS = 10
SHOWN_PROMPTS = 5
WINDOW = 75  # tokens that a text encoder of the CLIP family reads at one time; what follows is read by itself

_WORDS_AND_MARKS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class ExamplePrompt:
    position: int
    name: str
    prompt: str
    error: str = ""

    @property
    def tokens(self) -> int:
        """About as many as a tokenizer makes of it, from below: common words are one each, rare ones more."""
        return len(_WORDS_AND_MARKS.findall(self.prompt))


@dataclass(frozen=True)
class Preview:
    """The first rows and prompts of a table, and sentences about what will disappoint."""

    columns: tuple[str, ...]
    row_count: int
    rows: list[list[str]]
    prompts: list[ExamplePrompt]
    negative_prompt: str = ""
    theme: str = ""
    warnings: list[str] = field(default_factory=list)


def example_prompts(items: CsvItems, parts: dict, *, start: int = 0, count: int = SHOWN_PROMPTS):
    """The prompts of some rows with the example theme, as a run would draw them.

    :param parts: ``base_prompt prompt_template style_suffix example_theme``; others are ignored.
    """
    given = {name: parts[name] for name in ("base_prompt", "prompt_template", "style_suffix")}
    examples = []
    for position, row in enumerate(items.rows[start : start + count], start + 1):
        name = item_name(row, items.columns)
        try:
            prompt = render_prompt(**given, theme=parts["example_theme"], row=row)
            examples.append(ExamplePrompt(position, name, prompt))
        except PromptError as error:
            examples.append(ExamplePrompt(position, name, "", str(error)))
    return examples


def make_preview(items: CsvItems, parts: dict) -> Preview:
    """What a draft will give; ``parts`` are the texts of a version, which may still be wrong."""
    examples = example_prompts(items, parts, count=len(items.rows))
    return Preview(
        columns=items.columns,
        row_count=len(items.rows),
        rows=[[row[column] for column in items.columns] for row in items.rows[:SHOWN_ROWS]],
        prompts=examples[:SHOWN_PROMPTS],
        negative_prompt=_negative_prompt(parts),
        theme=parts["example_theme"],
        warnings=_warnings(items, parts, examples),
    )


def _negative_prompt(parts: dict) -> str:
    try:
        return render_negative_prompt("", parts["negative_prompt"])
    except PromptError:
        return ""


def _warnings(items: CsvItems, parts: dict, examples: list[ExamplePrompt]) -> list[str]:
    warnings = []
    if broken := [example for example in examples if example.error]:
        rows = ", ".join(str(example.position) for example in broken[:10])
        warnings.append(
            f"{_rows(len(broken))} cannot be drawn with the example theme (row {rows}"
            f"{' …' if len(broken) > 10 else ''}): {broken[0].error}"
        )
    if long := [example for example in examples if example.tokens > WINDOW]:
        warnings.append(
            f"{_rows(len(long))} with a prompt of more than about {WINDOW} tokens, first row {long[0].position} with "
            f"{long[0].tokens}. Text encoders read {WINDOW} at a time: what stands later is read apart and weighs less."
        )
    named = set(placeholders(parts["prompt_template"]))
    if not named:
        warnings.append(
            "The prompt template names no column, so every row has the same prompt. Write {column} where a row's "
            "value is to stand."
        )
    elif unused := [column for column in items.columns if column not in named]:
        warnings.append(f"Not used by the prompt template: {listed(unused)}.")
    if twins := sum(number for number in Counter(map(_cells, items.rows)).values() if number > 1):
        warnings.append(f"{_rows(twins)} stand in the table more than once, with the same cells.")
    names = Counter(example.name for example in examples)
    if doubled := [name for name, number in names.items() if number > 1]:
        warnings.append(
            f"Several rows have one name, which their pictures are saved under: {listed(doubled[:5])}"
            f"{' …' if len(doubled) > 5 else ''}."
        )
    return warnings


def _cells(row: dict) -> tuple:
    return tuple(row.values())


def _rows(number: int) -> str:
    return f"{number:,} {'row' if number == 1 else 'rows'}"
