from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from imagineer.api import MAX_ID


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}]})
class NameOrId(serializers.Field):
    def to_internal_value(self, data):
        if isinstance(data, bool) or not isinstance(data, (str, int)):
            raise serializers.ValidationError("Write a name or an id.")
        if isinstance(data, int) and not 0 < data <= MAX_ID:
            raise serializers.ValidationError("There is no such id.")
        return data

    def to_representation(self, value):
        return value


class LoraUseSerializer(serializers.Serializer):
    lora = NameOrId()
    weight = serializers.FloatField(default=1.0)
