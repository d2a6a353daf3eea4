from rest_framework import serializers

from templates_app.models import BatchTemplate
from templates_app.serializers.loras import LoraUseSerializer


class TemplateSerializer(serializers.ModelSerializer):
    base_prompt = serializers.CharField(source="current.base_prompt")
    prompt_template = serializers.CharField(source="current.prompt_template")
    style_suffix = serializers.CharField(source="current.style_suffix")
    example_theme = serializers.CharField(source="current.example_theme")
    width = serializers.IntegerField(source="current.width")
    height = serializers.IntegerField(source="current.height")
    negative_prompt = serializers.CharField(source="current.negative_prompt")
    lora_config = LoraUseSerializer(source="current.lora_config", many=True)
    version = serializers.IntegerField(source="current.number")
    template_item_count = serializers.IntegerField(source="current.row_count")
    lora_count = serializers.SerializerMethodField()

    class Meta:
        model = BatchTemplate
        fields = [
            "id",
            "name",
            "description",
            "base_prompt",
            "prompt_template",
            "style_suffix",
            "example_theme",
            "width",
            "height",
            "negative_prompt",
            "lora_config",
            "version",
            "is_archived",
            "template_item_count",
            "lora_count",
            "created_at",
            "updated_at",
        ]

    def get_lora_count(self, template) -> int:
        return len(template.current.lora_config)


class TemplateDetailSerializer(TemplateSerializer):
    csv_items = serializers.ListField(
        source="current.rows", child=serializers.DictField(child=serializers.CharField(allow_blank=True))
    )

    class Meta(TemplateSerializer.Meta):
        fields = [*TemplateSerializer.Meta.fields, "csv_items"]
