from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.response import Response

from imagineer.api import IsAdminOrReadOnly, TrueOrFalseFilter
from templates_app.models import PromptTemplate
from templates_app.prompt_library import save_prompt_template
from templates_app.serializers.strict import StrictCharField, StrictSerializer


class PromptTemplateSerializer(serializers.ModelSerializer):
    class Meta:
        model = PromptTemplate
        fields = [
            "id",
            "name",
            "description",
            "prompt_text",
            "negative_prompt",
            "category",
            "is_favorite",
            "created_at",
            "updated_at",
        ]


class PromptTemplateRequestSerializer(StrictSerializer):
    """Types are checked here, limits by the model's own rules."""

    name = StrictCharField(allow_blank=True)
    prompt_text = StrictCharField(allow_blank=True)
    description = StrictCharField(required=False, allow_blank=True)
    negative_prompt = StrictCharField(required=False, allow_blank=True)
    category = StrictCharField(required=False, allow_blank=True)
    is_favorite = serializers.BooleanField(required=False)


class PromptTemplateFilter(filters.FilterSet):
    q = filters.CharFilter(method="search", label="words in its name or texts")
    category = filters.CharFilter("category")
    favorite = TrueOrFalseFilter("is_favorite")

    class Meta:
        model = PromptTemplate
        fields = ["category", "favorite", "q"]

    def search(self, queryset, name, value):
        return queryset.search(value)


class PromptTemplateViewSet(viewsets.ModelViewSet):
    """Prompt templates: words worth keeping, to be put into a prompt."""

    queryset = PromptTemplate.objects.all()
    serializer_class = PromptTemplateSerializer
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = PromptTemplateFilter
    plural = "prompt_templates"
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options"]

    @extend_schema(request=PromptTemplateRequestSerializer, responses={201: PromptTemplateSerializer})
    def create(self, request):
        """Add a prompt template."""
        return Response(self._save(request), status=status.HTTP_201_CREATED)

    @extend_schema(
        request=PromptTemplateRequestSerializer(partial=True), responses={200: PromptTemplateSerializer}
    )
    def update(self, request, pk=None, partial=True):
        """Change the keys that are given."""
        return Response(self._save(request, self.get_object()))

    @extend_schema(
        responses={200: inline_serializer("PromptTemplateDeleted", {"success": serializers.BooleanField()})}
    )
    def destroy(self, request, pk=None):
        """Delete it; prompts that it was put into stay as they are."""
        self.get_object().delete()
        return Response({"success": True})

    def _save(self, request, template=None) -> dict:
        content = PromptTemplateRequestSerializer(data=request.data, partial=template is not None)
        content.is_valid(raise_exception=True)
        return PromptTemplateSerializer(save_prompt_template(template, **content.validated_data)).data
