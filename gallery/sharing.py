"""Shared links: what they name, and nothing more."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from gallery.models import Album, Image, SharedLink

KEY = r"[A-Za-z0-9_-]{43}"  # as secrets.token_urlsafe(32) writes 256 bits
# last_used_at is for people who look at it, so one write a minute is enough
USE_RECORDED_EVERY = timedelta(minutes=1)


def create_shared_link(
    *,
    image: Image | None = None,
    album: Album | None = None,
    expires_at: datetime | None = None,
    created_by=None,
) -> tuple[SharedLink, str]:
    """A new link and its key, which is told only this once.

    :raises ValidationError: it names not exactly one thing, a picture that is gone, or a time that has passed.
    """
    if (image is None) == (album is None):
        raise ValidationError("Name exactly one thing to share: a picture or an album.")
    if image is not None and image.is_gone:
        raise ValidationError({"image_id": ["This picture is in the trash or withdrawn; restore it first."]})
    if expires_at is not None and expires_at <= timezone.now():
        raise ValidationError({"expires_at": ["This time has passed; name one to come."]})
    key = SharedLink.new_key()
    link = SharedLink.objects.create(
        image=image,
        album=album,
        hash=SharedLink.hash_key(key),
        hint=key[:6],
        expires_at=expires_at,
        created_by=created_by,
    )
    return link, key


def revoke_shared_link(link: SharedLink) -> SharedLink:
    """From this moment on its key opens nothing; the row stays, so that curators see what was shared."""
    if link.revoked_at is None:
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
    return link


def record_use(link: SharedLink) -> None:
    now = timezone.now()
    is_due = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_RECORDED_EVERY)
    SharedLink.objects.filter(is_due, pk=link.pk).update(last_used_at=now)


def images_named_by(link: SharedLink):
    """The pictures that the link names, those that are gone too; an album's in its order."""
    if link.album_id is not None:
        return Image.objects.in_album_order(link.album_id)
    return Image.objects.filter(pk=link.image_id)
