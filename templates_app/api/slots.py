from django.http import Http404
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from gallery.models import Image
from gallery.visibility import Viewer
from imagineer.api import IDEMPOTENCY_KEY, Conflict, InOrderPagination
from imagineer.once import idempotency_key, make_once
from templates_app import slots
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.serializers.runs import RunSerializer
from templates_app.serializers.slots import (
    CandidateSerializer,
    DiscardSerializer,
    PromotionSerializer,
    RerollSerializer,
)

SLOT = "items/(?P<position>[0-9]{1,9})"


def visible_context(run, viewer: Viewer, image_ids) -> dict:
    """Which of these pictures the viewer may open, and of which they may learn the words."""
    visible = Image.objects.filter(pk__in=[pk for pk in image_ids if pk]).visible_to(viewer)
    return {
        "run": run,
        "viewer": viewer,
        "tells_texts": run.tells_texts_to(viewer),
        "visible_images": set(visible.values_list("pk", flat=True)),
        "clear_images": set(visible.described_for(viewer).values_list("pk", flat=True)),
    }


def answer_conflicts(service, *args, **options):
    try:
        return service(*args, **options)
    except RunItem.DoesNotExist as error:
        raise Http404 from error
    except slots.SlotConflict as error:
        raise Conflict(str(error)) from error


class SlotActions:
    """What is done with one row of a run."""

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=RerollSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"], url_path=f"{SLOT}/reroll")
    def reroll(self, request, pk=None, position=None):
        """Draw a row's picture again: answers with the run that does it. Promote what pleases."""
        options = _checked(RerollSerializer, request)
        run = answer_conflicts(
            make_once,
            BatchGenerationRun,
            idempotency_key(request),
            slots.reroll_slot,
            self.get_object(),
            int(position),
            created_by=request.user,
            **options,
        )
        return Response(self.get_serializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=CandidateSerializer(many=True), filters=False)
    @action(
        detail=True,
        url_path=f"{SLOT}/candidates",
        pagination_class=InOrderPagination,
        filterset_class=None,
        plural="candidates",
    )
    def candidates(self, request, pk=None, position=None):
        """The pictures that may stand in a row's slot: its own and those of its re-rolls, oldest first."""
        run = slots.root_of(self.get_object())
        standing = slots.pictures_in(run.items.filter(position=position))
        if not standing:
            raise Http404
        page = self.paginate_queryset(slots.candidates(run, int(position)))
        viewer = Viewer.from_request(request)
        context = visible_context(run, viewer, [item.image_id for item in page])
        context["shown_images"] = set(standing.values())
        return self.get_paginated_response(CandidateSerializer(page, many=True, context=context).data)

    @extend_schema(
        request=PromotionSerializer,
        responses=inline_serializer(
            "Promoted",
            {
                "success": serializers.BooleanField(),
                "album_id": serializers.IntegerField(),
                "position": serializers.IntegerField(),
                "variant": serializers.IntegerField(),
                "image_id": serializers.IntegerField(),
            },
        ),
    )
    @action(detail=True, methods=["post"], url_path=f"{SLOT}/promote")
    def promote(self, request, pk=None, position=None):
        """Give a candidate the row's place in the album; the one that stood there stays a candidate."""
        wanted = _checked(PromotionSerializer, request)
        run = self.get_object()
        slot = answer_conflicts(slots.promote, run, int(position), wanted.pop("image_id"), **wanted)
        return Response(
            {
                "success": True,
                "album_id": slots.root_of(run).album_id,
                "position": slot.position,
                "variant": slot.variant,
                "image_id": slots.pictures_in([slot])[slot.pk],
            }
        )

    @extend_schema(
        request=DiscardSerializer,
        responses=inline_serializer(
            "Discarded",
            {"success": serializers.BooleanField(), "discarded": serializers.IntegerField()},
        ),
    )
    @action(detail=True, methods=["post"], url_path=f"{SLOT}/discard")
    def discard(self, request, pk=None, position=None):
        """Move candidates of a row to the trash; what stands in the album is refused."""
        wanted = _checked(DiscardSerializer, request)
        number = answer_conflicts(slots.discard, self.get_object(), int(position), wanted["image_ids"])
        return Response({"success": True, "discarded": number})


def _checked(serializer, request) -> dict:
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return {name: value for name, value in body.validated_data.items() if value is not None}
