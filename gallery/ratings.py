"""The rating of a picture: the one place that writes ``Image.rating``. A person's word beats a machine's, always."""

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from gallery.models import Album
from gallery.models.images import UNRESTRICTED, Image, Rating, RatingSource
from gallery.services import lock_all, unname_albums

# Weakest first: what a curator said about one picture beats what was declared for a whole run.
STRENGTH = list(RatingSource)


def rate_images(images: QuerySet[Image], *, rating: str, source: str) -> int:
    """Give the pictures this rating, except those that a stronger source has rated; return how many took it.

    :param source: a :class:`RatingSource`; taking a rating back is ``unrated`` by a person.
    """
    rating, source = Rating(rating), RatingSource(source)
    if source == RatingSource.NOBODY:
        raise ValueError("A rating needs a source: machine, declared or person.")
    weaker = STRENGTH[: STRENGTH.index(source) + 1]
    with transaction.atomic():
        changed = images.filter(rating_source__in=weaker).order_by()
        albums = Album.objects.none()
        if rating not in UNRESTRICTED:
            # locked before pictures, as everybody does; one of them may be published at this moment
            albums = Album.objects.filter(
                pk__in=list(changed.values_list("places__album", flat=True).distinct())
            )
            lock_all(albums)
        count = changed.update(rating=rating, rating_source=source)
        unname_albums(albums)
    return count


def first_rating(*, declared: str | None, model=None, reference_image: Image | None = None) -> dict:
    """The rating fields of a new picture: what a curator declared, else safe for a trusted model's own output.

    A trusted model that was given a picture which is not safe can repeat it, so its word does not count then.
    """
    if declared is not None:
        return {"rating": Rating(declared), "rating_source": RatingSource.DECLARED}
    reference_is_safe = reference_image is None or reference_image.rating in UNRESTRICTED
    if model is not None and model.name in settings.TRUSTED_SAFE_SOURCES and reference_is_safe:
        return {"rating": Rating.SAFE, "rating_source": RatingSource.DECLARED}
    return {"rating": Rating.UNRATED, "rating_source": RatingSource.NOBODY}
