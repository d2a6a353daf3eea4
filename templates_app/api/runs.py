from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from gallery.visibility import Viewer
from imagineer.api import Conflict, InOrderPagination, IsAdminOrReadOnly
from imagineer.jobs import runner
from imagineer.jobs.models import JobStatus
from templates_app import ordering
from templates_app.api.context import viewer_context
from templates_app.api.slots import SlotActions, visible_context
from templates_app.filters import RunFilter
from templates_app.models import BatchGenerationRun
from templates_app.serializers.runs import RunItemSerializer, RunSerializer


class RunViewSet(SlotActions, viewsets.ReadOnlyModelViewSet):
    """Generation runs and their ledger. Re-rolls and steps of sessions stand in no list, and answer by their id."""

    queryset = BatchGenerationRun.objects.for_lists()
    serializer_class = RunSerializer
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = RunFilter
    plural = "runs"
    answers_gone = ("cancel",)
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self):
        runs = super().get_queryset()
        return runs.listed() if self.action == "list" else runs

    def get_serializer_context(self):
        return super().get_serializer_context() | viewer_context(self.request)

    @extend_schema(responses=RunItemSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=InOrderPagination, filterset_class=None, plural="items")
    def items(self, request, pk=None):
        """The ledger of a run in row order: one entry for every picture to be made."""
        run = self.get_object()
        page = self.paginate_queryset(run.items.all())
        viewer = Viewer.from_request(request)
        images = [pk for item in page for pk in (item.image_id, item.chosen_image_id)]
        context = visible_context(run, viewer, images)
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
            run = ordering.retry_run(run)
        except runner.JobConflict as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(run).data, status=status.HTTP_202_ACCEPTED)
