"""How a picture was made, as lines for people."""

from dataclasses import dataclass

from gallery.models import Image


@dataclass(frozen=True)
class Line:
    name: str
    value: str
    is_prose: bool = False  # worth a line of its own

    @property
    def is_copied(self) -> bool:
        return self.is_prose or self.name == NUMBERS["seed"]


# keys of the recipe that generation leaves in `generation_params`, in the order in which people look for them
NUMBERS = {
    "seed": "Seed",
    "steps": "Steps",
    "guidance_scale": "Guidance scale",
    "scheduler": "Scheduler",
    "strength": "Strength",
}


def describe_recipe(image: Image) -> list[Line]:
    """Lines of what is known; the parameters may come from other programs, so no value is taken to be of its type."""
    parameters = image.generation_params
    lines = []
    if image.prompt:
        lines.append(Line("Prompt", image.prompt, is_prose=True))
    if image.negative_prompt:
        lines.append(Line("Negative prompt", image.negative_prompt, is_prose=True))
    model = image.model or parameters.get("model")
    if isinstance(model, dict):
        model = model.get("name")
    if model:
        lines.append(Line("Model", str(model)))
    for lora in listed(parameters.get("loras")):
        if isinstance(lora, dict):
            lines.append(Line("LoRA", f"{lora.get('name', '')} × {lora.get('weight', 1)}"))
    lines += [
        Line(name, str(parameters[key])[:200])
        for key, name in NUMBERS.items()
        if isinstance(parameters.get(key), (str, int, float))
    ]
    asked = parameters.get("asked_width"), parameters.get("asked_height")
    if all(isinstance(side, int) for side in asked) and asked != (image.width, image.height):
        lines.append(Line("Asked for", f"{asked[0]} × {asked[1]}"))
    return lines


def listed(value) -> list:
    return value if isinstance(value, list) else []
