"""The page of an album."""

from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from gallery.archives import SIZES
from gallery.models import Album, Image
from gallery.origins import describe_all
from gallery.paging import ALBUM_ORDER, page_links
from gallery.tiles import tile
from gallery.views.answers import cut, page
from gallery.visibility import Viewer


@require_safe
def album(request, pk: int):
    viewer = Viewer.from_request(request)
    album = get_object_or_404(Album.objects.visible_to(viewer).for_lists(viewer).with_badges(viewer), pk=pk)
    found = cut(
        request, Image.objects.listed_for(viewer).with_badges(viewer).in_album_order(album), ALBUM_ORDER
    )
    source = (album.source_type, album.source_id)
    return page(
        request,
        "gallery/album.html",
        viewer,
        album=album,
        origin=describe_all([source], viewer).get(source),
        tiles=[tile(image, viewer, album_id=album.pk) for image in found.rows],
        pages=page_links(request, found),
        sizes=SIZES,
    )
