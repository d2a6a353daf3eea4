"""The recipe of a picture: all that is needed to draw it again, and nothing that depends on time or place."""

from functools import cache
from importlib.metadata import version

from imagineer.engine.lora_file import LoraInfo
from imagineer.engine.types import GenerationRequest, LoraRef

SCHEMA = 1


def build_recipe(
    request: GenerationRequest,
    *,
    size: tuple[int, int],
    model: dict[str, str],
    loras: tuple[tuple[LoraRef, LoraInfo], ...],
    backend: dict[str, str],
    is_truncated: bool,
) -> dict:
    """Return the recipe of a picture drawn at `size` (width, height in pixels) as a JSON-able dict."""
    recipe = {
        "schema": SCHEMA,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "truncated": is_truncated,
        "seed": request.seed,
        "asked_width": request.width,
        "asked_height": request.height,
        "width": size[0],
        "height": size[1],
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "scheduler": request.scheduler,
        "model": model,
        "loras": [
            {"name": ref.name, "weight": ref.weight, "sha256": info.sha256, "autov3": info.autov3}
            for ref, info in loras
        ],
        "backend": backend,
        "libraries": _list_libraries(),
    }
    if request.reference:
        recipe |= {
            "reference_sha256": request.reference.sha256,
            "reference_fit": "cover",
            "strength": request.strength,
        }
    return recipe


@cache
def _list_libraries() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")}
