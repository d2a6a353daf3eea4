from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from gallery import media
from gallery.archives import SIZES, send_archive
from gallery.models import Album, Image, Label, LabelType, Rating, SourceType
from gallery.origins import describe_all, provider_of
from gallery.paging import AlbumOrderPagination, RunOrderPagination
from gallery.provenance import trace
from gallery.renditions import GRID
from gallery.serializers import (
    AlbumDetailSerializer,
    AlbumSerializer,
    ImageDetailSerializer,
    ImageSerializer,
    ProvenanceSerializer,
)
from gallery.visibility import MODES, Viewer, check_open, may_see_details, rendition_for
from imagineer.api import (
    DEFAULT_PER_PAGE,
    AnyAccepted,
    IdFilter,
    IsAdminOrReadOnly,
    NewestFirstPagination,
    TrueOrFalseFilter,
)

NSFW = OpenApiParameter(
    "nsfw",
    enum=MODES,
    description="Restricted pictures: left out, blurred (as without it), or shown, which needs a session that has "
    "confirmed its age, or an admin.",
)
PICTURE = {(200, "image/webp"): OpenApiTypes.BINARY, (304, "image/webp"): None}


class GatedView(GenericAPIView):
    permission_classes = [IsAdminOrReadOnly]
    filter_backends = []

    @property
    def viewer(self) -> Viewer:
        if self.request.query_params.get("nsfw", "blur") not in MODES:
            raise exceptions.ValidationError({"nsfw": [f"Write one of {', '.join(MODES)}."]})
        return Viewer.from_request(self.request)

    def get_serializer_context(self):
        return super().get_serializer_context() | {"viewer": self.viewer}


class ImageFilter(filters.FilterSet):
    source_type = filters.ChoiceFilter(choices=SourceType.choices)
    rating = filters.ChoiceFilter(choices=Rating.choices)
    album = IdFilter(method="of_album", label="Pictures of this album, in its order.")
    run = IdFilter(method="of_run", label="Pictures of this run and its re-rolls, in row order.")
    model = filters.CharFilter(method="of_model", label="Name of the model that drew them.")
    tag = filters.CharFilter(method="with_tag", label="Pictures with exactly this tag.")

    @property
    def viewer(self) -> Viewer:
        return Viewer.from_request(self.request)

    def of_album(self, images, name, value):
        images = images.in_album_order(value)
        return images if Album.objects.visible_to(self.viewer).filter(pk=value).exists() else images.none()

    def of_run(self, images, name, value):
        images = images.filter(source_type=SourceType.BATCH_GENERATION)
        return provider_of(SourceType.BATCH_GENERATION).pictures(images, value)

    def of_model(self, images, name, value):
        return images.described_for(self.viewer).filter(model__name=value)

    def with_tag(self, images, name, value):
        tagged = Label.objects.live().filter(type=LabelType.TAG, text=value).values("image")
        return images.described_for(self.viewer).filter(pk__in=tagged)


@extend_schema(parameters=[NSFW])
class ImageList(GatedView):
    """Pictures, newest first; those of an album or a run in its order."""

    serializer_class = ImageSerializer
    filter_backends = [filters.DjangoFilterBackend]
    filterset_class = ImageFilter
    plural = "images"

    pagination_class = NewestFirstPagination

    def get_queryset(self):
        return Image.objects.listed_for(self.viewer).for_api()

    @extend_schema(operation_id="images_list", responses=ImageSerializer(many=True))
    def get(self, request):
        images = self.filter_queryset(self.get_queryset())
        if "position" in images.query.annotations:
            self.pagination_class = AlbumOrderPagination
        elif "slot" in images.query.annotations:
            self.pagination_class = RunOrderPagination
        return self.get_paginated_response(
            self.get_serializer(self.paginate_queryset(images), many=True).data
        )


class GatedImageView(GatedView):
    queryset = Image.objects.for_api()
    answers_gone = ("get",)

    def get_object(self) -> Image:
        return check_open(self.get_queryset().filter(pk=self.kwargs["pk"]).first(), self.viewer)


class ImageDetail(GatedImageView):
    """A picture with its labels and the public albums that hold it."""

    serializer_class = ImageDetailSerializer

    @extend_schema(operation_id="images_retrieve", parameters=[NSFW])
    def get(self, request, pk):
        return Response(self.get_serializer(self.get_object()).data)


class ImageProvenance(GatedImageView):
    """The whole way a picture came: run, template, recipe, reference picture, model, LoRAs, and what was made of it."""

    queryset = Image.objects.select_related("model", "reference_image")

    @extend_schema(operation_id="images_provenance", parameters=[NSFW], responses=ProvenanceSerializer)
    def get(self, request, pk):
        return Response(ProvenanceSerializer(trace(self.get_object(), self.viewer)).data)


class ImageBytes(GatedImageView):
    content_negotiation_class = AnyAccepted
    queryset = Image.objects.only(*media.COLUMNS)


class ImageThumbnail(ImageBytes):
    """A picture that fits 300 × 300 pixels, blurred where the viewer may not see it clear."""

    @extend_schema(operation_id="images_thumbnail", parameters=[NSFW], responses=PICTURE)
    def get(self, request, pk):
        image = self.get_object()
        spec = rendition_for(image, self.viewer, GRID.name)
        return media.send_rendition(request, image, spec, may_redirect=spec == GRID.name)


class ImageFile(ImageBytes):
    """The whole picture as a download. The public gets what was drawn here as it is, all else re-encoded."""

    queryset = Image.objects.only(*media.COLUMNS, "generation_params", "reference_image")

    @extend_schema(
        operation_id="images_file",
        parameters=[NSFW],
        responses={(200, "image/*"): OpenApiTypes.BINARY, (304, "image/*"): None},
    )
    def get(self, request, pk):
        image, viewer = self.get_object(), self.viewer
        if not may_see_details(image, viewer):
            raise Http404
        return media.send_original(request, image, is_admin=viewer.is_admin, may_redirect=True)


class AlbumFilter(filters.FilterSet):
    source_type = filters.ChoiceFilter(choices=SourceType.choices)
    is_set_template = TrueOrFalseFilter(
        method="of_old", label="Deprecated: there are no template albums; true answers an empty list."
    )

    def of_old(self, albums, name, value):
        return albums.none() if value else albums


class GatedAlbumView(GatedView):
    def get_queryset(self):
        return Album.objects.visible_to(self.viewer).for_lists(self.viewer)

    def describe(self, albums: list[Album]) -> dict:
        sources = [(album.source_type, album.source_id) for album in albums]
        return self.get_serializer_context() | {"origins": describe_all(sources, self.viewer)}


@extend_schema(parameters=[NSFW])
class AlbumList(GatedAlbumView):
    """Albums, newest first."""

    serializer_class = AlbumSerializer
    pagination_class = NewestFirstPagination
    filter_backends = [filters.DjangoFilterBackend]
    filterset_class = AlbumFilter
    plural = "albums"

    @extend_schema(operation_id="albums_list", responses=AlbumSerializer(many=True))
    def get(self, request):
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(AlbumSerializer(rows, many=True, context=self.describe(rows)).data)


class AlbumDetail(GatedAlbumView):
    """An album with the first page of its pictures; the others are at ``/api/images?album=``."""

    serializer_class = AlbumDetailSerializer

    @extend_schema(operation_id="albums_retrieve", parameters=[NSFW])
    def get(self, request, pk):
        album = self.get_queryset().filter(pk=pk).first()
        if album is None:
            raise Http404
        album.first_images = (
            Image.objects.listed_for(self.viewer).for_api().in_album_order(album)[:DEFAULT_PER_PAGE]
        )
        return Response(AlbumDetailSerializer(album, context=self.describe([album])).data)


class AlbumDownload(GatedAlbumView):
    """The album's pictures as a zip, in its order and as the viewer sees them: restricted ones are left out, blurred
    or shown. ``size=original`` (as without it) sends files that were drawn here as they are, all others re-encoded."""

    content_negotiation_class = AnyAccepted

    @extend_schema(
        operation_id="albums_download",
        parameters=[NSFW, OpenApiParameter("size", enum=list(SIZES))],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request, pk):
        viewer, size = self.viewer, request.query_params.get("size", "original")
        album = self.get_queryset().filter(pk=pk).first()
        if album is None:
            raise Http404
        if size not in SIZES:
            raise exceptions.ValidationError({"size": [f"Write one of {', '.join(SIZES)}."]})
        images = Image.objects.listed_for(viewer).in_album_order(album)
        return send_archive(request, images, viewer, name=album.name, size=size)
