from collections.abc import Mapping

from rest_framework import serializers


class StrictSerializer(serializers.Serializer):
    """A body in which a key that nothing is done with is refused, so that nobody gets something else than they asked."""

    def to_internal_value(self, data):
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["There is no such key."] for name in unknown[:10]})
        return super().to_internal_value(data)


class StrictCharField(serializers.CharField):
    """Text and nothing else: the ordinary field takes a number for its digits."""

    def to_internal_value(self, data):
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)
