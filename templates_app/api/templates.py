from django.conf import settings
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle

from imagineer.api import IsAdmin, IsAdminOrReadOnly
from templates_app import ordering
from templates_app.api.context import viewer_context
from templates_app.models import BatchGenerationRun, BatchTemplate
from templates_app.serializers.runs import RunRequestSerializer, RunSerializer
from templates_app.serializers.templates import TemplateDetailSerializer, TemplateSerializer


class GenerateThrottle(ScopedRateThrottle):
    """Ten orders a minute for whoever is not an admin."""

    def allow_request(self, request, view):
        return request.user.is_staff or super().allow_request(request, view)


class MayGenerate(IsAdmin):
    message = "Only an admin may generate here."

    def has_permission(self, request, view):
        return settings.PUBLIC_GENERATION or super().has_permission(request, view)


class TemplateViewSet(viewsets.ReadOnlyModelViewSet):
    """Batch templates, their rows and their runs."""

    queryset = BatchTemplate.objects.with_current()
    permission_classes = [IsAdminOrReadOnly]
    plural = "templates"
    lookup_value_regex = "[0-9]{1,18}"
    throttle_scope = filterset_class = None

    def get_queryset(self):
        queryset = super().get_queryset()
        if self.action == "list":
            return queryset.active()
        return (
            queryset.defer(None).select_related("current")
            if self.action in ("retrieve", "generate")
            else queryset
        )

    def get_serializer_class(self):
        return TemplateDetailSerializer if self.action == "retrieve" else TemplateSerializer

    @extend_schema(responses=RunSerializer(many=True), filters=False)
    @action(detail=True, filterset_class=None)
    def runs(self, request, pk=None):
        """The runs of a template, newest first."""
        template = self.get_object()
        self.plural = "runs"
        runs = BatchGenerationRun.objects.for_lists().filter(template_version__template=template)
        page = self.paginate_queryset(runs)
        return self.get_paginated_response(
            RunSerializer(page, many=True, context=viewer_context(request)).data
        )

    @extend_schema(
        request=RunRequestSerializer,
        responses={
            202: inline_serializer(
                "RunStarted",
                {
                    "run": RunSerializer(),
                    "template": TemplateSerializer(),
                    "message": serializers.CharField(),
                },
            )
        },
    )
    @action(
        detail=True,
        methods=["post"],
        permission_classes=[MayGenerate],
        throttle_classes=[GenerateThrottle],
        throttle_scope="generate",
    )
    def generate(self, request, pk=None):
        """Draw a template's rows: answers at once, the worker draws. The album appears with its first picture."""
        template = self.get_object()
        order = RunRequestSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        options = {name: value for name, value in order.validated_data.items() if value is not None}
        if not request.user.is_staff:
            options["is_public"], options["rating"] = False, ""
            if ordering.count_public_backlog() >= ordering.MAX_PUBLIC_BACKLOG:
                raise Throttled(
                    wait=60, detail="Too many pictures of visitors wait already. Try again later."
                )
            if options.get("variants", 1) > 1:
                raise ValidationError({"variants": ["Visitors get one picture a row."]})
        run = ordering.start_run(
            template, created_by=request.user if request.user.is_authenticated else None, **options
        )
        return Response(
            {
                "run": RunSerializer(run, context=viewer_context(request)).data,
                "template": TemplateSerializer(template).data,
                "message": f"{run.job.total} pictures are queued.",
            },
            status=status.HTTP_202_ACCEPTED,
        )
