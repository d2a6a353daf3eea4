from collections.abc import Mapping

from django.conf import settings
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled
from rest_framework.response import Response

from gallery.visibility import Viewer
from imagineer.api import IDEMPOTENCY_KEY, Conflict, IsAdmin, IsAdminOrReadOnly, NetworkThrottle
from imagineer.client import client_network
from imagineer.once import idempotency_key, make_once
from templates_app import authoring, ordering, visitors
from templates_app.api.context import viewer_context
from templates_app.filters import TemplateFilter
from templates_app.models import BatchGenerationRun, BatchTemplate
from templates_app.serializers.runs import RunRequestSerializer, RunSerializer
from templates_app.serializers.templates import (
    TemplateDetailSerializer,
    TemplateRequestSerializer,
    TemplateSerializer,
)


class GenerateThrottle(NetworkThrottle):
    """Ten orders a minute for whoever is not an admin."""

    def allow_request(self, request, view):
        return request.user.is_staff or super().allow_request(request, view)


class MayGenerate(IsAdmin):
    message = "Only an admin may generate here."

    def has_permission(self, request, view):
        return settings.PUBLIC_GENERATION or super().has_permission(request, view)


class TemplateViewSet(mixins.DestroyModelMixin, viewsets.ReadOnlyModelViewSet):
    """Batch templates, their rows and their runs."""

    queryset = BatchTemplate.objects.with_current()
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = TemplateFilter
    plural = "templates"
    lookup_value_regex = "[0-9]{1,18}"
    throttle_scope = None

    def get_queryset(self):
        queryset = super().get_queryset().visible_to(Viewer.from_request(self.request))
        if self.action == "list" and "is_archived" not in self.request.query_params:
            return queryset.active()
        if self.action in ("retrieve", "update", "generate"):
            return queryset.defer(None).select_related("current")
        return queryset

    def get_serializer_class(self):
        return TemplateDetailSerializer if self.action == "retrieve" else TemplateSerializer

    @extend_schema(request=TemplateRequestSerializer, responses={201: TemplateDetailSerializer})
    def create(self, request):
        """Make a template, from JSON with `csv_data` or from a multipart body with `csv_file`."""
        wanted = TemplateRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        template = authoring.save_template(created_by=request.user, **wanted.validated_data)
        return Response(TemplateDetailSerializer(template).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TemplateRequestSerializer, responses=TemplateDetailSerializer)
    def update(self, request, pk=None):
        """Change the keys that are given. Whatever changes the pictures makes a new version; runs keep theirs.

        With `version`, nothing is changed if the template is at another one by now (409).
        """
        template = self.get_object()
        shown = TemplateDetailSerializer(template).data
        based_on = request.data.get("version") if isinstance(request.data, Mapping) else None
        if based_on is not None and str(based_on) != str(shown["version"]):
            raise Conflict(f"{template} is at version {shown['version']} by now; read it again.")
        wanted = TemplateRequestSerializer(data=request.data, shown=shown | {"version": based_on})
        wanted.is_valid(raise_exception=True)
        try:
            template = authoring.save_template(
                template=template,
                created_by=request.user,
                based_on=based_on and shown["version"],
                **wanted.validated_data,
            )
        except authoring.TemplateConflict as error:
            raise Conflict(str(error)) from error
        return Response(TemplateDetailSerializer(template).data)

    @extend_schema(
        responses={200: inline_serializer("TemplateDeleted", {"success": serializers.BooleanField()})}
    )
    def destroy(self, request, pk=None):
        """Delete a template that has no runs; 409 when it has some: set `is_archived` then."""
        try:
            authoring.delete_template(self.get_object())
        except authoring.TemplateConflict as error:
            raise Conflict(str(error)) from error
        return Response({"success": True})

    @extend_schema(responses=RunSerializer(many=True), filters=False)
    @action(detail=True, filterset_class=None, plural="runs")
    def runs(self, request, pk=None):
        """The runs of a template, newest first."""
        template = self.get_object()
        # of a private run nobody learns what it draws, so it is not told here either
        told = BatchGenerationRun.objects.listed().told_to(Viewer.from_request(request))
        runs = told.for_lists().filter(template_version__template=template)
        page = self.paginate_queryset(runs)
        return self.get_paginated_response(
            RunSerializer(page, many=True, context=viewer_context(request)).data
        )

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
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
        created_by = request.user if request.user.is_authenticated else None
        message = "{} pictures are queued."
        try:
            start = ordering.start_run if request.user.is_staff else self._start_for_visitor
            key = idempotency_key(request)
            run = make_once(BatchGenerationRun, key, start, template, created_by=created_by, **options)
            if not request.user.is_staff:
                message += " They are private until an admin publishes them; the run says how far they are."
        except ordering.ArchivedTemplate as error:
            raise Conflict(error.message) from error
        return Response(
            {
                "run": RunSerializer(run, context=viewer_context(request)).data,
                "template": TemplateSerializer(template).data,
                "message": message.format(run.job.total),
            },
            status=status.HTTP_202_ACCEPTED,
        )

    def _start_for_visitor(self, template, **options) -> BatchGenerationRun:
        for name in ("is_public", "rating"):
            options.pop(name, None)
        try:
            return visitors.start_visitor_run(
                template,
                network=client_network(self.request),
                viewer=Viewer.from_request(self.request),
                **options,
            )
        except visitors.BacklogFull as full:
            raise Throttled(wait=visitors.RETRY_AFTER, detail=str(full)) from full
