from django.core.exceptions import TooManyFilesSent
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response

from gallery.api.library import GatedView
from gallery.ingest import MAX_BYTES
from gallery.models import Album, Image
from gallery.serializers import ImageSerializer
from gallery.uploads import take_in_files
from imagineer.api import MAX_ID, IsAdmin

MAX_REQUEST = 200 * 2**20  # bytes


class UploadSerializer(serializers.Serializer):
    files = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        allow_empty=False,
        help_text=f"PNG, JPEG, WebP or GIF, of which the first frame counts; {MAX_BYTES // 2**20} MiB each.",
    )
    album_id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_ID)

    def validate_album_id(self, pk):
        album = pk and Album.objects.filter(pk=pk).first()
        if pk and album is None:
            raise serializers.ValidationError(f"There is no album {pk}.")
        return album


class RefusedFileSerializer(serializers.Serializer):
    filename = serializers.CharField()
    error = serializers.CharField()


class UploadedSerializer(serializers.Serializer):
    success = serializers.BooleanField()
    uploaded = serializers.IntegerField()
    images = ImageSerializer(many=True)
    errors = RefusedFileSerializer(many=True)


class ImageUpload(GatedView):
    """Pictures from the hand of an admin, into an album if one is named."""

    permission_classes = [IsAdmin]
    serializer_class = UploadSerializer

    @extend_schema(
        operation_id="images_upload",
        request={"multipart/form-data": UploadSerializer},
        responses={201: UploadedSerializer},
    )
    def post(self, request):
        """Each file that cannot be taken is named in `errors`, and the others stay; 400 when none can. A picture that is
        here already is answered and not stored again."""
        wanted = UploadSerializer(data=self._read(request))
        wanted.is_valid(raise_exception=True)
        files, album = wanted.validated_data["files"], wanted.validated_data.get("album_id")
        taken = take_in_files(files, album=album, created_by=request.user)
        if not taken.images:
            raise exceptions.ValidationError({"files": [f"{name}: {why}" for name, why in taken.refused]})
        rows = Image.objects.for_api().in_bulk([image.pk for image in taken.images])
        answer = {
            "success": True,
            "uploaded": len(taken.images),
            "images": self._describe([rows[image.pk] for image in taken.images]),
            "errors": [{"filename": name, "error": why} for name, why in taken.refused],
        }
        return Response(answer, status=status.HTTP_201_CREATED)

    def _read(self, request):
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_REQUEST:
            raise exceptions.ValidationError(
                {"files": [f"The request is larger than {MAX_REQUEST // 2**20} MiB; send fewer at once."]}
            )
        try:
            return request.data
        except TooManyFilesSent as error:
            raise exceptions.ValidationError(
                {"files": ["These are more than 100 files; send fewer at once."]}
            ) from error

    def _describe(self, images: list[Image]) -> list[dict]:
        return ImageSerializer(images, many=True, context=self.get_serializer_context()).data
