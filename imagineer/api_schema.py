"""What the OpenAPI document says of errors: of each operation those that it can answer, all in the one shape."""

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from imagineer.api import AnyAccepted, IsAdmin, IsAdminOrReadOnly


class ErrorSerializer(serializers.Serializer):
    """What is wrong, as a sentence; where a request's fields are wrong, of each of them too."""

    error = serializers.CharField()
    fields = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)


DESCRIPTIONS = {
    "400": "Something in the request is wrong.",
    "401": "Nobody is signed in, or the token is not good.",
    "403": "This takes an admin.",
    "404": "There is nothing here, or nothing that you may see.",
    "406": "JSON is all that there is.",
    "409": "It clashes with the state of things.",
    "410": "It is over or withdrawn, for good.",
    "415": "The body is of no type that is read here.",
    "429": "Too much at once.",
    "503": "The database, or another part of the house, is busy or away.",
    "507": "The disk is full.",
}
WITH_PAUSE = ("429", "503")


class ErrorsToldSchema(AutoSchema):
    def get_operation(self, *args, **options):
        operation = super().get_operation(*args, **options)
        if operation:
            for code in self._error_codes(operation):
                operation["responses"].setdefault(code, self._describe_error(code))
        return operation

    def _get_paginator(self):
        paginator = super()._get_paginator()
        if paginator:
            paginator.plural = self.view.plural
        return paginator

    def _error_codes(self, operation) -> list[str]:
        places = {parameter["in"] for parameter in operation.get("parameters", ())}
        has_body = "requestBody" in operation
        is_write = self.method not in SAFE_METHODS
        may_read = () if is_write else IsAdminOrReadOnly
        for_admins = any(
            isinstance(one, IsAdmin) and not isinstance(one, may_read) for one in self.view.get_permissions()
        )
        gone = getattr(self.view, "answers_gone", ())  # actions of a view set, methods of another view
        can_answer = {
            "400": has_body or "query" in places,
            "401": bool(self.view.get_authenticators()),
            "403": for_admins,
            "404": "path" in places,
            "406": not issubclass(self.view.content_negotiation_class, AnyAccepted),
            "409": is_write and ("path" in places or getattr(self.view, "may_clash", False)),
            "410": bool({getattr(self.view, "action", None), self.method.lower()} & set(gone)),
            "415": has_body,
            "429": bool(self.view.throttle_classes),
            "503": True,
            "507": is_write,
        }
        return [code for code, can in can_answer.items() if can]

    def _describe_error(self, code) -> dict:
        component = self.resolve_serializer(ErrorSerializer, "response")
        told = {
            "description": DESCRIPTIONS[code],
            "content": {"application/json": {"schema": component.ref}},
        }
        if code in WITH_PAUSE:
            seconds = build_basic_type(OpenApiTypes.INT) | {"minimum": 1}
            told["headers"] = {"Retry-After": {"schema": seconds, "description": "Seconds."}}
        return told
