from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from imagineer.engine.schedulers import SCHEDULERS
from templates_app import limits

MAX_ASPECT_RATIOS = 20
ASPECT_RATIOS = (
    {"name": "Square (1:1)", "width": 1024, "height": 1024},
    {"name": "Portrait (2:3)", "width": 832, "height": 1216},
    {"name": "Landscape (3:2)", "width": 1216, "height": 832},
)


def first_aspect_ratios() -> list[dict]:
    return [dict(ratio) for ratio in ASPECT_RATIOS]


def check_aspect_ratios(ratios) -> None:
    """:raises ValidationError: it is no list of ``{"name", "width", "height"}`` that an order could ask for."""
    if not isinstance(ratios, list) or not 1 <= len(ratios) <= MAX_ASPECT_RATIOS:
        raise ValidationError(f"Write a list of 1 to {MAX_ASPECT_RATIOS} aspect ratios.")
    names = set()
    for number, ratio in enumerate(ratios, 1):
        if not isinstance(ratio, dict) or set(ratio) != {"name", "width", "height"}:
            raise ValidationError(
                f'Aspect ratio {number} must look like {{"name": "Square", "width": 1024, "height": 1024}}.'
            )
        name = ratio["name"].strip() if isinstance(ratio["name"], str) else ""
        if not 1 <= len(name) <= 60:
            raise ValidationError(f"Aspect ratio {number} needs a name of 1 to 60 characters.")
        limits.printable(name)
        if name in names:
            raise ValidationError(f"Two aspect ratios are named {name}.")
        names.add(name)
        for side in (ratio["width"], ratio["height"]):
            if isinstance(side, bool) or not isinstance(side, int):
                raise ValidationError(f"{name}: width and height are whole numbers of pixels.")
            for check in limits.SIDE:
                try:
                    check(side)
                except ValidationError as error:
                    raise ValidationError(f"{name}: {' '.join(error.messages)}") from error


def check_scheduler(name: str) -> None:
    if name not in SCHEDULERS:
        raise ValidationError(f"{name!r} is not known; write one of {', '.join(SCHEDULERS)}.")


class GenerationSettings(models.Model):
    """What is drawn with when neither the order, nor the template, nor the model says. One row at most.

    Without a row the defaults below hold. Nothing secret stands here: secrets belong into the environment.
    """

    aspect_ratios = models.JSONField(
        default=first_aspect_ratios,
        validators=[check_aspect_ratios],
        help_text="The sizes offered where a size is chosen: a name, width and height in pixels.",
    )
    default_steps = models.PositiveSmallIntegerField(default=30, validators=limits.STEPS)
    default_cfg_scale = models.FloatField(
        "default guidance scale", default=7.5, validators=limits.GUIDANCE, help_text="0 to 30."
    )
    default_scheduler = models.CharField(
        max_length=32,
        default="euler",
        choices=[(name, name) for name in SCHEDULERS],
        validators=[check_scheduler],
    )
    default_batch_size = models.PositiveSmallIntegerField(
        "alternatives a step",
        default=4,
        validators=limits.VARIANTS,
        help_text="Pictures that a step of a session makes, 1 to 16.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "settings"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_row_of_settings")]

    def __str__(self):
        return "Generation settings"
