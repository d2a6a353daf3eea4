"""The LoRAs that a template or an order names, with their weights."""

from django.core.exceptions import ValidationError

from gallery.models import Lora


def check_loras(loras, *, field: str) -> list[dict]:
    """``[{"lora": name or id, "weight": 1.0}]`` with names that exist; the same LoRA twice is refused."""
    if not isinstance(loras, list):
        raise ValidationError({field: ['Write a list such as [{"lora": "ink", "weight": 0.8}].']})
    checked = []
    for entry in loras:
        if not isinstance(entry, dict) or not {"lora"} <= set(entry) <= {"lora", "weight"}:
            raise ValidationError(
                {field: ['Each entry is an object such as {"lora": "ink", "weight": 0.8}.']}
            )
        key, weight = entry["lora"], entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not -4 <= weight <= 4:
            raise ValidationError({field: [f"The weight of {key} must be a number from -4 to 4."]})
        enabled = Lora.objects.filter(is_enabled=True)
        by_id = isinstance(key, int) and not isinstance(key, bool)
        lora = (enabled.filter(pk=key) if by_id else enabled.filter(name=str(key))).first()
        if lora is None:
            raise ValidationError({field: [f"There is no LoRA {key!r} in the library."]})
        if any(other["lora"] == lora.name for other in checked):
            raise ValidationError({field: [f"{lora.name} is named twice."]})
        checked.append({"lora": lora.name, "weight": float(weight)})
    return checked


def missing_loras(loras: list[dict]) -> list[str]:
    """The names in a checked stack that the library does not offer any more."""
    names = [entry["lora"] for entry in loras]
    known = set(Lora.objects.enabled().filter(name__in=names).values_list("name", flat=True))
    return [name for name in names if name not in known]
