"""Deleting pictures for good. Rows go here; their bytes go with the sweep, when no other row names them."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from gallery.models import Image, LibrarySettings
from gallery.origins import release_all
from gallery.services import lock_all

PRUNED_AT_ONCE = 200  # pictures a tick; each in a transaction of its own


def purge_from_trash(image: Image) -> bool:
    """Delete a picture for good, with its labels, its places and its links; what was made from it stays.

    Only if it still is in the trash, where it is in no count and no cover any more, and was not retracted: then its
    row must stay, so that the same bytes are not taken in again.

    :return: whether it was deleted.
    """
    return bool(_delete(Image.objects.filter(pk=image.pk, trashed_at__isnull=False, retracted_at=None)))


def prune_trash() -> int:
    """Delete for good what has been in the trash for the days of the settings, some at a time; for the tick."""
    days = LibrarySettings.current().trash_days
    if not days:
        return 0
    old = Image.objects.filter(trashed_at__lt=timezone.now() - timedelta(days=days), retracted_at=None)
    ids = list(old.order_by("trashed_at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return sum(_delete(old.filter(pk=pk)) for pk in ids)


@transaction.atomic
def _delete(images) -> int:
    """Delete the one picture if it is still as it was found: somebody may have restored it meanwhile."""
    # what other apps say of a picture is locked before it, as by whoever puts a picture to use
    release_all(list(images.values_list("pk", flat=True)))
    lock_all(images)
    image = images.first()
    if image is None:
        transaction.set_rollback(True)
        return 0
    image.delete()
    return 1
