from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from gallery.querysets import EnabledQuerySet

# Names are written into prompts, file names and commands (NAME:WEIGHT), so nothing else is let in.
valid_name = RegexValidator(
    r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z",
    "Write letters, digits, underscores, dots and hyphens, beginning with none of the last two.",
)


class Lora(models.Model):
    """A LoRA file that has been inspected and may be used in generation."""

    name = models.CharField(max_length=100, unique=True, validators=[valid_name])
    file = models.FileField(max_length=200, editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, unique=True, editable=False)
    autov3 = models.CharField(
        "AutoV3", max_length=64, blank=True, editable=False, help_text="SHA-256 of the tensors alone."
    )
    family = models.CharField(max_length=20, editable=False, help_text="Of the base model: sd15, sdxl.")
    rank = models.PositiveIntegerField(null=True, editable=False)
    alpha = models.FloatField(null=True, editable=False)
    trigger_words = models.JSONField(default=list, blank=True)
    description = models.TextField(blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EnabledQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "LoRA"

    def __str__(self):
        return self.name


class DiffusionModel(models.Model):
    """A text-to-image model that generation may load."""

    name = models.CharField(max_length=100, unique=True, validators=[valid_name])
    title = models.CharField(max_length=200, blank=True)
    location = models.CharField(
        max_length=500, help_text="A diffusers folder, a .safetensors file or a hub id."
    )
    family = models.CharField(max_length=20, blank=True, help_text="sd15, sdxl.")
    native_width = models.PositiveIntegerField(null=True, blank=True, help_text="Pixels it was trained at.")
    native_height = models.PositiveIntegerField(null=True, blank=True)
    limits = models.JSONField(
        default=dict, blank=True, help_text="max_pixels, max_side, size_multiple, as the model declares."
    )
    defaults = models.JSONField(
        default=dict, blank=True, help_text="steps, guidance_scale, scheduler, as the model declares."
    )
    sha256 = models.CharField(
        "SHA-256", max_length=64, blank=True, editable=False, help_text="Over its weight files."
    )
    hash_signature = models.CharField(
        max_length=200,
        blank=True,
        editable=False,
        help_text="Path, sizes and times of the files that the hash was computed from.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EnabledQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "diffusion model"

    def __str__(self):
        return self.title or self.name
