"""What there is to draw with: models and LoRAs, without their places on the disk."""

from rest_framework import serializers, viewsets

from gallery.models import DiffusionModel, Lora
from gallery.weights import find_model
from imagineer.api import IsAdminOrReadOnly
from imagineer.engine.types import ModelError


class EnabledOnly:
    """The public knows of what is enabled alone; an admin sees the rest too, marked ``is_enabled: false``."""

    permission_classes = [IsAdminOrReadOnly]
    lookup_value_regex = "[0-9]{1,18}"
    filterset_class = None

    def get_queryset(self):
        queryset = super().get_queryset()
        return queryset if self.request.user.is_staff else queryset.enabled()


class ModelSerializer(serializers.ModelSerializer):
    title = serializers.CharField(source="__str__")

    class Meta:
        model = DiffusionModel
        fields = [
            "id",
            "name",
            "title",
            "family",
            "native_width",
            "native_height",
            "limits",
            "defaults",
            "sha256",
            "is_enabled",
            "created_at",
        ]


class LoraSerializer(serializers.ModelSerializer):
    class Meta:
        model = Lora
        fields = [
            "id",
            "name",
            "family",
            "rank",
            "alpha",
            "trigger_words",
            "description",
            "sha256",
            "is_enabled",
            "created_at",
        ]


class ModelViewSet(EnabledOnly, viewsets.ReadOnlyModelViewSet):
    """Text-to-image models."""

    queryset = DiffusionModel.objects.all()
    serializer_class = ModelSerializer
    plural = "models"

    def list(self, request, *args, **kwargs):
        register_default_model()
        return super().list(request, *args, **kwargs)


class LoraViewSet(EnabledOnly, viewsets.ReadOnlyModelViewSet):
    """LoRAs that have been inspected."""

    queryset = Lora.objects.all()
    serializer_class = LoraSerializer
    plural = "loras"


def register_default_model() -> None:
    """The model that IMAGINEER_MODEL names gets its row when it is first asked for: a list asks for it."""
    try:
        find_model()
    except ModelError:
        return  # an order says so, and `manage.py doctor` says why
