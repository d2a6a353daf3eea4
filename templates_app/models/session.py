from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from gallery.models import Album, AlbumImage, Image
from templates_app import limits
from templates_app.models.run import BatchGenerationRun, RunItem


class EntryType(models.TextChoices):
    SCRATCH = "scratch", "From scratch"
    REFINEMENT = "refinement", "Refines a picture"


class SessionStatus(models.TextChoices):
    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class SessionQuerySet(models.QuerySet):
    def active(self):
        return self.filter(status=SessionStatus.ACTIVE)

    def with_counts(self):
        """How many steps there are, how many pictures they made and how many of those are kept."""
        pictures = RunItem.objects.filter(
            run__session_step__session=OuterRef("pk"), image__isnull=False
        ).order_by()
        kept = pictures.filter(
            Exists(AlbumImage.objects.filter(image=OuterRef("image"))),
            image__trashed_at=None,
            image__retracted_at=None,
        )
        return self.annotate(
            step_count=_count(GenerationStep.objects.filter(session=OuterRef("pk")).order_by(), "session"),
            image_count=_count(pictures, "run__session_step__session"),
            kept_count=_count(kept, "run__session_step__session"),
        )


def _count(rows, by: str):
    number = rows.values(by).annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number, output_field=models.IntegerField()), 0)


class GenerationSession(models.Model):
    """Looking for one picture: a tree of steps, each with alternatives to choose from.

    ::

        active ──▶ completed   nothing is being drawn; what is not kept stays, or goes to the trash if so said
           └─────▶ abandoned   what is being drawn is cancelled; what is not kept goes to the trash
    """

    name = models.CharField(max_length=200, validators=[limits.printable])
    entry_type = models.CharField(max_length=10, choices=EntryType, default=EntryType.SCRATCH, editable=False)
    source_image = models.ForeignKey(
        Image,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="sessions_from_it",
    )
    status = models.CharField(
        max_length=10, choices=SessionStatus, default=SessionStatus.ACTIVE, editable=False
    )
    album = models.ForeignKey(
        Album,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="sessions",
        help_text="Where its pictures were kept last; offered for the next.",
    )
    is_discarding = models.BooleanField(
        default=False, editable=False, help_text="What is not kept goes to the trash, by the tick."
    )
    swept_at = models.DateTimeField(null=True, editable=False)
    swept_up_to = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="The last picture that the tick has looked at."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    completed_at = models.DateTimeField(null=True, editable=False, help_text="Or abandoned.")

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=SessionStatus.ACTIVE, completed_at=None, is_discarding=False)
                | (~Q(status=SessionStatus.ACTIVE) & Q(completed_at__isnull=False)),
                name="session_ended_has_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(is_discarding=True, swept_at=None), name="session_to_be_swept"
            ),
            models.Index(fields=["status", "-id"], name="session_by_status"),
        ]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return f"/sessions/{self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status == SessionStatus.ACTIVE


class StepQuerySet(models.QuerySet):
    def for_lists(self):
        """With the run, its job and model, and the prompt of its pictures."""
        first = RunItem.objects.filter(run=OuterRef("run")).order_by("pk")
        return self.select_related("run__job", "run__model").annotate(
            prompt=Subquery(first.values("prompt")[:1])
        )


class GenerationStep(models.Model):
    """One try: a run of some alternatives. What it was drawn with stands in the run and its items."""

    session = models.ForeignKey(GenerationSession, on_delete=models.CASCADE, related_name="steps")
    parent = models.ForeignKey(
        "self",
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="children",
        help_text="None: it begins at the root.",
    )
    position = models.PositiveIntegerField(help_text="In the order in which the steps were taken, from 1.")
    run = models.OneToOneField(BatchGenerationRun, on_delete=models.PROTECT, related_name="session_step")
    chosen_image = models.ForeignKey(
        Image, on_delete=models.SET_NULL, null=True, blank=True, related_name="steps_that_chose_it"
    )
    request_key = models.UUIDField(
        null=True,
        unique=True,
        editable=False,
        help_text="Of the form that asked for it: sent twice, drawn once.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ["session", "position"]
        constraints = [models.UniqueConstraint(fields=["session", "position"], name="session_step_position")]

    def __str__(self):
        return f"Step {self.position}"

    def get_absolute_url(self):
        return f"/sessions/{self.session_id}?step={self.position}"
