"""How a picture was made, as lines for people."""

from dataclasses import dataclass

from gallery.models import Image
from gallery.names import readable
from imagineer.engine.infotext import write_parameters
from imagineer.engine.schedulers import SCHEDULERS


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
            lines.append(Line("LoRA", f"{readable(str(lora.get('name', '')))} × {lora.get('weight', 1)}"))
    lines += [
        Line(name, name_scheduler(parameters[key]) if key == "scheduler" else str(parameters[key])[:200])
        for key, name in NUMBERS.items()
        if isinstance(parameters.get(key), (str, int, float))
    ]
    asked = parameters.get("asked_width"), parameters.get("asked_height")
    if all(isinstance(side, int) for side in asked) and asked != (image.width, image.height):
        lines.append(Line("Asked for", f"{asked[0]} × {asked[1]}"))
    return lines


def name_scheduler(value) -> str:
    """As most programs write it, if it is one of ours."""
    known = SCHEDULERS.get(str(value))
    if known is None:
        return readable(str(value)[:200])
    schedule = "" if known.a1111_schedule == "Automatic" else f" {known.a1111_schedule}"
    return known.a1111_sampler + schedule


def listed(value) -> list:
    return value if isinstance(value, list) else []


def write_infotext(image: Image) -> str:
    """The whole recipe as A1111's text, which most programs read; of a foreign picture, as much as is known."""
    parameters = image.generation_params
    try:
        return write_parameters(parameters)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        pass  # the parameters come from another program
    lines = [image.prompt] if image.prompt else []
    if image.negative_prompt:
        lines.append(f"Negative prompt: {image.negative_prompt}")
    known = {"Steps": "steps", "CFG scale": "guidance_scale", "Seed": "seed"}
    pairs = [
        f"{name}: {str(parameters[key])[:200]}"
        for name, key in known.items()
        if isinstance(parameters.get(key), (str, int, float))
    ]
    if lines or pairs:
        lines.append(", ".join([*pairs, f"Size: {image.width}x{image.height}"]))
    return "\n".join(lines)
