"""The curation desk of the library: pictures, albums, labels and weights, shared links, settings."""

from gallery.admin import library, settings, sharing

__all__ = ["library", "settings", "sharing"]
