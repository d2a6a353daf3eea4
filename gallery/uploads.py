"""Pictures that somebody sends by hand: many in one request, each taken in or refused by itself."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.files import File
from django.db import DatabaseError, InterfaceError

from gallery.ingest import IngestError, ingest_image
from gallery.models import Album, Image, SourceType, Upload
from gallery.services import add_images


@dataclass
class Taken:
    """What became of the files: the pictures in their order, each once, and (name, reason) of what was refused."""

    images: list[Image] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def take_in_files(files: Iterable[File], *, album: Album | None = None, created_by=None) -> Taken:
    """Take each picture in, and put all of them into the album.

    What cannot be stored (a full disk) ends it; the pictures before it are in the library and in the album, so sending
    everything again goes on from there.

    :raises OSError, DatabaseError: nothing more can be stored.
    :raises Album.DoesNotExist: it has been deleted meanwhile; the pictures are in the library.
    """
    taken, upload, has_new = Taken(), None, False

    def finish():
        if upload and not has_new:
            upload.delete()
        if album and taken.images:
            add_images(album, taken.images)

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
                has_new |= result.is_new
                if result.image not in taken.images:
                    taken.images.append(result.image)
    except BaseException:
        with contextlib.suppress(Album.DoesNotExist, DatabaseError, InterfaceError):  # what ended it is told
            finish()
        raise
    finish()
    return taken
