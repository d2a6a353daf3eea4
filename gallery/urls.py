from django.urls import path, register_converter

from gallery import api, media, views
from gallery.addresses import NAME_LENGTH


class ContentName:
    """As ``gallery.addresses.content_name`` makes it."""

    regex = f"[0-9a-f]{{{NAME_LENGTH}}}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ContentName, "content")

page_patterns = [
    path("", views.home, name="home"),
    path("albums", views.albums, name="albums"),
    path("albums/<int:pk>", views.album, name="album"),
    path("images/<int:pk>", views.image, name="image"),
    path("media/<int:pk>/<slug:spec>-<content:name>.webp", media.media, name="media"),
    path("age-confirmation", views.age_confirmation, name="age-confirmation"),
    path("content-filter", views.content_filter, name="content-filter"),
]

api_patterns = [
    path("images", api.ImageList.as_view(), name="images"),
    path("images/<int:pk>", api.ImageDetail.as_view(), name="image"),
    path("images/<int:pk>/thumbnail", api.ImageThumbnail.as_view(), name="image-thumbnail"),
    path("images/<int:pk>/file", api.ImageFile.as_view(), name="image-file"),
    path("albums", api.AlbumList.as_view(), name="albums"),
    path("albums/<int:pk>", api.AlbumDetail.as_view(), name="album"),
    path("albums/<int:pk>/download", api.AlbumDownload.as_view(), name="album-download"),
]
