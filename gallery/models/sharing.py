import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare


class SharedLinkQuerySet(models.QuerySet):
    def live(self):
        """Neither revoked nor expired."""
        still_valid = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(still_valid, revoked_at=None)

    def find(self, key: str):
        """The live link of this key, or None: unknown, expired and revoked are alike.

        It is looked up by its hash, so that the time it takes tells nothing about how much of a key is right.
        """
        digest = SharedLink.hash_key(key)
        link = self.live().filter(hash=digest).select_related("album").first()
        return link if link is not None and constant_time_compare(link.hash, digest) else None


class SharedLink(models.Model):
    """Lets whoever has its key see one picture or one album: 256 random bits, stored as SHA-256, shown once.

    Written by ``gallery.sharing``. It is no proof of age, and opens nothing that is trashed or retracted.
    """

    image = models.ForeignKey(
        "Image", models.CASCADE, null=True, blank=True, editable=False, related_name="shared_links"
    )
    album = models.ForeignKey(
        "Album", models.CASCADE, null=True, blank=True, editable=False, related_name="shared_links"
    )
    hash = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        max_length=6, editable=False, help_text="The first characters of the key, to tell links apart."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SharedLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(image=None, album__isnull=False) | Q(image__isnull=False, album=None),
                name="shared_link_names_one_thing",
            ),
        ]

    def __str__(self):
        return f"{self.hint}…"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @staticmethod
    def new_key() -> str:
        return secrets.token_urlsafe(32)

    @staticmethod
    def hash_key(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()
