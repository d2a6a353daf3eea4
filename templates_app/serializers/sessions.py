"""Sessions for programs. To the public they are status, times and counts: alternatives are private, and so is
everything that tells of them."""

from django.db.models import Exists, OuterRef
from rest_framework import serializers

from gallery.models import AlbumImage
from imagineer.api import MAX_ID
from imagineer.jobs.models import JobStatus
from templates_app.models import EntryType, RunItem, SessionStatus
from templates_app.serializers.loras import LoraUseSerializer
from templates_app.serializers.runs import RunRequestSerializer
from templates_app.serializers.strict import StrictSerializer


class AlternativeSerializer(serializers.Serializer):
    variant = serializers.IntegerField()
    status = serializers.ChoiceField(JobStatus.choices)
    seed = serializers.IntegerField()
    image_id = serializers.IntegerField(allow_null=True)
    is_kept = serializers.BooleanField()
    is_discarded = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)


class OpenSerializer(serializers.Serializer):
    """Built by hand: all keys for an admin, and for the public null wherever ``OPEN`` does not name the key."""

    OPEN: frozenset[str]

    def to_representation(self, row) -> dict:
        shown = self.describe(row)
        if self.context["viewer"].is_admin:
            return shown
        return {name: value if name in self.OPEN else None for name, value in shown.items()}


class StepSerializer(OpenSerializer):
    id = serializers.IntegerField()
    session_id = serializers.IntegerField()
    parent_id = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField()
    run_id = serializers.IntegerField()
    status = serializers.ChoiceField(JobStatus.choices)
    total_items = serializers.IntegerField()
    completed_items = serializers.IntegerField()
    failed_items = serializers.IntegerField()
    error_message = serializers.CharField(allow_null=True)
    prompt = serializers.CharField(allow_null=True)
    negative_prompt = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    loras = LoraUseSerializer(many=True, allow_null=True)
    seed = serializers.IntegerField(allow_null=True)
    steps = serializers.IntegerField(allow_null=True)
    guidance_scale = serializers.FloatField(allow_null=True)
    scheduler = serializers.CharField(allow_null=True)
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    reference_image_id = serializers.IntegerField(allow_null=True)
    strength = serializers.FloatField(allow_null=True)
    chosen_image_id = serializers.IntegerField(allow_null=True)
    alternatives = AlternativeSerializer(many=True, allow_null=True)
    created_at = serializers.DateTimeField()

    OPEN = frozenset(
        {
            "id",
            "session_id",
            "parent_id",
            "position",
            "run_id",
            "status",
            "total_items",
            "completed_items",
            "failed_items",
            "created_at",
        }
    )

    def describe(self, step) -> dict:
        """Steps come from ``StepQuerySet.for_lists()``; ``items_of`` in the context brings their items."""
        run, job = step.run, step.run.job
        items = self.context["items_of"].get(step.run_id, [])
        first = items[0] if items else None
        return {
            "id": step.pk,
            "session_id": step.session_id,
            "parent_id": step.parent_id,
            "position": step.position,
            "run_id": step.run_id,
            "status": job.status,
            "total_items": job.total,
            "completed_items": job.done,
            "failed_items": job.failed,
            "error_message": job.error,
            "prompt": step.prompt,
            "negative_prompt": first and first.negative_prompt,
            "model": run.model.name,
            "loras": run.loras,
            "seed": run.seed,
            "steps": first and first.steps,
            "guidance_scale": first and first.guidance_scale,
            "scheduler": first and first.scheduler,
            "width": first and first.width,
            "height": first and first.height,
            "reference_image_id": run.reference_image_id,
            "strength": run.strength,
            "chosen_image_id": step.chosen_image_id,
            "alternatives": [self._alternative(item, job) for item in items],
            "created_at": step.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _alternative(self, item, job) -> dict:
        return {
            "variant": item.variant,
            "status": item.status_under(job),
            "seed": item.seed,
            "image_id": item.image_id,
            "is_kept": item.is_kept,
            "is_discarded": bool(item.image and item.image.is_gone),
            "error": item.error,
        }


class SessionSerializer(OpenSerializer):
    id = serializers.IntegerField()
    name = serializers.CharField(allow_null=True)
    entry_type = serializers.ChoiceField(EntryType.choices)
    status = serializers.ChoiceField(SessionStatus.choices)
    source_image_id = serializers.IntegerField(allow_null=True)
    album_id = serializers.IntegerField(allow_null=True)
    step_count = serializers.IntegerField()
    image_count = serializers.IntegerField()
    kept_count = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)

    OPEN = frozenset(
        {
            "id",
            "entry_type",
            "status",
            "step_count",
            "image_count",
            "kept_count",
            "started_at",
            "completed_at",
        }
    )

    def describe(self, session) -> dict:
        """Sessions come from ``SessionQuerySet.with_counts()``."""
        ended = session.completed_at
        return {
            "id": session.pk,
            "name": session.name,
            "entry_type": session.entry_type,
            "status": session.status,
            "source_image_id": session.source_image_id,
            "album_id": session.album_id,
            "step_count": session.step_count,
            "image_count": session.image_count,
            "kept_count": session.kept_count,
            "started_at": session.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "completed_at": ended and ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def items_of(steps) -> dict[int, list[RunItem]]:
    """The items of these steps by run, in order, each with its picture and whether it is kept: one query."""
    placed = AlbumImage.objects.filter(
        image=OuterRef("image"), image__trashed_at=None, image__retracted_at=None
    )
    items = (
        RunItem.objects.filter(run__in=[step.run_id for step in steps])
        .select_related("image")
        .annotate(is_kept=Exists(placed))
        .order_by("run", "position", "variant")
    )
    found: dict[int, list[RunItem]] = {}
    for item in items:
        found.setdefault(item.run_id, []).append(item)
    return found


class StepRequestSerializer(RunRequestSerializer):
    """The body of a step: a prompt and a run's options, but for those of a template and of an album."""

    prompt = serializers.CharField(allow_blank=True, help_text="1–2,000 characters")
    parent_id = serializers.IntegerField(
        required=False, allow_null=True, help_text="The step that it goes on from; none begins at the root."
    )
    image_id = serializers.IntegerField(
        required=False, allow_null=True, help_text="An alternative of the parent; it becomes its chosen one."
    )
    use_image = serializers.BooleanField(
        required=False, default=True, help_text="false draws from the words alone."
    )
    user_theme = rows = album_name = is_public = reference_image_id = None


class SessionRequestSerializer(StepRequestSerializer):
    """The body of a new session: its first step, and the picture that it refines, if any."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    source_image_id = serializers.IntegerField(required=False, allow_null=True)
    parent_id = image_id = None


class ChoiceRequestSerializer(StrictSerializer):
    image_id = serializers.IntegerField(allow_null=True, help_text="null takes the choice back.")


class ImagesRequestSerializer(StrictSerializer):
    image_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=16
    )


class KeepRequestSerializer(ImagesRequestSerializer):
    album_id = serializers.IntegerField(required=False, allow_null=True)
    album_name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    is_public = serializers.BooleanField(required=False, help_text="Of a new album; true if not given.")


class CompleteRequestSerializer(StrictSerializer):
    discard_rest = serializers.BooleanField(
        required=False, default=False, help_text="Move what is not kept to the trash."
    )
