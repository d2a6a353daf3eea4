"""The LoRAs that a template or an order names, with their weights."""

from django.core.exceptions import ValidationError

from gallery.models import Lora
from imagineer.api import MAX_ID
from templates_app.csv_items import UNSTORABLE

MAX_LORAS = 50


def check_loras(loras, *, field: str) -> list[dict]:
    """``[{"lora": name or id, "weight": 1.0}]`` with names that exist; the same LoRA twice is refused.

    :raises ValidationError: of ``field``; it names every LoRA that the library lacks.
    """
    if not isinstance(loras, list):
        raise ValidationError({field: ['Write a list such as [{"lora": "ink", "weight": 0.8}].']})
    if len(loras) > MAX_LORAS:
        raise ValidationError({field: [f"A stack may have {MAX_LORAS} LoRAs; this one has {len(loras):,}."]})
    checked, missing = [], []
    for entry in loras:
        if not isinstance(entry, dict) or not {"lora"} <= set(entry) <= {"lora", "weight"}:
            raise ValidationError(
                {field: ['Each entry is an object such as {"lora": "ink", "weight": 0.8}.']}
            )
        key, weight = entry["lora"], entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not -4 <= weight <= 4:
            raise ValidationError({field: [f"The weight of {key} must be a number from -4 to 4."]})
        lora = _find(key)
        if lora is None:
            missing.append(f"There is no LoRA {key!r} in the library.")
        elif any(other["lora"] == lora.name for other in checked):
            raise ValidationError({field: [f"{lora.name} is named twice."]})
        else:
            checked.append({"lora": lora.name, "weight": float(weight)})
    if missing:
        raise ValidationError({field: missing})
    return checked


def _find(key) -> Lora | None:
    enabled = Lora.objects.enabled()
    if isinstance(key, int) and not isinstance(key, bool):
        return enabled.filter(pk=key).first() if 0 < key <= MAX_ID else None
    name = str(key)
    return None if UNSTORABLE.search(name) else enabled.filter(name=name).first()


def missing_loras(loras: list[dict]) -> list[str]:
    """The names in a checked stack that the library does not offer any more."""
    names = [entry["lora"] for entry in loras]
    known = set(Lora.objects.enabled().filter(name__in=names).values_list("name", flat=True))
    return [name for name in names if name not in known]
