from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response

from gallery.api.library import GatedView
from gallery.ingest import MAX_BYTES
from gallery.models import Album, Image
from gallery.serializers import ImageSerializer
from gallery.uploads import take_in_files
from imagineer.api import MAX_ID, Conflict, IsAdmin


class UploadSerializer(serializers.Serializer):
    files = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        allow_empty=False,
        help_text=f"PNG, JPEG, WebP or GIF, of which the first frame counts; {MAX_BYTES // 2**20} MiB each.",
    )
    album_id = serializers.IntegerField(
        source="album", required=False, allow_null=True, min_value=1, max_value=MAX_ID
    )

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
    may_clash = True

    @extend_schema(
        operation_id="images_upload",
        request={"multipart/form-data": UploadSerializer},
        responses={201: UploadedSerializer},
    )
    def post(self, request):
        """Each file that cannot be taken is named in `errors`, and the others stay; 400 when none can. A picture that
        is here already is answered and not stored again."""
        wanted = UploadSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        files, album = wanted.validated_data["files"], wanted.validated_data.get("album")
        try:
            taken = take_in_files(files, album=album, created_by=request.user)
        except Album.DoesNotExist as error:
            raise Conflict("The album was deleted meanwhile; the pictures are in the library.") from error
        if not taken.images:
            raise exceptions.ValidationError({"files": [f"{name}: {why}" for name, why in taken.refused]})
        rows = Image.objects.for_api().in_bulk([image.pk for image in taken.images])
        answer = {
            "success": True,
            "uploaded": len(taken.images),
            "images": self._describe([rows[image.pk] for image in taken.images if image.pk in rows]),
            "errors": [{"filename": name, "error": why} for name, why in taken.refused],
        }
        return Response(answer, status=status.HTTP_201_CREATED)

    def initial(self, request, *args, **kwargs):
        # first of all: whoever has a session proves the form to be theirs by a token that is looked for in the body
        length = request.META.get("CONTENT_LENGTH", "")
        if length.isdecimal() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
            raise exceptions.ValidationError(
                {"files": [f"The request is larger than {most} MiB; send fewer at once."]}
            )
        super().initial(request, *args, **kwargs)

    def handle_exception(self, error):
        if isinstance(error, TooManyFilesSent):
            most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
            error = exceptions.ValidationError(
                {"files": [f"These are more than {most} files; send fewer at once."]}
            )
        return super().handle_exception(error)

    def _describe(self, images: list[Image]) -> list[dict]:
        return ImageSerializer(images, many=True, context=self.get_serializer_context()).data
