"""Addresses of pictures, which tell nothing about their bytes.

Whoever owns a file must not learn from an address or an ETag whether it lies here, so names are keyed digests and
never the SHA-256. A blurred rendition has another name than a clear one, and no name gives away another.
"""

from django.conf import settings
from django.utils.crypto import salted_hmac

from gallery.models import Image
from gallery.renditions import Spec

NAME_LENGTH = 24  # hexadecimal digits: 96 bits that nobody can guess


def content_name(image: Image, what: str) -> str:
    """The name of these bytes of the picture (a spec, or ``original``); it changes with them and with SECRET_KEY."""
    digest = salted_hmac("gallery.addresses", f"{what} {image.pk} {image.sha256}", algorithm="sha256")
    return digest.hexdigest()[:NAME_LENGTH]


def media_url(image: Image, spec: Spec) -> str:
    """Named by content, so that what is public and safe may be kept for ever."""
    return f"/media/{image.pk}/{spec.name}-{content_name(image, spec.name)}.webp"


def absolute_url(request, path: str) -> str:
    """The address for people elsewhere: at IMAGINEER_SITE_URL where that is set, else at the request's host."""
    return f"{settings.SITE_URL}{path}" if settings.SITE_URL else request.build_absolute_uri(path)
