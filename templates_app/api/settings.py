from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from imagineer.api import IsAdmin
from templates_app.generation_settings import FIELDS, change_settings, current_settings
from templates_app.models import GenerationSettings
from templates_app.serializers.strict import StrictSerializer


class AspectRatioSerializer(serializers.Serializer):
    name = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class SettingsSerializer(serializers.ModelSerializer):
    aspect_ratios = AspectRatioSerializer(many=True)
    updated_at = serializers.DateTimeField(allow_null=True, help_text="Null until something is changed.")

    class Meta:
        model = GenerationSettings
        fields = [*FIELDS, "updated_at"]


class SettingsRequestSerializer(StrictSerializer):
    """Types are checked here, limits by the model's own rules."""

    aspect_ratios = serializers.JSONField()
    default_steps = serializers.IntegerField()
    default_cfg_scale = serializers.FloatField()
    default_scheduler = serializers.CharField(max_length=32)
    default_batch_size = serializers.IntegerField()


class SettingsView(APIView):
    """What is drawn with when neither the order, nor the template, nor the model says."""

    permission_classes = [IsAdmin]

    @extend_schema(responses=SettingsSerializer)
    def get(self, request):
        """The generation defaults; what has never been changed stands as it was delivered."""
        return Response(SettingsSerializer(current_settings()).data)

    @extend_schema(request=SettingsRequestSerializer(partial=True), responses=SettingsSerializer)
    def put(self, request):
        """Change the keys that are given."""
        changes = SettingsRequestSerializer(data=request.data, partial=True)
        changes.is_valid(raise_exception=True)
        return Response(SettingsSerializer(change_settings(**changes.validated_data)).data)
