from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from imagineer.api import IDEMPOTENCY_KEY, IsAdmin, NetworkThrottle
from imagineer.once import idempotency_key, make_once
from templates_app import ordering
from templates_app.api.context import viewer_context
from templates_app.models import BatchGenerationRun
from templates_app.serializers.runs import RunRequestSerializer, RunSerializer


class SingleRequestSerializer(RunRequestSerializer):
    """The body of an order of one prompt: a prompt and a run's options, but for those of a template."""

    prompt = serializers.CharField(allow_blank=True, help_text="1–2,000 characters")
    album_name = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=200,
        help_text="The prompt if not given.",
    )
    user_theme = rows = None


class GenerateView(APIView):
    """Pictures of one prompt."""

    permission_classes = [IsAdmin]
    # admins alone come here, so the limit is theirs: a program gone wild fills no queue
    throttle_classes = [NetworkThrottle]
    throttle_scope = "generate"

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY], request=SingleRequestSerializer, responses={201: RunSerializer}
    )
    def post(self, request):
        """Draw one prompt: answers at once with the run, ten times a minute; `Location` is its job."""
        order = SingleRequestSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        options = {name: value for name, value in order.validated_data.items() if value is not None}
        run = make_once(
            BatchGenerationRun,
            idempotency_key(request),
            ordering.start_single,
            created_by=request.user,
            **options,
        )
        return Response(
            RunSerializer(run, context=viewer_context(request)).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": f"/api/jobs/{run.pk}"},
        )
