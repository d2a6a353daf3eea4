"""Prompt templates: kept, found, and put into a prompt."""

import tomllib
from itertools import groupby
from pathlib import Path

from django.db import transaction

from templates_app.models import PromptTemplate, RunItem

PLACEHOLDER = "{prompt}"
OFFERED = 100  # templates beside a form; the library's page has them all
LOOKED_THROUGH, REMEMBERED = 60, 8  # orders, and prompts of them
OURS = Path(__file__).with_name("prompt_templates.toml")


def save_prompt_template(template: PromptTemplate | None = None, **content) -> PromptTemplate:
    """Add a template, or change what is named of one. :raises ValidationError: names each wrong field."""
    template = template or PromptTemplate()
    for name, value in content.items():
        setattr(template, name, value.strip() if isinstance(value, str) else value)
    template.full_clean()
    template.save()
    return template


def fill_in(template: PromptTemplate, *, prompt: str = "", negative_prompt: str = "") -> tuple[str, str]:
    """The prompt and the negative prompt with the template put into them; ``fill_form.js`` does the same.

    What stands in the negative prompt already is not doubled.
    """
    prompt, negative_prompt = prompt.strip(), negative_prompt.strip()
    if PLACEHOLDER in template.prompt_text:
        filled = template.prompt_text.replace(PLACEHOLDER, prompt)
    else:
        filled = join(prompt, template.prompt_text)
    if template.negative_prompt not in negative_prompt:
        negative_prompt = join(negative_prompt, template.negative_prompt)
    return filled.strip(" ,"), negative_prompt


def join(first: str, second: str) -> str:
    return ", ".join(filter(None, [first.rstrip(" ,"), second]))


def offer() -> list[tuple[str, list[PromptTemplate]]]:
    """What stands beside a form: (category, its templates), favourites first in a group of their own."""
    templates = list(PromptTemplate.objects.best_first()[:OFFERED])
    return [
        (name, list(group))
        for name, group in groupby(
            templates,
            key=lambda template: "Favourites" if template.is_favorite else template.category or "Others",
        )
    ]


def recall() -> list[RunItem]:
    """The prompts written lately, each once, for the eyes of admins: one item of each order without a template."""
    latest = RunItem.objects.filter(run__template_version=None, run__parent=None, position=1, variant=1)
    rows = latest.only("prompt", "negative_prompt").order_by("-pk")[:LOOKED_THROUGH]
    by_prompt: dict[str, RunItem] = {}
    for item in rows:
        by_prompt.setdefault(item.prompt, item)
    return list(by_prompt.values())[:REMEMBERED]


@transaction.atomic
def seed_prompt_templates() -> list[PromptTemplate]:
    """Put ours into the library; one whose name is there already is left as it is. Returns those added."""
    ours = tomllib.loads(OURS.read_text())["prompt_template"]
    known = set(
        PromptTemplate.objects.filter(name__in=[entry["name"] for entry in ours]).values_list(
            "name", flat=True
        )
    )
    return [save_prompt_template(**entry) for entry in ours if entry["name"] not in known]
