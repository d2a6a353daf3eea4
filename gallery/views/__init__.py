"""The public pages."""

from gallery.views.album_page import album
from gallery.views.choices import age_confirmation, content_filter
from gallery.views.crawlers import robots, sitemap, sitemap_pages, sitemap_part
from gallery.views.lists import about, albums, home
from gallery.views.lora_pages import loras
from gallery.views.picture_page import image
from gallery.views.provenance_page import provenance
from gallery.views.shared_page import shared, shared_download, shared_file, shared_image, shared_media

__all__ = [
    "about",
    "age_confirmation",
    "album",
    "albums",
    "content_filter",
    "home",
    "image",
    "loras",
    "provenance",
    "robots",
    "shared",
    "shared_download",
    "shared_file",
    "shared_image",
    "shared_media",
    "sitemap",
    "sitemap_pages",
    "sitemap_part",
]
