"""The page of a picture."""

from django.views.decorators.http import require_safe

from gallery.models import Album, AlbumImage, Image, LabelType
from gallery.origins import actions_for, describe_all
from gallery.paging import ALBUM_ORDER, cut_page
from gallery.recipes import describe_recipe, write_infotext
from gallery.similar import find_similar
from gallery.tiles import tile
from gallery.views.answers import page
from gallery.visibility import Gone, Viewer, check_open, may_see_details

MAX_ALBUMS = 50
MAX_VARIATIONS = 24


@require_safe
def image(request, pk: int):
    viewer = Viewer.from_request(request)
    try:
        image = check_open(Image.objects.select_related("model").filter(pk=pk).first(), viewer)
    except Gone as gone:
        return page(request, "error.html", viewer, status=410, title="Withdrawn", sentence=gone.detail)
    source = (image.source_type, image.source_id)
    is_clear = may_see_details(image, viewer)
    labels = list(image.labels.live()) if is_clear else []
    albums = list(image.albums.visible_to(viewer).for_lists(viewer).order_by("-pk")[:MAX_ALBUMS])
    made_from, made_of_it = find_relatives(image, viewer)
    return page(
        request,
        "gallery/image.html",
        viewer,
        image=image,
        tile=tile(image, viewer),
        recipe=describe_recipe(image) if is_clear else [],
        infotext=write_infotext(image) if is_clear else "",
        captions=[label for label in labels if label.type == LabelType.CAPTION],
        tags=[label for label in labels if label.type != LabelType.CAPTION],
        albums=albums,
        is_training_source=any(album.is_training_source for album in albums),
        origin=describe_all([source], viewer).get(source),
        actions=actions_for(image, viewer),
        neighbours=neighbours(request, image, albums, viewer),
        made_from=[tile(found, viewer) for found in made_from],
        made_of_it=[tile(found, viewer) for found in made_of_it],
        similar=[tile(found, viewer) for found in find_similar(image, viewer)],
    )


def find_relatives(image: Image, viewer: Viewer) -> tuple[list[Image], list[Image]]:
    """What the picture was made from, and the newest of what was made from it. Of a picture that the viewer may not
    see clear neither is told."""
    if not may_see_details(image, viewer):
        return [], []
    listed = Image.objects.listed_for(viewer).with_badges(viewer)
    made_from = listed.filter(pk=image.reference_image_id) if image.reference_image_id else []
    return list(made_from), list(listed.filter(reference_image=image).order_by("-pk")[:MAX_VARIATIONS])


def neighbours(request, image: Image, albums: list[Album], viewer: Viewer) -> dict:
    """The pictures before and after this one in the album that the address names, else in the newest that holds it."""
    if "album" in request.GET:
        number = request.GET["album"]
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return {}
        album = Album.objects.visible_to(viewer).filter(pk=number).first()
    else:
        album = albums[0] if albums else None
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
