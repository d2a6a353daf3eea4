from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.urls import reverse

from gallery.models.images import SourceType
from gallery.querysets import AlbumQuerySet


class Album(models.Model):
    """Pictures in an order. ``image_count``, ``cover`` and ``is_public`` are written by ``gallery.services``."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    source_type = models.CharField(
        max_length=20, choices=SourceType, default=SourceType.MANUAL, editable=False
    )
    source_id = models.BigIntegerField(null=True, editable=False, help_text="The run or scrape job.")
    is_public = models.BooleanField("public", default=True)
    is_training_source = models.BooleanField(
        "training source", default=False, help_text="Offered when a LoRA is trained."
    )
    cover = models.ForeignKey("Image", models.SET_NULL, null=True, blank=True, related_name="+")
    image_count = models.PositiveIntegerField(
        default=0, editable=False, help_text="Pictures in it that are neither trashed nor retracted."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    request_key = models.UUIDField(
        null=True,
        unique=True,
        editable=False,
        help_text="Of the form that asked for it: sent twice, made once.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    images = models.ManyToManyField("Image", through="AlbumImage", related_name="albums")

    objects = AlbumQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(source_type__in=SourceType.values), name="album_source_type_known"
            ),
        ]
        indexes = [
            models.Index(fields=["-id"], condition=Q(is_public=True), name="album_public_newest_first"),
            models.Index(Lower("name"), F("id"), condition=Q(is_public=True), name="album_public_by_name"),
            models.Index(
                fields=["-image_count", "-id"], condition=Q(is_public=True), name="album_public_largest_first"
            ),
            models.Index(fields=["source_type", "source_id"], name="album_source"),
        ]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("album", args=[self.pk])


class AlbumImage(models.Model):
    """The place of a picture in an album; in an album made from a template the position is the row's."""

    album = models.ForeignKey(Album, models.CASCADE, related_name="places")
    image = models.ForeignKey("Image", models.CASCADE, related_name="places")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["album", "image"], name="album_holds_an_image_once")]
        indexes = [models.Index(fields=["album", "position", "id"], name="album_in_order")]

    def __str__(self):
        return f"{self.position} of album {self.album_id}"
