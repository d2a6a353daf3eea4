"""The objects of the API. The declared fields are its schema; the rows are built by hand, which costs a tenth."""

from rest_framework import serializers

from gallery.models import Album, Image, Label, LabelSource, LabelType, Rating, SourceType
from gallery.visibility import Viewer, may_open, may_see_details

TIME = "%Y-%m-%dT%H:%M:%SZ"


class ImageSerializer(serializers.Serializer):
    """What the viewer may not see is null."""

    id = serializers.IntegerField()
    filename = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    thumbnail_url = serializers.CharField()
    source_type = serializers.ChoiceField(SourceType.choices)
    source_id = serializers.IntegerField(allow_null=True)
    run_id = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField(allow_null=True)
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    file_size = serializers.IntegerField(allow_null=True)
    mime_type = serializers.CharField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    prompt = serializers.CharField(allow_null=True)
    negative_prompt = serializers.CharField(allow_null=True)
    generation_params = serializers.DictField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    reference_image_id = serializers.IntegerField(allow_null=True)
    rating = serializers.ChoiceField(Rating.choices)
    nsfw_flag = serializers.BooleanField()
    is_public = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    def to_representation(self, image: Image) -> dict:
        """Rows come from ``ImageQuerySet.for_api()``."""
        viewer = self.context["viewer"]
        is_clear = may_see_details(image, viewer)
        address = f"/api/images/{image.pk}"
        is_generated = image.source_type == SourceType.BATCH_GENERATION
        position = getattr(image, "position", None)
        if position is None:
            position = image.generation_params.get("position")
        return {
            "id": image.pk,
            "filename": image.filename if is_clear else None,
            "url": f"{address}/file{nsfw_of(viewer)}" if is_clear else None,
            "thumbnail_url": f"{address}/thumbnail{nsfw_of(viewer)}",
            "source_type": image.source_type,
            "source_id": image.source_id,
            "run_id": image.source_id if is_generated else None,
            "position": position,
            "width": image.width,
            "height": image.height,
            "file_size": image.file_size if is_clear else None,  # nearly a fingerprint
            "mime_type": image.mime_type if is_clear else None,
            "sha256": image.sha256 if is_clear else None,
            "prompt": image.prompt if is_clear else None,
            "negative_prompt": image.negative_prompt if is_clear else None,
            "generation_params": shown_params(image, viewer) if is_clear else None,
            "model": image.model_name if is_clear else None,
            "reference_image_id": (
                image.reference_image_id
                if viewer.is_admin or (is_clear and image.reference_is_public)
                else None
            ),
            "rating": image.rating,
            "nsfw_flag": image.is_restricted,
            "is_public": image.is_public,
            "created_at": image.created_at.strftime(TIME),
        }


def shown_params(image: Image, viewer: Viewer) -> dict:
    """Without the hash of the picture that it started from; where that may be seen, the provenance tells it."""
    hidden = () if viewer.is_admin else ("reference_sha256",)
    return {name: value for name, value in image.generation_params.items() if name not in hidden}


def nsfw_of(viewer: Viewer) -> str:
    """An address of the API carries the viewer's mode itself; without it, it would be blurred."""
    return "?nsfw=show" if viewer.sees_restricted and not viewer.is_admin else ""


class LabelSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    image_id = serializers.IntegerField()
    text = serializers.CharField()
    type = serializers.ChoiceField(LabelType.choices)
    confidence = serializers.FloatField(allow_null=True)
    source = serializers.ChoiceField(LabelSource.choices)
    created_at = serializers.DateTimeField()

    def to_representation(self, label: Label) -> dict:
        return {
            "id": label.pk,
            "image_id": label.image_id,
            "text": label.text,
            "type": label.type,
            "confidence": label.confidence,
            "source": label.source,
            "created_at": label.created_at.strftime(TIME),
        }


class AlbumNameSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()


class ImageDetailSerializer(ImageSerializer):
    labels = LabelSerializer(many=True, allow_null=True)
    albums = AlbumNameSerializer(many=True)

    def to_representation(self, image: Image) -> dict:
        viewer = self.context["viewer"]
        labels = None
        if may_see_details(image, viewer):
            labels = LabelSerializer(image.labels.live(), many=True).data
        albums = image.albums.visible_to(viewer).for_lists(viewer).order_by("pk").values("id", "name")
        return super().to_representation(image) | {"labels": labels, "albums": list(albums)}


class HistoryStepSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="picture, run, template, drawing, claim, reference, model, lora …")
    title = serializers.CharField()
    url = serializers.CharField(allow_null=True)
    facts = serializers.DictField()
    is_redacted = serializers.BooleanField(help_text="There is more that is not for this viewer.")


class SourceSerializer(serializers.Serializer):
    name = serializers.CharField()
    url = serializers.CharField(allow_null=True)


class ProvenanceSerializer(serializers.Serializer):
    image_id = serializers.IntegerField(source="image.pk")
    steps = HistoryStepSerializer(many=True)
    dependents = SourceSerializer(many=True)


class AlbumSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    source_type = serializers.ChoiceField(SourceType.choices)
    source_id = serializers.IntegerField(allow_null=True)
    source = SourceSerializer(allow_null=True)
    is_public = serializers.BooleanField()
    is_training_source = serializers.BooleanField()
    image_count = serializers.IntegerField()
    cover_image_id = serializers.IntegerField(allow_null=True)
    cover_image_url = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, album: Album) -> dict:
        """Rows come from ``AlbumQuerySet.for_lists()``; the context brings the ``origins`` of all of them."""
        viewer = self.context["viewer"]
        cover = shown_cover(album, viewer)
        origin = self.context["origins"].get((album.source_type, album.source_id))
        return {
            "id": album.pk,
            "name": album.name,
            "description": album.description,
            "source_type": album.source_type,
            "source_id": album.source_id,
            "source": {"name": origin.name, "url": origin.url} if origin else None,
            "is_public": album.is_public,
            "is_training_source": album.is_training_source,
            "image_count": album.shown_count,
            "cover_image_id": cover and cover.pk,
            "cover_image_url": cover and f"/api/images/{cover.pk}/thumbnail{nsfw_of(viewer)}",
            "created_at": album.created_at.strftime(TIME),
            "updated_at": album.updated_at.strftime(TIME),
        }


class AlbumDetailSerializer(AlbumSerializer):
    images = ImageSerializer(many=True)

    def to_representation(self, album: Album) -> dict:
        images = ImageSerializer(album.first_images, many=True, context=self.context).data
        return super().to_representation(album) | {"images": images}


def shown_cover(album: Album, viewer: Viewer) -> Image | None:
    """The album's cover as far as the viewer's lists may hold it."""
    cover = album.cover
    if cover is None or cover.is_gone or not may_open(cover, viewer):
        return None
    return None if viewer.hides and cover.rating in viewer.restricted_ratings else cover
