"""A picture as a page shows it to one viewer: which bytes, which words."""

from collections.abc import Callable
from dataclasses import dataclass

from gallery.addresses import media_url
from gallery.models import Image, Rating
from gallery.names import readable
from gallery.renditions import BLURRED, GRID, LARGE, MEDIUM, Spec, size_in
from gallery.visibility import Viewer, may_see_details

ALT_LENGTH = 160  # characters
SHOWN_AT_LEAST = (
    768  # pixels on the long side of a picture that is shown alone; smaller ones are enlarged to it
)


@dataclass(frozen=True)
class Tile:
    image: Image
    is_blurred: bool
    url: str  # of the picture's page
    name: str
    alt: str
    src: str
    srcset: str
    width: int  # pixels of the original; pages use them for the shape
    height: int
    large: str
    large_width: int  # pixels that it is shown at where there is room
    large_height: int

    @property
    def rating_badge(self) -> str:
        """Why not everybody is shown it; whoever sees it unrated may be the one who is to rate it."""
        if not (self.is_blurred or self.image.is_restricted):
            return ""
        return "Unrated" if self.image.rating == Rating.UNRATED and not self.is_blurred else "18+"

    @property
    def is_labelled(self) -> bool:
        """Of rows that come from ``ImageQuerySet.with_badges()``, as the next."""
        return not self.is_blurred and getattr(self.image, "is_labelled", False)

    @property
    def is_training_source(self) -> bool:
        return getattr(self.image, "is_training_source", False)

    @property
    def shape(self) -> int:
        """Width through height in tenths, as far as the rows of a page go; the style sheet has a class for each."""
        return min(30, max(4, round(10 * self.width / self.height)))


def tile(image: Image, viewer: Viewer, *, album_id: int | None = None) -> Tile:
    url = f"/images/{image.pk}" if album_id is None else f"/images/{image.pk}?album={album_id}"
    return build_tile(image, is_clear=may_see_details(image, viewer), url=url, address=media_url)


def build_tile(image: Image, *, is_clear: bool, url: str, address: Callable[[Image, Spec], str]) -> Tile:
    """:param address: gives the address of a rendition."""
    width, height = image.width, image.height
    large_size = size_in(LARGE, width, height)
    scale = max(1, SHOWN_AT_LEAST / max(large_size))
    shown_size = round(large_size[0] * scale), round(large_size[1] * scale)
    if not is_clear:
        blurred = address(image, BLURRED)
        return Tile(
            image,
            True,
            url,
            "Blurred picture",
            "Blurred picture",
            blurred,
            "",
            width,
            height,
            blurred,
            *shown_size,
        )
    grid, large = address(image, GRID), address(image, LARGE)
    grid_size = size_in(GRID, width, height)
    sharp = LARGE if max(width, height) <= MEDIUM.above else MEDIUM
    srcset = ""
    if large_size != grid_size:
        srcset = f"{grid} {grid_size[0]}w, {address(image, sharp)} {size_in(sharp, width, height)[0]}w"
    name = readable(image.filename.rpartition(".")[0]) or "Picture"
    alt = shorten(image.prompt) or name
    return Tile(image, False, url, name, alt, grid, srcset, width, height, large, *shown_size)


def shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= ALT_LENGTH else f"{text[:ALT_LENGTH].rsplit(' ', 1)[0]}…"
