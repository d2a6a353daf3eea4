"""The public pages."""

from gallery.views.album_page import album
from gallery.views.choices import age_confirmation, content_filter
from gallery.views.lists import albums, home
from gallery.views.picture_page import image

__all__ = ["age_confirmation", "album", "albums", "content_filter", "home", "image"]
