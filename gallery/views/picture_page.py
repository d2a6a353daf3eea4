"""The page of a picture."""

from django.views.decorators.http import require_safe

from gallery.models import Album, AlbumImage, Image
from gallery.origins import describe_all
from gallery.paging import ALBUM_ORDER, cut_page
from gallery.recipes import describe_recipe
from gallery.tiles import tile
from gallery.views.answers import page
from gallery.visibility import Gone, Viewer, check_open, may_see_details


@require_safe
def image(request, pk: int):
    viewer = Viewer.from_request(request)
    try:
        image = check_open(Image.objects.select_related("model").filter(pk=pk).first(), viewer)
    except Gone as gone:
        return page(request, "error.html", viewer, status=410, title="Withdrawn", sentence=gone.detail)
    source = (image.source_type, image.source_id)
    is_clear = may_see_details(image, viewer)
    return page(
        request,
        "gallery/image.html",
        viewer,
        image=image,
        tile=tile(image, viewer),
        recipe=describe_recipe(image) if is_clear else [],
        labels=list(image.labels.live()) if is_clear else [],
        albums=list(image.albums.visible_to(viewer).order_by("-pk")[:50]),
        origin=describe_all([source], viewer).get(source),
        neighbours=neighbours(request, image, viewer),
    )


def neighbours(request, image: Image, viewer: Viewer) -> dict:
    """The pictures before and after this one in the album that the address names."""
    number = request.GET.get("album", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return {}
    album = Album.objects.visible_to(viewer).filter(pk=number).first()
    place = album and AlbumImage.objects.filter(album=album, image=image).first()
    if not place:
        return {}
    images = Image.objects.listed_for(viewer).in_album_order(album)
    here = f"{place.position}-{place.pk}"
    before = cut_page(images, ALBUM_ORDER, size=1, before=here).rows
    after = cut_page(images, ALBUM_ORDER, size=1, after=here).rows
    return {
        "album": album,
        "previous": tile(before[0], viewer, album_id=album.pk) if before else None,
        "next": tile(after[0], viewer, album_id=album.pk) if after else None,
    }
