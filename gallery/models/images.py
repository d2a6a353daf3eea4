from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from gallery.querysets import ImageQuerySet


class SourceType(models.TextChoices):
    MANUAL = "manual", "Manual"
    BATCH_GENERATION = "batch_generation", "Generated"
    SCRAPE = "scrape", "Scraped"


class Rating(models.TextChoices):
    UNRATED = "unrated", "Unrated"
    SAFE = "safe", "Safe"
    SUGGESTIVE = "suggestive", "Suggestive"
    ADULT = "adult", "Adult"
    EXPLICIT = "explicit", "Explicit"


class RatingSource(models.TextChoices):
    """Whose word the rating is, weakest first; see ``gallery.ratings``."""

    NOBODY = "", "Nobody"
    MACHINE = "machine", "A machine"
    DECLARED = "declared", "Declared for the whole run"
    PERSON = "person", "A person"


class Image(models.Model):
    """One picture. Its bytes lie once under their SHA-256; several generated pictures may share them.

    ``rating`` is written by ``gallery.ratings`` alone, ``is_public`` by ``gallery.services`` alone.
    """

    sha256 = models.CharField("SHA-256", max_length=64, editable=False, help_text="Of the original bytes.")
    file = models.FileField(max_length=120, editable=False)
    filename = models.CharField(
        max_length=255, help_text="The name shown and used for downloads; never a path."
    )
    mime_type = models.CharField("MIME type", max_length=50, editable=False)
    width = models.PositiveIntegerField(editable=False, help_text="Pixels, as seen: orientation applied.")
    height = models.PositiveIntegerField(editable=False)
    file_size = models.PositiveIntegerField(editable=False, help_text="Bytes.")
    phash = models.BigIntegerField(
        "perceptual hash", editable=False, help_text="64 bits, as a signed number."
    )
    is_own_encoding = models.BooleanField(
        default=False,
        editable=False,
        help_text="The bytes come from our own encoder. All others leave the house only re-encoded, "
        "without what their maker left in them (place, serial number, appended data).",
    )
    source_type = models.CharField(max_length=20, choices=SourceType, editable=False)
    source_id = models.BigIntegerField(null=True, editable=False, help_text="Run, scrape job or upload.")
    prompt = models.TextField(blank=True)
    negative_prompt = models.TextField(blank=True)
    generation_params = models.JSONField(default=dict, blank=True, editable=False)
    model = models.ForeignKey(
        "DiffusionModel", models.SET_NULL, null=True, blank=True, editable=False, related_name="images"
    )
    reference_image = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="variations"
    )
    rating = models.CharField(max_length=10, choices=Rating, default=Rating.UNRATED, editable=False)
    rating_source = models.CharField(
        max_length=10, choices=RatingSource, default=RatingSource.NOBODY, blank=True, editable=False
    )
    is_public = models.BooleanField(default=False, editable=False)
    trashed_at = models.DateTimeField(null=True, editable=False)
    retracted_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["sha256"],
                condition=~Q(source_type=SourceType.BATCH_GENERATION),
                name="image_once_unless_generated",
            ),
            models.CheckConstraint(condition=Q(rating__in=Rating.values), name="image_rating_known"),
            models.CheckConstraint(
                condition=Q(source_type__in=SourceType.values), name="image_source_type_known"
            ),
            models.CheckConstraint(
                condition=Q(is_public=False) | Q(trashed_at=None, retracted_at=None),
                name="image_gone_is_not_public",
            ),
        ]
        indexes = [
            # rating stands in the index, so that skipping restricted pictures reads no rows
            models.Index(
                F("id").desc(), "rating", condition=Q(is_public=True), name="image_public_newest_first"
            ),
            models.Index(
                fields=["source_type", "-id"], condition=Q(is_public=True), name="image_public_by_source"
            ),
            models.Index(fields=["rating", "-id"], name="image_by_rating"),
            models.Index(fields=["source_type", "source_id", "-id"], name="image_by_run"),
            models.Index(fields=["sha256"], name="image_sha256"),
            models.Index(
                fields=["trashed_at"], condition=Q(trashed_at__isnull=False), name="image_trash_by_age"
            ),
        ]

    def __str__(self):
        return self.filename

    def get_absolute_url(self):
        return reverse("image", args=[self.pk])

    @property
    def is_restricted(self) -> bool:
        """For the public; a picture that nobody has rated counts as adult."""
        return self.rating not in UNRESTRICTED

    @property
    def is_gone(self) -> bool:
        return self.trashed_at is not None or self.retracted_at is not None


UNRESTRICTED = (Rating.SAFE, Rating.SUGGESTIVE)
