import json
from collections.abc import Mapping

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from templates_app.csv_items import MAX_BYTES, CsvError, parse_csv
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
    rating = serializers.CharField(source="current.rating")
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
            "rating",
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
    csv_items = serializers.SerializerMethodField()

    class Meta(TemplateSerializer.Meta):
        fields = [*TemplateSerializer.Meta.fields, "csv_items"]

    def get_csv_items(self, template) -> list[dict[str, str]]:
        version = template.current
        # a JSON column of PostgreSQL forgets the order of the keys
        return [{column: row[column] for column in version.columns} for row in version.rows]


@extend_schema_field(
    {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}}
)
class RowsField(serializers.Field):
    """Rows as they came; the service checks them and numbers what is wrong."""

    def to_internal_value(self, data):
        return data

    def to_representation(self, value):
        return value


class TemplateRequestSerializer(serializers.Serializer):
    """What a template is written from. Types are checked here, limits by the service."""

    name = serializers.CharField()
    description = serializers.CharField(required=False, allow_blank=True)
    base_prompt = serializers.CharField(
        required=False, allow_blank=True, help_text="At most 2,000 characters."
    )
    prompt_template = serializers.CharField(help_text="`{column}` takes the row's value.")
    style_suffix = serializers.CharField(required=False, allow_blank=True)
    example_theme = serializers.CharField(required=False, allow_blank=True)
    width = serializers.IntegerField(required=False, help_text="64–2048, divisible by 8; 512 if not given")
    height = serializers.IntegerField(required=False, help_text="64–2048, divisible by 8; 512 if not given")
    negative_prompt = serializers.CharField(required=False, allow_blank=True)
    lora_config = LoraUseSerializer(many=True, required=False)
    rating = serializers.CharField(
        required=False, allow_blank=True, help_text="A curator's word for everything drawn from it."
    )
    is_archived = serializers.BooleanField(required=False)
    csv_data = RowsField(required=False, help_text="Objects with the same keys: one a picture.")
    csv_file = serializers.FileField(required=False, help_text="In place of `csv_data`, in a multipart body.")

    def __init__(self, *args, shown: dict | None = None, **options):
        """:param shown: the template as it was answered; what cannot be written may be sent back as it stands."""
        super().__init__(*args, partial=shown is not None, **options)
        self.shown = shown or {}

    def to_internal_value(self, data):
        if isinstance(data, QueryDict):
            data = _decoded(data)
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        problems = {}
        for name in sorted(set(data) - set(self.fields), key=str)[:10]:
            if name not in self.shown:
                problems[name] = ["A template has no such key."]
            elif data[name] != self.shown[name]:
                problems[name] = [REMEDIES.get(name, "This cannot be written; leave it as it is.")]
        if problems:
            raise serializers.ValidationError(problems)
        return super().to_internal_value({name: data[name] for name in data if name in self.fields})

    def validate(self, given):
        if "csv_data" in given and "csv_file" in given:
            raise serializers.ValidationError({"csv_file": ["Send csv_data or csv_file, not both."]})
        if "csv_data" in given:
            given["rows"] = given.pop("csv_data")
        elif "csv_file" in given:
            try:
                given["rows"] = parse_csv(given.pop("csv_file").read(MAX_BYTES + 1))
            except CsvError as error:
                raise serializers.ValidationError({"csv_file": error.sentences}) from error
        elif not self.partial:
            raise serializers.ValidationError({"csv_data": ["Send the rows, as csv_data or as csv_file."]})
        if "lora_config" in given:
            given["lora_config"] = [dict(entry) for entry in given["lora_config"]]
        return given


REMEDIES = {
    "csv_items": "Rows are written as csv_data.",
    "version": "The template has been changed since you read it; read it again.",
}


def _decoded(form: QueryDict) -> dict:
    """A multipart body as the JSON body that it stands for."""
    data = form.dict()
    for name in ("lora_config", "csv_data"):
        if isinstance(data.get(name), str):
            try:
                data[name] = json.loads(data[name])
            except (ValueError, RecursionError) as error:
                raise serializers.ValidationError(
                    {name: ["In a multipart body this is written as JSON."]}
                ) from error
    return data
