"""Pictures that somebody sends by hand: many in one request, each taken in or refused by itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.files import File

from gallery.ingest import IngestError, ingest_image
from gallery.models import Album, Image, SourceType, Upload
from gallery.services import add_images


@dataclass
class Taken:
    """What became of the files: the pictures in their order, one that was sent twice once, and (name, reason) of the rest."""

    images: list[Image] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def take_in_files(files: Iterable[File], *, album: Album | None = None, created_by=None) -> Taken:
    """Take each picture in, and put all of them into the album.

    What cannot be stored (a full disk) ends it; the pictures before it are in the library and in the album, so sending
    everything again goes on from there.

    :raises OSError, DatabaseError: nothing more can be stored.
    """
    taken, upload = Taken(), None
    try:
        for file in files:
            upload = upload or Upload.objects.create(created_by=created_by)
            try:
                result = ingest_image(
                    file,
                    source_type=SourceType.MANUAL,
                    source_id=upload.pk,
                    filename=file.name,
                    created_by=created_by,
                )
            except IngestError as error:
                taken.refused.append((file.name, str(error)))
            else:
                if result.image not in taken.images:
                    taken.images.append(result.image)
    finally:
        if album and taken.images:
            add_images(album, taken.images)
        if upload and not taken.images:
            upload.delete()
    return taken
