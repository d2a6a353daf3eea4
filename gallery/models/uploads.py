from django.conf import settings
from django.db import models


class Upload(models.Model):
    """Pictures that came in together by one request; ``Image.source_id`` names it."""

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"upload {self.pk}"
