"""What a page of the gallery tells search engines and link previews about itself."""

from django import template

from gallery.addresses import absolute_url, media_url
from gallery.models import Album, Image
from gallery.renditions import LARGE, size_in
from gallery.tiles import tile
from gallery.visibility import Viewer, is_open_to_all

register = template.Library()


@register.inclusion_tag("gallery/_head.html", takes_context=True)
def gallery_head(context, thing: Image | Album | None = None):
    """``{% gallery_head image %}`` or ``{% gallery_head album %}`` in a page's ``head`` block.

    It depends on what the public may see, never on the viewer: a program that previews a link has a session of its
    own. Whatever is not public and safe asks not to be listed, and is not described.
    """
    request = context["request"]
    about = _describe_image(thing) if isinstance(thing, Image) else _describe_album(thing)
    if about is None:
        return {"is_listed": False}
    picture = about.pop("picture")
    if picture is not None:
        width, height = size_in(LARGE, picture.width, picture.height)
        about["image"] = {
            "url": absolute_url(request, media_url(picture, LARGE)),
            "width": width,
            "height": height,
        }
    return {"is_listed": True, "url": absolute_url(request, thing.get_absolute_url()), **about}


def _describe_image(image: Image) -> dict | None:
    if not is_open_to_all(image):
        return None
    shown = tile(image, Viewer(mode="hide"))
    return {"title": shown.name, "description": shown.alt, "picture": image}


def _describe_album(album: Album | None) -> dict | None:
    if album is None or not album.is_public:
        return None
    cover = album.cover
    return {
        "title": album.name,
        "description": " ".join(album.description.split())[:300],
        "picture": cover if cover is not None and is_open_to_all(cover) else None,
    }
