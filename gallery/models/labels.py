from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from gallery.querysets import LabelQuerySet

MAX_TAG_LENGTH = 200  # characters; a tag is indexed by its text


class LabelType(models.TextChoices):
    CAPTION = "caption", "Caption"
    TAG = "tag", "Tag"
    CATEGORY = "category", "Category"


class LabelSource(models.TextChoices):
    MANUAL = "manual", "A person"
    CLAUDE = "claude", "Claude"
    LOCAL = "local", "A local model"
    SCRAPER = "scraper", "The page it was found on"
    IMPORT = "import", "Imported"
    GENERATION = "generation", "The prompt it was made from"


class Label(models.Model):
    """A statement about a picture: who said it, when, and what it corrects.

    Statements are never changed or deleted. A correction is a new one whose ``parent`` is superseded; taking a
    statement back sets ``withdrawn_at``. It is *live* while neither has happened.
    """

    image = models.ForeignKey("Image", models.CASCADE, related_name="labels")
    text = models.TextField(validators=[MaxLengthValidator(5000)])
    type = models.CharField(max_length=10, choices=LabelType, default=LabelType.TAG)
    source = models.CharField(max_length=10, choices=LabelSource, default=LabelSource.MANUAL)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    model_name = models.CharField(max_length=200, blank=True, help_text="The machine that said it.")
    prompt_version = models.CharField(max_length=50, blank=True, help_text="What the machine was asked.")
    confidence = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(1)], help_text="0 to 1."
    )
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="corrections")
    superseded_at = models.DateTimeField(null=True, blank=True, editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LabelQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(type__in=LabelType.values), name="label_type_known"),
            models.CheckConstraint(condition=Q(source__in=LabelSource.values), name="label_source_known"),
            models.CheckConstraint(
                condition=Q(confidence=None) | Q(confidence__gte=0, confidence__lte=1),
                name="label_confidence_is_a_share",
            ),
        ]
        indexes = [
            models.Index(
                fields=["image", "type"],
                condition=Q(superseded_at=None, withdrawn_at=None),
                name="label_live_of_image",
            ),
            models.Index(
                fields=["text", "image"],
                condition=Q(superseded_at=None, withdrawn_at=None, type=LabelType.TAG),
                name="label_live_tag",
            ),
        ]

    def __str__(self):
        return self.text[:80]

    def clean(self):
        if self.type != LabelType.CAPTION and len(self.text) > MAX_TAG_LENGTH:
            raise ValidationError(
                {"text": f"A {self.type} has at most {MAX_TAG_LENGTH} characters; write a caption instead."}
            )
