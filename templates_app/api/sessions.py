from contextlib import contextmanager

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from gallery.models import Album, Image
from imagineer.api import IDEMPOTENCY_KEY, MAX_ID, Conflict, IsAdminOrReadOnly
from imagineer.jobs import runner
from imagineer.jobs.models import JobStatus
from imagineer.once import idempotency_key
from templates_app import sessions
from templates_app.api.context import viewer_context
from templates_app.models import EntryType, GenerationSession, GenerationStep, SessionStatus
from templates_app.serializers.sessions import (
    ChoiceRequestSerializer,
    CompleteRequestSerializer,
    ImagesRequestSerializer,
    KeepRequestSerializer,
    SessionRequestSerializer,
    SessionSerializer,
    StepRequestSerializer,
    StepSerializer,
    items_of,
)

STEP = r"steps/(?P<step>[0-9]{1,18})"


class SessionFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=SessionStatus.choices)
    entry_type = filters.ChoiceFilter(choices=EntryType.choices)

    class Meta:
        model = GenerationSession
        fields = ["status", "entry_type"]


@contextmanager
def conflicts_answered():
    try:
        yield
    except (sessions.SessionConflict, runner.JobConflict) as error:
        raise Conflict(str(error)) from error


def success(name: str, **fields):
    return {200: inline_serializer(name, {"success": serializers.BooleanField(), **fields})}


class SessionViewSet(viewsets.ReadOnlyModelViewSet):
    """Sessions: looking for one picture in a tree of steps. To the public, status, times and counts."""

    queryset = GenerationSession.objects.with_counts()
    serializer_class = SessionSerializer
    permission_classes = [IsAdminOrReadOnly]
    filterset_class = SessionFilter
    plural = "sessions"
    answers_gone = ("cancel",)
    lookup_value_regex = "[0-9]{1,18}"

    def get_serializer_context(self):
        return super().get_serializer_context() | viewer_context(self.request)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY], request=SessionRequestSerializer, responses={201: SessionSerializer}
    )
    def create(self, request):
        """Begin a session with its first step, from scratch or from a picture (`source_image_id`)."""
        order = self._order(SessionRequestSerializer)
        source = self._named(Image.objects.present(), order, "source_image_id", "picture")
        key = idempotency_key(request)
        session = sessions.start_session(
            source_image=source, created_by=request.user, request_key=key, **order
        )
        shown = self.get_serializer(self.get_queryset().get(pk=session.pk)).data
        return Response(shown, status=status.HTTP_201_CREATED)

    @extend_schema(responses=StepSerializer(many=True), filters=False, methods=["get"])
    @extend_schema(
        parameters=[IDEMPOTENCY_KEY],
        request=StepRequestSerializer,
        responses={201: StepSerializer},
        methods=["post"],
    )
    @action(detail=True, methods=["get", "post"], filterset_class=None, plural="steps")
    def steps(self, request, pk=None):
        """The steps of a session, the last first. POST takes one: it answers at once, the worker draws.

        What is not given is as in the parent step. Alternatives are drawn before all sets; `variants` says how many.
        """
        session = self.get_object()
        if request.method != "POST":
            page = self.paginate_queryset(session.steps.for_lists())
            return self.get_paginated_response(self._show(page))
        order = self._order(StepRequestSerializer)
        parent = self._named(
            session.steps.select_related("run__model"), order, "parent_id", "step of this session"
        )
        image = self._named(Image.objects.all(), order, "image_id", "picture")
        with conflicts_answered():
            step = sessions.add_step(
                session,
                parent=parent,
                image=image,
                created_by=request.user,
                request_key=idempotency_key(request),
                **order,
            )
        return Response(self._show_one(step), status=status.HTTP_201_CREATED)

    @extend_schema(request=ChoiceRequestSerializer, responses=StepSerializer)
    @action(detail=True, methods=["post"], url_path=f"{STEP}/choose")
    def choose(self, request, pk=None, step=None):
        """Say which alternative is the one to go on from."""
        step = self._step(step)
        body = self._body(ChoiceRequestSerializer)
        image = self._named(Image.objects.all(), body, "image_id", "picture")
        with conflicts_answered():
            sessions.choose_image(step, image)
        return Response(self._show_one(step))

    @extend_schema(
        request=KeepRequestSerializer,
        responses=success(
            "PicturesKept", added=serializers.IntegerField(), album_id=serializers.IntegerField()
        ),
    )
    @action(detail=True, methods=["post"], url_path=f"{STEP}/keep")
    def keep(self, request, pk=None, step=None):
        """Put alternatives into an album: `album_id`, or a new one of `album_name`. Answers how many came new."""
        step = self._step(step)
        body = self._body(KeepRequestSerializer)
        album = self._named(Album.objects.all(), body, "album_id", "album")
        if album is not None and body.keys() & {"album_name", "is_public"}:
            raise ValidationError(
                {"album_id": ["Name an album that is there, or describe a new one, not both."]}
            )
        with conflicts_answered():
            album, added = sessions.keep_images(step, album=album, created_by=request.user, **body)
        return Response({"success": True, "added": added, "album_id": album.pk})

    @extend_schema(
        request=ImagesRequestSerializer,
        responses=success("PicturesDiscarded", discarded=serializers.IntegerField()),
    )
    @action(detail=True, methods=["post"], url_path=f"{STEP}/discard")
    def discard(self, request, pk=None, step=None):
        """Move alternatives to the trash."""
        with conflicts_answered():
            number = sessions.discard_images(self._step(step), **self._body(ImagesRequestSerializer))
        return Response({"success": True, "discarded": number})

    @extend_schema(
        request=ImagesRequestSerializer,
        responses=success("PicturesRestored", restored=serializers.IntegerField()),
    )
    @action(detail=True, methods=["post"], url_path=f"{STEP}/restore")
    def restore(self, request, pk=None, step=None):
        """Take alternatives out of the trash again."""
        with conflicts_answered():
            number = sessions.restore_images(self._step(step), **self._body(ImagesRequestSerializer))
        return Response({"success": True, "restored": number})

    @extend_schema(request=None, responses={202: StepSerializer})
    @action(detail=True, methods=["post"], url_path=f"{STEP}/retry")
    def retry(self, request, pk=None, step=None):
        """Draw what a step lacks that failed or was cancelled."""
        with conflicts_answered():
            step = sessions.retry_step(self._step(step))
        return Response(self._show_one(step), status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={200: StepSerializer, 202: StepSerializer})
    @action(detail=True, methods=["post"], url_path=f"{STEP}/cancel")
    def cancel(self, request, pk=None, step=None):
        """Cancel: at once while it waits (200), at its next checkpoint while it is drawn (202), 410 when finished."""
        step = self._step(step)
        try:
            job = runner.request_cancel(step.run.job)
        except runner.JobConflict as error:
            return Response({"error": str(error)}, status=status.HTTP_410_GONE)
        return Response(self._show_one(step), status=200 if job.status == JobStatus.CANCELLED else 202)

    @extend_schema(request=CompleteRequestSerializer, responses=SessionSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request, pk=None):
        """End a session that has found its picture."""
        session = self.get_object()
        with conflicts_answered():
            sessions.complete_session(session, **self._body(CompleteRequestSerializer))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=SessionSerializer)
    @action(detail=True, methods=["post"])
    def abandon(self, request, pk=None):
        """Give a session up: what is being drawn is cancelled, what is not kept goes to the trash."""
        with conflicts_answered():
            sessions.abandon_session(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    def _body(self, serializer_class) -> dict:
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _order(self, serializer_class) -> dict:
        return {name: value for name, value in self._body(serializer_class).items() if value is not None}

    def _named(self, rows, body: dict, field: str, what: str):
        """The row whose id stands in the body, which is taken out of it; None if it is not given."""
        pk = body.pop(field, None)
        if pk is None:
            return None
        row = rows.filter(pk=pk).first() if 0 < pk <= MAX_ID else None
        if row is None:
            raise ValidationError({field: [f"There is no {what} {pk}."]})
        return row

    def _step(self, pk) -> GenerationStep:
        steps = GenerationStep.objects.for_lists().select_related("session", "run__job", "run__model")
        return get_object_or_404(steps, session=self.get_object(), pk=pk)

    def _show_one(self, step) -> dict:
        return self._show([GenerationStep.objects.for_lists().get(pk=step.pk)])[0]

    def _show(self, steps) -> list[dict]:
        context = self.get_serializer_context() | {"items_of": items_of(steps)}
        return StepSerializer(steps, many=True, context=context).data
