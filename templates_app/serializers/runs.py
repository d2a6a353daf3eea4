from collections.abc import Mapping

from rest_framework import serializers

from gallery.visibility import may_open
from imagineer.api import MAX_ID
from imagineer.jobs.models import JobStatus
from templates_app import limits
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.serializers.loras import LoraUseSerializer

FAILED_FOR_THE_PUBLIC = "This could not be drawn; the admins can see why."


class RunSerializer(serializers.ModelSerializer):
    """A run as its viewer may see it: names and texts are null while what it makes is not public."""

    id = serializers.IntegerField(source="pk")
    template_id = serializers.IntegerField(
        source="template_version.template_id", default=None, allow_null=True
    )
    template_version = serializers.IntegerField(
        source="template_version.number", default=None, allow_null=True
    )
    album_id = serializers.IntegerField(allow_null=True)
    model = serializers.CharField(source="model.name", allow_null=True)
    rows = serializers.CharField(source="row_selection", allow_null=True)
    same_seed = serializers.BooleanField(source="is_same_seed", allow_null=True)
    reference_image_id = serializers.SerializerMethodField()
    status = serializers.ChoiceField(source="job.status", choices=JobStatus.choices)
    total_items = serializers.IntegerField(source="job.total")
    completed_items = serializers.IntegerField(source="job.done")
    failed_items = serializers.IntegerField(source="job.failed")
    error_message = serializers.CharField(source="job.error", allow_null=True)
    message = serializers.CharField(source="job.message", allow_null=True)
    created_at = serializers.DateTimeField(source="job.created_at")
    started_at = serializers.DateTimeField(source="job.started_at", allow_null=True)
    completed_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)

    # what everybody may know of any run; the rest tells of its pictures
    OPEN = {
        "id",
        "status",
        "total_items",
        "completed_items",
        "failed_items",
        "created_at",
        "started_at",
        "completed_at",
        "is_public",
    }

    class Meta:
        model = BatchGenerationRun
        fields = [
            "id",
            "template_id",
            "template_version",
            "album_id",
            "album_name",
            "user_theme",
            "model",
            "rows",
            "variants",
            "steps",
            "seed",
            "same_seed",
            "width",
            "height",
            "guidance_scale",
            "scheduler",
            "negative_prompt",
            "loras",
            "reference_image_id",
            "strength",
            "rating",
            "is_public",
            "status",
            "total_items",
            "completed_items",
            "failed_items",
            "error_message",
            "message",
            "created_at",
            "started_at",
            "completed_at",
        ]
        extra_kwargs = {
            name: {"allow_null": True}
            for name in [
                "album_name",
                "user_theme",
                "negative_prompt",
                "variants",
                "scheduler",
                "loras",
                "rating",
            ]
        }

    def get_reference_image_id(self, run) -> int | None:
        reference = run.reference_image
        return reference.pk if reference and may_open(reference, self.context["viewer"]) else None

    def to_representation(self, run):
        shown = super().to_representation(run)
        if self.context["viewer"].is_admin:
            return shown
        if not run.tells_texts_to(self.context["viewer"]):
            return shown | dict.fromkeys(set(shown) - self.OPEN)
        # the reason of a failure or of a wait may name folders and hosts
        shown["error_message"] = FAILED_FOR_THE_PUBLIC if run.job.error else ""
        if run.job.status != JobStatus.RUNNING:
            shown["message"] = ""
        return shown


class RunItemSerializer(serializers.ModelSerializer):
    status = serializers.SerializerMethodField()
    error = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    seed = serializers.IntegerField(allow_null=True)
    image_id = serializers.SerializerMethodField()
    chosen_image_id = serializers.SerializerMethodField()

    class Meta:
        model = RunItem
        fields = [
            "position",
            "variant",
            "name",
            "status",
            "tries",
            "error",
            "seed",
            "image_id",
            "chosen_image_id",
            "seconds",
        ]

    def get_status(self, item) -> str:
        return item.status_under(self.context["run"].job)

    def get_image_id(self, item) -> int | None:
        return item.image_id if item.image_id in self.context["visible_images"] else None

    def get_chosen_image_id(self, item) -> int | None:
        """The picture of a re-roll that stands in its place."""
        chosen = item.chosen_image_id
        return chosen if chosen in self.context["visible_images"] else None

    def to_representation(self, item):
        shown = super().to_representation(item)
        is_hidden = item.status == JobStatus.COMPLETED and item.image_id not in self.context["clear_images"]
        if not self.context["tells_texts"] or (is_hidden and not self.context["viewer"].is_admin):
            shown |= dict.fromkeys(("name", "error", "seed"))
        elif item.error and not self.context["viewer"].is_admin:
            shown["error"] = FAILED_FOR_THE_PUBLIC
        return shown


class RunRequestSerializer(serializers.Serializer):
    """The body of an order. Types are checked here, limits by the service (one place for admin, API and commands)."""

    album_name = serializers.CharField(max_length=200)
    user_theme = serializers.CharField(max_length=500)
    model = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=100)
    rows = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=5000,
        source="row_selection",
        help_text="Such as 1,17-20; empty draws all.",
    )
    variants = serializers.IntegerField(required=False, allow_null=True, help_text="Pictures a row, 1–16.")
    steps = serializers.IntegerField(required=False, allow_null=True, help_text="1–150")
    seed = serializers.IntegerField(required=False, allow_null=True, help_text="0–2147483647")
    same_seed = serializers.BooleanField(required=False, allow_null=True, source="is_same_seed")
    width = serializers.IntegerField(required=False, allow_null=True, help_text="64–2048, divisible by 8")
    height = serializers.IntegerField(required=False, allow_null=True, help_text="64–2048, divisible by 8")
    guidance_scale = serializers.FloatField(required=False, allow_null=True, help_text="0–30")
    scheduler = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=32)
    negative_prompt = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=limits.MAX_PROMPT
    )
    loras = LoraUseSerializer(many=True, required=False, allow_null=True)
    reference_image_id = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_ID,
        help_text="A picture that drawing starts from (image to image).",
    )
    strength = serializers.FloatField(
        required=False, allow_null=True, help_text="How far from the reference picture, 0.05–1 (0.6)."
    )
    is_public = serializers.BooleanField(required=False, allow_null=True)
    rating = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=12)

    def to_internal_value(self, data):
        """A key that nothing is done with is refused, so that nobody gets something else than they asked for."""
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["An order has no such key."] for name in unknown[:10]})
        return super().to_internal_value(data)
