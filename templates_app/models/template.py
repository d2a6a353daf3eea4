from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Subquery

from gallery.models import Rating
from templates_app import limits

PROMPT_PART = [limits.prompt_length, limits.storable]


class BatchTemplateQuerySet(models.QuerySet):
    def active(self):
        return self.filter(is_archived=False)

    def visible_to(self, viewer):
        """All for admins; for all others those in use whose pictures, and so whose prompts, are for them."""
        if viewer.is_admin:
            return self
        active = self.active()
        if viewer.sees_restricted:
            return active
        return active.exclude(current__rating__in=(Rating.ADULT, Rating.EXPLICIT))

    def with_current(self):
        """Templates with what lists show of their current version; its rows, which may be many, stay behind."""
        return self.select_related("current").defer("current__rows")

    def with_latest_album(self, albums):
        """Annotate ``album_id``: of these albums with a cover the one that was drawn from the template last."""
        drawn = albums.filter(cover__isnull=False, image_count__gt=0).order_by("-pk")
        drawn = drawn.filter(generation_run__template_version__template=OuterRef("pk"))
        return self.annotate(album_id=Subquery(drawn.values("pk")[:1]))


class BatchTemplate(models.Model):
    """Instructions for a set of pictures. What influences a picture stands in its versions."""

    name = models.CharField(
        max_length=200,
        unique=True,
        validators=[limits.printable],
        error_messages={"unique": "There is a template of this name already; choose another name."},
    )
    description = models.TextField(blank=True, validators=[limits.description_length, limits.storable])
    current = models.OneToOneField(
        "BatchTemplateVersion", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    is_archived = models.BooleanField(default=False, help_text="Hides it from the lists; its runs stay.")
    source_file = models.CharField(
        max_length=255, blank=True, editable=False, help_text="The file of the sets folder that it came from."
    )
    source_sha256 = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Of what was taken in from there last."
    )
    source_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="The version that this made; a later one was made by hand."
    )
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
        constraints = [
            models.UniqueConstraint(
                fields=["source_file"], condition=~models.Q(source_file=""), name="template_of_a_sets_file"
            )
        ]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return f"/templates/{self.pk}"


class BatchTemplateVersion(models.Model):
    """A template as it was from one edit to the next. Never changed: runs are explained by it for ever."""

    template = models.ForeignKey(BatchTemplate, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    base_prompt = models.TextField(blank=True, validators=PROMPT_PART)
    prompt_template = models.TextField(validators=PROMPT_PART)
    style_suffix = models.TextField(blank=True, validators=PROMPT_PART)
    example_theme = models.CharField(max_length=500, blank=True, validators=[limits.printable])
    width = models.PositiveIntegerField(default=512, validators=limits.SIDE)
    height = models.PositiveIntegerField(default=512, validators=limits.SIDE)
    negative_prompt = models.TextField(
        blank=True, validators=[limits.negative_prompt_length, limits.storable]
    )
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
