from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from gallery.addresses import absolute_url
from gallery.models import Album, Image, SharedLink
from gallery.sharing import create_shared_link, revoke_shared_link
from imagineer.api import MAX_ID, IdFilter, IsAdmin, NewestFirstPagination


class SharedLinkSerializer(serializers.ModelSerializer):
    image_id = serializers.IntegerField(allow_null=True)
    album_id = serializers.IntegerField(allow_null=True)
    is_live = serializers.BooleanField(help_text="Neither revoked nor expired.")

    class Meta:
        model = SharedLink
        fields = [
            "id",
            "image_id",
            "album_id",
            "hint",
            "is_live",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "created_at",
        ]


class NewSharedLinkSerializer(SharedLinkSerializer):
    """With what is told only once."""

    key = serializers.CharField()
    url = serializers.URLField()

    class Meta(SharedLinkSerializer.Meta):
        fields = [*SharedLinkSerializer.Meta.fields, "key", "url"]


class SharedLinkOrder(serializers.Serializer):
    image_id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_ID)
    album_id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_ID)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate(self, order):
        """Ids become rows."""
        found = {"expires_at": order.get("expires_at")}
        for name, rows in (("image", Image.objects), ("album", Album.objects)):
            pk = order.get(f"{name}_id")
            found[name] = pk and rows.filter(pk=pk).first()
            if pk and found[name] is None:
                raise serializers.ValidationError({f"{name}_id": [f"There is no {name} {pk}."]})
        return found


class SharedLinkFilter(filters.FilterSet):
    image = IdFilter(field_name="image_id", label="Links to this picture.")
    album = IdFilter(field_name="album_id", label="Links to this album.")


class SharedLinkList(GenericAPIView):
    """Links that let whoever has their key see one picture or one album. The key is answered once, when it is made."""

    queryset = SharedLink.objects.all()
    permission_classes = [IsAdmin]
    pagination_class = NewestFirstPagination
    serializer_class = SharedLinkSerializer
    filterset_class = SharedLinkFilter
    plural = "shared_links"

    @extend_schema(operation_id="shared_links_list", responses=SharedLinkSerializer(many=True))
    def get(self, request):
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    @extend_schema(
        operation_id="shared_links_create", request=SharedLinkOrder, responses={201: NewSharedLinkSerializer}
    )
    def post(self, request):
        order = SharedLinkOrder(data=request.data)
        order.is_valid(raise_exception=True)
        link, key = create_shared_link(**order.validated_data, created_by=request.user)
        told = {"key": key, "url": absolute_url(request, f"/s/{key}")}
        return Response(SharedLinkSerializer(link).data | told, status=status.HTTP_201_CREATED)


class SharedLinkDetail(GenericAPIView):
    queryset = SharedLink.objects.all()
    permission_classes = [IsAdmin]

    @extend_schema(
        operation_id="shared_links_revoke",
        responses={200: inline_serializer("SharedLinkRevoked", {"success": serializers.BooleanField()})},
    )
    def delete(self, request, pk):
        """Revoke the link: from now on its key opens nothing."""
        link = self.get_queryset().filter(pk=pk).first()
        if link is None:
            raise Http404
        revoke_shared_link(link)
        return Response({"success": True})
