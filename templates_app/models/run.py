import json

from django.conf import settings
from django.db import connections, models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Cast

from gallery.models import Album, AlbumImage, DiffusionModel, Image, Rating
from gallery.models.images import UNRESTRICTED
from imagineer.jobs.models import ACTIVE, Job, JobStatus
from templates_app import limits
from templates_app.models.template import BatchTemplateVersion


def shown_pictures():
    """What a run or its re-rolls have put into its album and is there still, for a subquery."""
    drawn = Q(image__source_id=OuterRef("pk")) | Q(image__run_item__run__parent=OuterRef("pk"))
    places = AlbumImage.objects.filter(drawn, album=OuterRef("album")).order_by()
    return places.filter(image__trashed_at=None, image__retracted_at=None)


def shown_unrestricted():
    return shown_pictures().filter(image__rating__in=UNRESTRICTED)


class RunQuerySet(models.QuerySet):
    def listed(self):
        """Runs in their own right: a re-roll stands under its parent, a step under its session."""
        return self.filter(parent=None, has_own_album=True)

    def told_to(self, viewer):
        """Those whose names and texts are for this viewer, as :meth:`BatchGenerationRun.tells_texts_to` says."""
        if viewer.is_admin:
            return self
        told = self.filter(
            Q(
                Exists(shown_pictures() if viewer.sees_restricted else shown_unrestricted()),
                album__is_public=True,
            )
            | Q(album=None, has_own_album=True, is_public=True, job__done=0)
        )
        if viewer.sees_restricted:
            return told
        is_trusted = Q(model__name__in=settings.TRUSTED_SAFE_SOURCES) & (
            Q(reference_sha256="") | Q(reference_image__rating__in=UNRESTRICTED)
        )
        return told.exclude(rating__in=viewer.restricted_ratings).filter(~Q(rating="") | is_trusted)

    def for_lists(self):
        runs = self.select_related("job", "album", "model", "template_version", "reference_image")
        return runs.with_shown().defer("template_version__rows", "reference_image__generation_params")

    def with_shown(self):
        return self.annotate(
            has_shown=Exists(shown_pictures()), has_shown_unrestricted=Exists(shown_unrestricted())
        )

    def with_lora(self, name: str):
        """Those that draw with the LoRA of this name. SQLite looks at the JSON's text, which escapes what is not ASCII."""
        if connections[self.db].features.supports_json_field_contains:
            return self.filter(loras__contains=[{"lora": name}])
        text = Cast("loras", models.TextField())
        return self.annotate(loras_text=text).filter(loras_text__contains=f'"lora": {json.dumps(name)}')


class BatchGenerationRun(models.Model):
    """One order to draw: the options as given. What each picture is made from stands in its items.

    A run of a template draws its rows; a single picture is a run of one item without a template.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="generation_run")
    template_version = models.ForeignKey(
        BatchTemplateVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="runs"
    )
    album = models.OneToOneField(
        Album, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="generation_run"
    )
    album_name = models.CharField(max_length=200, validators=[limits.printable])
    user_theme = models.CharField(
        max_length=500,
        blank=True,
        validators=[limits.printable],
        help_text="Stands in every prompt as its art style.",
    )
    model = models.ForeignKey(DiffusionModel, on_delete=models.PROTECT, related_name="runs")
    row_selection = models.CharField(
        "rows", max_length=5000, blank=True, help_text="Such as 1,17-20; empty draws all rows."
    )
    variants = models.PositiveSmallIntegerField(
        default=1, validators=limits.VARIANTS, help_text="Pictures a row."
    )
    steps = models.PositiveSmallIntegerField(null=True, blank=True, validators=limits.STEPS)
    seed = models.BigIntegerField(null=True, blank=True, validators=limits.SEED)
    is_same_seed = models.BooleanField("same seed for all rows", default=False)
    width = models.PositiveIntegerField(null=True, blank=True, validators=limits.SIDE)
    height = models.PositiveIntegerField(null=True, blank=True, validators=limits.SIDE)
    guidance_scale = models.FloatField(null=True, blank=True, validators=limits.GUIDANCE)
    scheduler = models.CharField(max_length=32, blank=True)
    negative_prompt = models.TextField(blank=True, validators=[limits.negative_prompt_length])
    loras = models.JSONField(default=list, blank=True, help_text='[{"lora": name, "weight": 1.0}]')
    rating = models.CharField(max_length=12, choices=Rating.choices, blank=True)
    is_public = models.BooleanField(
        default=True, help_text="Whether its album is public from the first picture on."
    )
    has_own_album = models.BooleanField(
        default=True,
        editable=False,
        help_text="A re-roll and a step of a session have none: their pictures are private until one is chosen.",
    )
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="rerolls"
    )
    reference_image = models.ForeignKey(
        Image,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="runs_from_it",
        help_text="Drawing starts from this picture (image to image).",
    )
    reference_sha256 = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Stays when the reference picture is purged."
    )
    strength = models.FloatField(
        null=True,
        blank=True,
        validators=limits.STRENGTH,
        help_text="How far from the reference picture, 0.05 to 1.",
    )

    request_key = models.UUIDField(
        null=True,
        unique=True,
        editable=False,
        help_text="Of the page that confirmed the order: sent twice, ordered once.",
    )
    visitor = models.CharField(
        max_length=32,
        blank=True,
        editable=False,
        help_text="A keyed hash of the network that a visitor ordered it from; empty: an admin's.",
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "generation run"
        indexes = [models.Index(fields=["visitor"], condition=~Q(visitor=""), name="run_visitor")]
        constraints = [
            models.CheckConstraint(
                condition=Q(parent=None) | Q(has_own_album=False), name="reroll_has_no_album_of_its_own"
            ),
        ]

    def __str__(self):
        return self.album_name

    def get_absolute_url(self):
        return f"/runs/{self.pk}"

    @property
    def album_is_public(self) -> bool:
        """Whether what it makes is or will be public. An album that was deleted is public no more."""
        if self.album_id:
            return self.album.is_public
        return self.has_own_album and self.is_public and not self.job.done

    @property
    def coming_rating(self) -> str:
        """The rating that its pictures get when they are made."""
        is_trusted = self.model.name in settings.TRUSTED_SAFE_SOURCES
        if self.reference_sha256:  # what a model is shown it can repeat
            is_trusted &= self.reference_image is not None and not self.reference_image.is_restricted
        return self.rating or (Rating.SAFE if is_trusted else Rating.UNRATED)

    def tells_texts_to(self, viewer) -> bool:
        """Whether names, theme and prompts are for this viewer: as those of the pictures that it makes.

        One that is rated, trashed or withdrawn later takes the run's words along, if no other picture shows them.
        """
        if viewer.is_admin or not self.album_is_public:
            return viewer.is_admin
        if not viewer.sees_restricted and self.coming_rating in viewer.restricted_ratings:
            return False
        return self.album_id is None or self._shows(unrestricted=not viewer.sees_restricted)

    def _shows(self, *, unrestricted: bool) -> bool:
        """Of rows that come from ``RunQuerySet.for_lists()`` without a query."""
        if not hasattr(self, "has_shown"):
            row = type(self).objects.with_shown().get(pk=self.pk)
            self.has_shown, self.has_shown_unrestricted = row.has_shown, row.has_shown_unrestricted
        return self.has_shown_unrestricted if unrestricted else self.has_shown


class RunItemQuerySet(models.QuerySet):
    def wanted(self):
        """What is still to be drawn; items that have been in bad company last, so that they delay nobody."""
        return self.filter(status=JobStatus.QUEUED).order_by("is_alone", "strikes", "tries", "pk")


class RunItem(models.Model):
    """One picture to be made, written before work starts.

    ::

        queued ──▶ running ──▶ completed   in the transaction that makes its Image
          ▲           │
          ├───────────┤  drained, cancelled, or the worker died: drawn alone from then on
          │           └──────▶ failed      three errors, or three deaths while drawn alone
          └──── a person's retry ────┘
    """

    run = models.ForeignKey(BatchGenerationRun, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField(help_text="The row of the template, from 1.")
    variant = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=200)
    prompt = models.TextField()
    negative_prompt = models.TextField(blank=True)
    seed = models.BigIntegerField(validators=limits.SEED)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    steps = models.PositiveSmallIntegerField()
    guidance_scale = models.FloatField()
    scheduler = models.CharField(max_length=32)
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    is_alone = models.BooleanField(
        default=False, help_text="A worker died with it in a batch: it is drawn alone."
    )
    tries = models.PositiveSmallIntegerField(default=0, help_text="Errors so far.")
    strikes = models.PositiveSmallIntegerField(
        default=0, help_text="Deaths of a worker while it was drawn alone."
    )
    error = models.TextField(blank=True)
    image = models.OneToOneField(
        Image, on_delete=models.PROTECT, null=True, blank=True, related_name="run_item"
    )
    purged_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When its picture was deleted for good, after its days in the trash.",
    )
    chosen_image = models.OneToOneField(
        Image,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="chosen_for",
        help_text="A picture of a re-roll that has taken its place in the album.",
    )
    seconds = models.FloatField(
        null=True, blank=True, help_text="Its share of the time that drawing its batch took."
    )

    objects = RunItemQuerySet.as_manager()

    class Meta:
        ordering = ["run", "position", "variant"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position", "variant"], name="item_once_a_run"),
            models.CheckConstraint(
                condition=Q(status=JobStatus.COMPLETED, image__isnull=False, purged_at=None)
                | Q(status=JobStatus.COMPLETED, image=None, purged_at__isnull=False)
                | (~Q(status=JobStatus.COMPLETED) & Q(image=None, purged_at=None)),
                name="item_completed_with_its_picture",
            ),
            models.CheckConstraint(condition=~Q(status=JobStatus.CANCELLED), name="item_is_never_cancelled"),
        ]
        indexes = [
            models.Index(F("run"), F("status"), name="item_run_status"),
            models.Index(
                fields=["width", "height", "steps", "-id"],
                condition=Q(seconds__isnull=False),
                name="item_time_by_size",
            ),
        ]

    def __str__(self):
        return self.name

    def status_under(self, job) -> str:
        """What is true of it while its run's job is as it is: the ledger of a worker that was killed still says
        “running”, and an unfinished item of a job that has ended stays there for a retry."""
        if self.status not in ACTIVE or job.status == JobStatus.RUNNING:
            return self.status
        return JobStatus.QUEUED if job.is_active else JobStatus.CANCELLED

    @property
    def place(self) -> int:
        """Its slot of the album, from 1."""
        return (self.position - 1) * self.run.variants + self.variant
