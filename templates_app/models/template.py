from django.conf import settings
from django.db import models

from gallery.models import Rating
from templates_app import limits


class BatchTemplateQuerySet(models.QuerySet):
    def active(self):
        return self.filter(is_archived=False)

    def with_current(self):
        """Templates with what lists show of their current version; its rows, which may be many, stay behind."""
        return self.select_related("current").defer("current__rows")


class BatchTemplate(models.Model):
    """Instructions for a set of pictures. What influences a picture stands in its versions."""

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True)
    current = models.OneToOneField(
        "BatchTemplateVersion", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    is_archived = models.BooleanField(default=False, help_text="Hides it from the lists; its runs stay.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BatchTemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class BatchTemplateVersion(models.Model):
    """A template as it was from one edit to the next. Never changed: runs are explained by it for ever."""

    template = models.ForeignKey(BatchTemplate, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    base_prompt = models.TextField(blank=True, validators=[limits.prompt_length])
    prompt_template = models.TextField(validators=[limits.prompt_length])
    style_suffix = models.TextField(blank=True, validators=[limits.prompt_length])
    example_theme = models.CharField(max_length=500, blank=True)
    width = models.PositiveIntegerField(default=512, validators=limits.SIDE)
    height = models.PositiveIntegerField(default=512, validators=limits.SIDE)
    negative_prompt = models.TextField(blank=True, validators=[limits.negative_prompt_length])
    lora_config = models.JSONField(default=list, blank=True, help_text='[{"lora": name, "weight": 1.0}]')
    rating = models.CharField(
        max_length=12,
        choices=Rating.choices,
        blank=True,
        help_text="A curator's word for everything drawn from it; empty: unrated.",
    )
    columns = models.JSONField()
    rows = models.JSONField()
    row_count = models.PositiveIntegerField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    # what an edit may change; the service compares these to see whether there is a new version
    CONTENT = (
        "base_prompt",
        "prompt_template",
        "style_suffix",
        "example_theme",
        "width",
        "height",
        "negative_prompt",
        "lora_config",
        "rating",
        "columns",
        "rows",
    )

    class Meta:
        ordering = ["template", "-number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="template_version_number")]

    def __str__(self):
        return f"{self.template} v{self.number}"
