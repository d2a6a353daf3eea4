from django.conf import settings
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle

from gallery.models import Image
from gallery.visibility import Viewer
from imagineer.api import Conflict, InOrderPagination, IsAdmin, IsAdminOrReadOnly
from imagineer.jobs import runner
from imagineer.jobs.models import JobStatus
from templates_app import services
from templates_app.filters import RunFilter
from templates_app.models import BatchGenerationRun, BatchTemplate
from templates_app.serializers import (
    RunItemSerializer,
    RunRequestSerializer,
    RunSerializer,
    TemplateDetailSerializer,
    TemplateSerializer,
)


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
        return self.get_paginated_response(RunSerializer(page, many=True, context=_context(request)).data)

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
            if services.count_public_backlog() >= services.MAX_PUBLIC_BACKLOG:
                raise Throttled(
                    wait=60, detail="Too many pictures of visitors wait already. Try again later."
                )
            if options.get("variants", 1) > 1:
                raise ValidationError({"variants": ["Visitors get one picture a row."]})
        run = services.start_run(
            template, created_by=request.user if request.user.is_authenticated else None, **options
        )
        return Response(
            {
                "run": RunSerializer(run, context=_context(request)).data,
                "template": TemplateSerializer(template).data,
                "message": f"{run.job.total} pictures are queued.",
            },
            status=status.HTTP_202_ACCEPTED,
        )


class RunViewSet(viewsets.ReadOnlyModelViewSet):
    """Generation runs and their ledger."""

    queryset = BatchGenerationRun.objects.for_lists()
    serializer_class = RunSerializer
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = RunFilter
    plural = "runs"
    lookup_value_regex = "[0-9]{1,18}"

    def get_serializer_context(self):
        return super().get_serializer_context() | _context(self.request)

    @extend_schema(responses=RunItemSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=InOrderPagination, filterset_class=None)
    def items(self, request, pk=None):
        """The ledger of a run in row order: one entry for every picture to be made."""
        run = self.get_object()
        self.plural = "items"
        page = self.paginate_queryset(run.items.all())
        viewer = Viewer.from_request(request)
        drawn = Image.objects.filter(pk__in=[item.image_id for item in page if item.image_id])
        context = {
            "run": run,
            "viewer": viewer,
            "tells_texts": run.tells_texts_to(viewer),
            "visible_images": set(drawn.visible_to(viewer).values_list("pk", flat=True)),
            "clear_images": set(drawn.visible_to(viewer).described_for(viewer).values_list("pk", flat=True)),
        }
        return self.get_paginated_response(RunItemSerializer(page, many=True, context=context).data)

    @extend_schema(request=None, responses={200: RunSerializer, 202: RunSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Cancel: at once while it waits (200), at its next step while it runs (202), 410 when it has finished."""
        run = self.get_object()
        try:
            job = runner.request_cancel(run.job)
        except runner.JobConflict as error:
            return Response({"error": str(error)}, status=status.HTTP_410_GONE)
        answer = self.get_serializer(self.get_object()).data
        return Response(answer, status=200 if job.status == JobStatus.CANCELLED else 202)

    @extend_schema(request=None, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request, pk=None):
        """Queue a finished run again: it makes only what is missing."""
        run = self.get_object()
        try:
            run = services.retry_run(run)
        except runner.JobConflict as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(run).data, status=status.HTTP_202_ACCEPTED)


def _context(request) -> dict:
    return {"request": request, "viewer": Viewer.from_request(request)}
