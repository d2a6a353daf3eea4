from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from imagineer.api import IsAdminOrReadOnly
from imagineer.jobs import doorbell
from imagineer.jobs.kinds import page_of, tell
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.runner import JobConflict, request_cancel
from imagineer.jobs.waiting import places

FAILED_FOR_THE_PUBLIC = "This job failed; the admins can see why."


class JobSerializer(serializers.ModelSerializer):
    """A job of any kind. Everybody may know kind, status, counts and times; words are null for whom they are not."""

    id = serializers.IntegerField(source="pk")
    queue_position = serializers.SerializerMethodField(help_text="From 1; null unless it waits.")
    total_items = serializers.IntegerField(source="total", help_text="0 while nobody knows.")
    completed_items = serializers.IntegerField(source="done")
    failed_items = serializers.IntegerField(source="failed")
    is_cancelling = serializers.SerializerMethodField()
    completed_at = serializers.DateTimeField(source="finished_at", allow_null=True)
    url = serializers.SerializerMethodField(help_text="The page of what it works on.")
    title = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField()
    error_message = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "queue",
            "status",
            "queue_position",
            "total_items",
            "completed_items",
            "failed_items",
            "is_cancelling",
            "created_at",
            "started_at",
            "completed_at",
            "url",
            "title",
            "message",
            "error_message",
        ]

    def get_queue_position(self, job) -> int | None:
        return self.context["places"].get(job.pk)

    def get_is_cancelling(self, job) -> bool:
        return job.is_active and job.cancel_requested_at is not None

    def get_url(self, job) -> str | None:
        return page_of(job) or None

    def get_title(self, job) -> str | None:
        return self.context["told"][job.pk].title or None

    def get_message(self, job) -> str | None:
        """What a waiting job waits for may name a folder or a host."""
        if not self.context["told"][job.pk].tells_texts:
            return None
        return job.message if self.is_admin or job.status == JobStatus.RUNNING else ""

    def get_error_message(self, job) -> str | None:
        if self.is_admin:
            return job.error
        if not self.context["told"][job.pk].tells_texts:
            return None
        return FAILED_FOR_THE_PUBLIC if job.error else ""

    @property
    def is_admin(self) -> bool:
        return self.context["request"].user.is_staff


class JobFilter(filters.FilterSet):
    kind = filters.CharFilter()
    status = filters.ChoiceFilter(choices=JobStatus.choices)
    queue = filters.ChoiceFilter(choices=[(queue, queue) for queue in doorbell.QUEUES])


@extend_schema_view(
    list=extend_schema(description="Jobs of every kind, newest first."),
    retrieve=extend_schema(description="How far a job is, and its place while it waits."),
)
class JobViewSet(viewsets.ReadOnlyModelViewSet):
    """The work: pictures that are drawn, and whatever else takes long."""

    queryset = Job.objects.all()
    serializer_class = JobSerializer
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = JobFilter
    plural = "jobs"
    answers_gone = ("destroy",)
    lookup_value_regex = "[0-9]{1,18}"

    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(describe(page, request))

    def retrieve(self, request, pk=None):
        return Response(describe([self.get_object()], request)[0])

    @extend_schema(responses={200: JobSerializer, 202: JobSerializer})
    def destroy(self, request, pk=None):
        """Cancel: at once while it waits (200), at its next step while it runs (202), 410 when it has finished."""
        job = self.get_object()
        try:
            job = request_cancel(job)
        except JobConflict as error:
            return Response({"error": str(error)}, status=status.HTTP_410_GONE)
        code = status.HTTP_200_OK if job.status == JobStatus.CANCELLED else status.HTTP_202_ACCEPTED
        return Response({"success": True, **describe([job], request)[0]}, status=code)


def describe(jobs: list[Job], request) -> list[dict]:
    context = {"request": request, "told": tell(jobs, request), "places": places(jobs)}
    return JobSerializer(jobs, many=True, context=context).data


router = SimpleRouter(trailing_slash=False)
router.register("jobs", JobViewSet, "job")
