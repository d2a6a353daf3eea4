"""The library. What deleting a row does to the rows that name it:

===============  ===========================================  ==========
deleted          named by                                     on delete
===============  ===========================================  ==========
Image            AlbumImage.image, Label.image                CASCADE
Image, Album     SharedLink.image, SharedLink.album           CASCADE
Image            Album.cover, Image.reference_image           SET_NULL
Album            AlbumImage.album                             CASCADE
Label            Label.parent                                 SET_NULL
DiffusionModel   Image.model                                  SET_NULL
User             created_by of all, Label.author              SET_NULL
===============  ===========================================  ==========

Deleting goes through ``gallery.services`` and ``gallery.trash``, which keep counters, covers and ``Image.is_public``
true. Bytes are deleted by nothing but ``gallery.orphans``.
"""

from gallery.models.albums import Album, AlbumImage
from gallery.models.images import Image, Rating, RatingSource, SourceType
from gallery.models.labels import Label, LabelSource, LabelType
from gallery.models.settings import LibrarySettings
from gallery.models.sharing import SharedLink
from gallery.models.uploads import Upload
from gallery.models.weights import DiffusionModel, Lora

__all__ = [
    "Album",
    "AlbumImage",
    "DiffusionModel",
    "Image",
    "Label",
    "LabelSource",
    "LabelType",
    "LibrarySettings",
    "Lora",
    "Rating",
    "RatingSource",
    "SharedLink",
    "SourceType",
    "Upload",
]
