from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q


class LibrarySettings(models.Model):
    """What a curator decides for the whole library. One row at most; without it the defaults hold."""

    trash_days = models.PositiveSmallIntegerField(
        "days in the trash",
        default=30,
        validators=[MaxValueValidator(3650)],
        help_text="After so many days a picture in the trash is deleted for good. 0 keeps it for ever.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "library settings"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_row_of_library_settings")]

    def __str__(self):
        return "Library settings"

    @classmethod
    def current(cls) -> "LibrarySettings":
        return cls.objects.filter(pk=1).first() or cls(pk=1)
