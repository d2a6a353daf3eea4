"""The facts of a provenance step as people read them."""

from django import template

register = template.Library()

NAMES = {
    "id": "Number",
    "image_id": "Picture",
    "sha256": "SHA-256",
    "autov3": "AutoV3",
    "hash": "SHA-256 of its weights",
    "base_prompt": "Base prompt",
    "arrived_at": "Here since",
    "ordered_at": "Ordered",
    "position": "Row",
    "mime_type": "Type of file",
    "file_size": "Bytes",
    "backend": "Drawn on",
    "truncated": "Prompt cut short",
    "values": "The row",
    "fit": "Fitted by",
}
PROSE = {"prompt", "negative_prompt", "base_prompt", "prompt_template", "style_suffix", "theme", "values"}
CODE = {"sha256", "autov3", "hash"}


@register.filter
def told(facts: dict) -> list[dict]:
    """``name``, ``value``, whether it ``is_prose`` and whether it ``is_code``; what says nothing is left out.

    ``pairs`` stand in the place of ``value`` where the fact is a row of a table.
    """
    return [
        {
            "name": _name(key),
            "value": _value(value),
            "pairs": value.items() if key == "values" else None,
            "is_prose": key in PROSE,
            "is_code": key in CODE,
        }
        for key, value in facts.items()
        if value not in (None, "", False, {})
    ]


def _name(key: str) -> str:
    return NAMES.get(key) or key.replace("_", " ").capitalize()


def _value(value):
    if isinstance(value, dict):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    if isinstance(value, str) and len(value) == 20 and value.endswith("Z") and value[10:11] == "T":
        return f"{value[:10]} {value[11:16]} UTC"
    return "yes" if value is True else value
