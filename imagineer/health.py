from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from imagineer.jobs.health import describe_health


class Health(APIView):
    """Whether the house can serve and work, in sentences. 503 when it cannot serve."""

    permission_classes = [AllowAny]
    authentication_classes = []  # it must answer when the database, where the tokens are, does not

    @extend_schema(
        operation_id="health",
        responses={
            code: inline_serializer(
                f"Health{code}",
                {
                    "status": serializers.CharField(),
                    **{name: serializers.JSONField() for name in ("database", "queue", "workers", "gpu")},
                },
            )
            for code in (200, 503)
        },
    )
    def get(self, request):
        health = describe_health()
        return Response(health, status=503 if health["status"] == "unavailable" else 200)
