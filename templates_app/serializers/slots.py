from rest_framework import serializers

from imagineer.api import MAX_ID
from imagineer.jobs.models import JobStatus
from templates_app import limits
from templates_app.models import RunItem
from templates_app.serializers.strict import StrictSerializer


class RerollSerializer(StrictSerializer):
    """What may differ from the row as it was ordered; without a seed each picture gets a new one."""

    variants = serializers.IntegerField(required=False, allow_null=True, help_text="Pictures, 1–16 (1).")
    seed = serializers.IntegerField(required=False, allow_null=True, help_text="0–2147483647")
    prompt = serializers.CharField(required=False, allow_null=True, max_length=10_000)
    negative_prompt = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=limits.MAX_PROMPT
    )
    steps = serializers.IntegerField(required=False, allow_null=True, help_text="1–150")
    guidance_scale = serializers.FloatField(required=False, allow_null=True, help_text="0–30")
    scheduler = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=32)
    strength = serializers.FloatField(required=False, allow_null=True, help_text="0.05–1")


class PromotionSerializer(StrictSerializer):
    image_id = serializers.IntegerField(min_value=1, max_value=MAX_ID)
    variant = serializers.IntegerField(default=1, min_value=1, max_value=limits.MAX_VARIANTS)
    instead_of = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_ID,
        help_text="The picture that stood in the slot when you looked; 409 if another has come meanwhile.",
    )


class DiscardSerializer(StrictSerializer):
    image_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=500
    )


class CandidateSerializer(serializers.Serializer):
    """An item of the row, of the run or of a re-roll; what the viewer may not see is null."""

    run_id = serializers.IntegerField()
    variant = serializers.IntegerField()
    status = serializers.ChoiceField(JobStatus.choices)
    error = serializers.CharField(allow_null=True)
    seed = serializers.IntegerField(allow_null=True)
    prompt = serializers.CharField(allow_null=True)
    image_id = serializers.IntegerField(allow_null=True)
    is_in_album = serializers.BooleanField(help_text="Whether it stands in a slot of the row.")
    created_at = serializers.DateTimeField()

    def to_representation(self, item: RunItem) -> dict:
        context = self.context
        is_told = context["viewer"].is_admin or (
            context["tells_texts"] and item.image_id in context["clear_images"]
        )
        return {
            "run_id": item.run_id,
            "variant": item.variant,
            "status": item.status_under(item.run.job),
            "error": item.error if context["viewer"].is_admin else None,
            "seed": item.seed if is_told else None,
            "prompt": item.prompt if is_told else None,
            "image_id": item.image_id if item.image_id in context["visible_images"] else None,
            "is_in_album": item.image_id is not None and item.image_id in context["shown_images"],
            "created_at": self.fields["created_at"].to_representation(item.run.job.created_at),
        }
