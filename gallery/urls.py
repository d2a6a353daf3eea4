from django.urls import path, register_converter

from gallery import media, views
from gallery.addresses import NAME_LENGTH
from gallery.api import library as api
from gallery.api import sharing as sharing_api
from gallery.api.uploads import ImageUpload
from gallery.sharing import KEY


class ContentName:
    """As ``gallery.addresses.content_name`` makes it."""

    regex = f"[0-9a-f]{{{NAME_LENGTH}}}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class SharedKey(ContentName):
    regex = KEY


register_converter(ContentName, "content")
register_converter(SharedKey, "shared_key")

page_patterns = [
    path("", views.home, name="home"),
    path("albums", views.albums, name="albums"),
    path("albums/<int:pk>", views.album, name="album"),
    path("images/<int:pk>", views.image, name="image"),
    path("images/<int:pk>/provenance", views.provenance, name="provenance"),
    path("loras", views.loras, name="loras"),
    path("about", views.about, name="about"),
    path("media/<int:pk>/<slug:spec>-<content:name>.webp", media.media, name="media"),
    path("s/<shared_key:key>", views.shared, name="shared"),
    path("s/<shared_key:key>/download", views.shared_download, name="shared-download"),
    path("s/<shared_key:key>/images/<int:pk>", views.shared_image, name="shared-image"),
    path("s/<shared_key:key>/images/<int:pk>/file", views.shared_file, name="shared-file"),
    path("s/<shared_key:key>/media/<int:pk>/<slug:spec>.webp", views.shared_media, name="shared-media"),
    path("robots.txt", views.robots, name="robots"),
    path("sitemap.xml", views.sitemap, name="sitemap"),
    path("sitemap-pages.xml", views.sitemap_pages, name="sitemap-pages"),
    path("sitemap-<slug:kind>-<int:number>.xml", views.sitemap_part, name="sitemap-part"),
    path("age-confirmation", views.age_confirmation, name="age-confirmation"),
    path("content-filter", views.content_filter, name="content-filter"),
]

api_patterns = [
    path("images", api.ImageList.as_view(), name="images"),
    path("images/upload", ImageUpload.as_view(), name="image-upload"),
    path("images/<int:pk>", api.ImageDetail.as_view(), name="image"),
    path("images/<int:pk>/thumbnail", api.ImageThumbnail.as_view(), name="image-thumbnail"),
    path("images/<int:pk>/file", api.ImageFile.as_view(), name="image-file"),
    path("images/<int:pk>/provenance", api.ImageProvenance.as_view(), name="image-provenance"),
    path("albums", api.AlbumList.as_view(), name="albums"),
    path("albums/<int:pk>", api.AlbumDetail.as_view(), name="album"),
    path("albums/<int:pk>/download", api.AlbumDownload.as_view(), name="album-download"),
    path("shared-links", sharing_api.SharedLinkList.as_view(), name="shared-links"),
    path("shared-links/<int:pk>", sharing_api.SharedLinkDetail.as_view(), name="shared-link"),
]
