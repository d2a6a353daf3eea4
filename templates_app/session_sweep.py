"""What ended sessions have not kept goes to the trash, by the tick."""

from contextlib import suppress

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from gallery.models import AlbumImage, Image
from gallery.services import trash_image
from templates_app.models import GenerationSession
from templates_app.sessions import active_jobs

SWEPT_AT_ONCE = 200  # pictures a tick


def sweep_discarded() -> int:
    """Move what ended sessions have not kept to the trash, some at a time; for the tick."""
    room, swept = SWEPT_AT_ONCE, 0
    for session in GenerationSession.objects.filter(is_discarding=True, swept_at=None).order_by("pk"):
        if active_jobs(session).exists():
            continue  # its last pictures are still to come
        images = list(unkept_images(session).filter(pk__gt=session.swept_up_to)[:room])
        swept += sum(_sweep(session, image) for image in images)
        room -= len(images)
        if not room:
            break
        GenerationSession.objects.filter(pk=session.pk).update(swept_at=timezone.now())
    return swept


@transaction.atomic
def _sweep(session: GenerationSession, image: Image) -> bool:
    """Once for each picture, whoever ticks beside this: what a person restores is not trashed again."""
    before = GenerationSession.objects.filter(pk=session.pk, swept_up_to__lt=image.pk)
    if not before.update(swept_up_to=image.pk):
        return False
    with suppress(Image.DoesNotExist):  # deleted for good since
        return trash_image(image, among=unkept_images(session)).is_gone
    return False


def unkept_images(session: GenerationSession):
    """Pictures of a session that are in no album and from which no other session began."""
    return (
        Image.objects.present()
        .filter(
            ~Exists(AlbumImage.objects.filter(image=OuterRef("pk"))),
            run_item__run__session_step__session=session,
            sessions_from_it=None,
        )
        .order_by("pk")
    )
