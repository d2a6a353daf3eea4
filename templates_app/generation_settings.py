"""The generation defaults that a curator changes, and the sizes that forms offer."""

import math
from typing import NamedTuple

from django.db import transaction

from gallery.models import DiffusionModel
from imagineer.engine.model_folder import fit_size
from templates_app.models import GenerationSettings

FIELDS = (
    "aspect_ratios",
    "default_steps",
    "default_cfg_scale",
    "default_scheduler",
    "default_batch_size",
)
LEAST_SIDE, MOST_SIDE = 64, 2048  # pixels, as of an order


class SizeLimits(NamedTuple):
    """What ``fit_size`` asks of a model, from its row: no weights are looked at in a web process."""

    size_multiple: int
    max_side: int | None
    max_pixels: int | None


def size_limits(model: DiffusionModel) -> SizeLimits:
    limits = model.limits
    return SizeLimits(limits.get("size_multiple") or 8, limits.get("max_side"), limits.get("max_pixels"))


def current_settings() -> GenerationSettings:
    return GenerationSettings.objects.filter(pk=1).first() or GenerationSettings(pk=1)


@transaction.atomic
def change_settings(**changes) -> GenerationSettings:
    """Change the settings that are named. :raises ValidationError: names each wrong one; nothing is changed then."""
    GenerationSettings.objects.get_or_create(pk=1)
    settings = GenerationSettings.objects.select_for_update().get(pk=1)
    for name, value in changes.items():
        setattr(settings, name, value)
    settings.full_clean(validate_constraints=False)
    settings.aspect_ratios = [ratio | {"name": ratio["name"].strip()} for ratio in settings.aspect_ratios]
    settings.save()
    return settings


def default_options() -> dict:
    """The last word on steps, guidance scale and scheduler of an order."""
    settings = current_settings()
    return {
        "steps": settings.default_steps,
        "guidance_scale": settings.default_cfg_scale,
        "scheduler": settings.default_scheduler,
    }


def size_for(model: DiffusionModel, width: int, height: int) -> tuple[int, int]:
    """The size in pixels that a preset or a picture of this shape means for a model: no more pixels than it was trained at.

    A larger picture than that falls apart into doubled subjects (SD 1.5 at 1024 × 1024), so presets are scaled
    down to it, the aspect kept; they are never enlarged.
    """
    limits = size_limits(model)
    multiple = limits.size_multiple
    trained = (model.native_width or 0) * (model.native_height or 0)
    scale = min(1.0, MOST_SIDE / max(width, height))
    if trained:
        scale = min(scale, math.sqrt(trained / (width * height)))
    step = multiple * 8 // math.gcd(multiple, 8)
    wanted = [max(LEAST_SIDE, round(side * scale / step) * step) for side in (width, height)]
    return fit_size(limits, *wanted)
