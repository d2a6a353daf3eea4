"""The one place that decides what a viewer may see. It fails closed: what it does not know, it hides or blurs.

``ImageQuerySet.visible_to`` and ``listed_for``, ``AlbumQuerySet.visible_to`` ask a :class:`Viewer`; so does every
view that sends bytes or words of a picture.
"""

from dataclasses import dataclass
from typing import Literal

from django.http import Http404
from rest_framework.exceptions import APIException

from gallery.models import Image, Rating
from gallery.renditions import BLURRED

Mode = Literal["hide", "blur", "show"]
MODES: tuple[Mode, ...] = ("hide", "blur", "show")
MODE_KEY = "nsfw"  # in the session: what the viewer chose
AGE_KEY = "is_of_age"  # in the session: who has confirmed it


@dataclass(frozen=True)
class Viewer:
    is_admin: bool = False
    mode: Mode = "blur"
    is_of_age: bool = False

    @classmethod
    def from_request(cls, request) -> "Viewer":
        """The viewer of a page or an API request.

        A page follows the choice kept in the session, the API its ``nsfw`` parameter. ``show`` without a
        confirmed age falls back to ``blur``, and so does a mode that is not known.
        """
        user = getattr(request, "user", None)
        session = getattr(request, "session", {})
        is_of_age = session.get(AGE_KEY) == _who(user)
        if hasattr(request, "query_params"):
            mode = request.query_params.get("nsfw", "blur")
        else:
            mode = session.get(MODE_KEY, "blur")
        if mode not in MODES or (mode == "show" and not is_of_age):
            mode = "blur"
        return cls(is_admin=bool(user and user.is_active and user.is_staff), mode=mode, is_of_age=is_of_age)

    @property
    def sees_restricted(self) -> bool:
        return self.is_admin or (self.is_of_age and self.mode == "show")

    @property
    def hides(self) -> bool:
        return self.mode == "hide"

    @property
    def restricted_ratings(self) -> tuple[Rating, ...]:
        restricted = (Rating.ADULT, Rating.EXPLICIT)
        return restricted if self.is_admin else (Rating.UNRATED, *restricted)


def confirm_age(request) -> None:
    """Remember for this session that whoever uses it now is of age, and show restricted pictures from now on.

    Signing in keeps a session's choices, so what a visitor has confirmed does not count for the account that signs in
    on the same machine after them.
    """
    request.session[AGE_KEY] = _who(request.user)
    request.session[MODE_KEY] = "show"


def _who(user) -> str:
    return f"user {user.pk}" if user is not None and user.is_authenticated else "visitor"


class Gone(APIException):
    """The picture has been retracted: its address is not reused and does not pretend that nothing was there."""

    status_code = 410
    default_detail = "This picture has been withdrawn."
    default_code = "gone"


def is_open_to_all(image: Image) -> bool:
    """Public and safe: the same answer for everybody, so that shared caches may keep it."""
    return image.is_public and not image.is_gone and not image.is_restricted


def may_leave_as_it_is(image: Image) -> bool:
    """Whether its stored file may go to the public: it comes from our own encoder, so that nothing is in it that its
    maker left there, and its recipe names by its hash no picture that is not open to all."""
    names_no_other = "reference_sha256" not in image.generation_params
    return image.is_own_encoding and (
        names_no_other or (image.reference_image is not None and is_open_to_all(image.reference_image))
    )


def may_open(image: Image, viewer: Viewer) -> bool:
    """As ``visible_to``, for a picture that is at hand already."""
    return viewer.is_admin or (image.is_public and not image.is_gone)


def sees_clear(image: Image, viewer: Viewer) -> bool:
    """Whether the viewer's age is enough for its rating; whether they may open it at all is another question."""
    return viewer.sees_restricted or not image.is_restricted


def may_see_details(image: Image, viewer: Viewer) -> bool:
    """Whether the picture may be shown clear, with its prompt, labels and names."""
    return may_open(image, viewer) and sees_clear(image, viewer)


def rendition_for(image: Image, viewer: Viewer, spec: str) -> str:
    """The name of the rendition to send when ``spec`` is asked for."""
    return spec if may_see_details(image, viewer) else BLURRED.name


def check_open(image: Image | None, viewer: Viewer) -> Image:
    """The picture, if the viewer may open it.

    :raises Gone: it has been retracted.
    :raises Http404: there is none, or none for this viewer: the answer does not tell which.
    """
    if image is None or (not may_open(image, viewer) and image.retracted_at is None):
        raise Http404
    if not may_open(image, viewer):
        raise Gone
    return image
