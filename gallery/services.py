"""Changes of albums and pictures. Each keeps ``Image.is_public``, ``Album.image_count`` and ``Album.cover`` true in
the transaction that changes what they follow from.

Order of locks, so that two of them do not wait for each other: albums, then pictures, each by id. They are ``no_key``
locks: a new place holds a key lock on its picture already, and two holders of it could never both get the full one.
"""

from collections.abc import Iterable, Sequence

from django.db import connection, transaction
from django.db.models import BigIntegerField, Case, Count, Exists, F, Max, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from gallery.models import Album, AlbumImage, Image, SourceType
from gallery.models.images import UNRESTRICTED
from gallery.names import UNTOLD_ALBUM, name_of

IN_PUBLIC_ALBUM = Exists(AlbumImage.objects.filter(image=OuterRef("pk"), album__is_public=True))


def create_album(
    *,
    name: str,
    description: str = "",
    source_type: str = SourceType.MANUAL,
    source_id: int | None = None,
    is_public: bool = True,
    is_training_source: bool = False,
    created_by=None,
) -> Album:
    """:raises ValidationError: the name is empty or longer than 200 characters."""
    album = Album(
        name=name.replace("\0", "").strip(),
        description=description.replace("\0", ""),
        source_type=source_type,
        source_id=source_id,
        is_public=is_public,
        is_training_source=is_training_source,
        created_by=created_by,
    )
    album.full_clean(exclude=["created_by"])
    album.save(force_insert=True)
    return album


@transaction.atomic
def update_album(
    album: Album,
    *,
    name: str | None = None,
    description: str | None = None,
    is_training_source: bool | None = None,
) -> Album:
    """Change what nothing else follows from. :raises ValidationError: the name is empty or too long."""
    album = lock_album(album)
    for field, value in (
        ("name", name),
        ("description", description),
        ("is_training_source", is_training_source),
    ):
        if value is not None:
            setattr(album, field, value)
    album.full_clean(exclude=["created_by", "cover"])
    album.save(update_fields=["name", "description", "is_training_source", "updated_at"])
    return album


@transaction.atomic
def add_images(album: Album, images: Iterable[Image], *, positions: Sequence[int] | None = None) -> int:
    """Put pictures into the album, at these positions or behind the last; return how many were not there yet.

    One that has been deleted for good meanwhile is left out. The first picture is the cover, unless somebody has chosen
    another. The number of queries does not depend on the pictures, nor on those that the album holds already.
    """
    images = list(images)
    if positions is not None and len(positions) != len(images):
        raise ValueError(f"{len(images)} pictures need as many positions, not {len(positions)}.")
    album = lock_album(album)
    ids = [image.pk for image in images]
    lock_all(Image.objects.filter(pk__in=ids))
    existing = set(Image.objects.filter(pk__in=ids).values_list("pk", flat=True))
    places = AlbumImage.objects.filter(album=album)
    there = set(places.filter(image__in=ids).values_list("image_id", flat=True))
    if positions is None:
        last = places.aggregate(last=Max("position"))["last"] or 0
        positions = range(last + 1, last + 1 + len(images))
    new = {}
    for image_id, position in zip(ids, positions, strict=True):
        if image_id in existing - there:
            new.setdefault(image_id, position)
    shown = places.filter(image__trashed_at=None, image__retracted_at=None).order_by("position", "pk")
    first = shown.values_list("position", "image").first()
    AlbumImage.objects.bulk_create(
        [AlbumImage(album=album, image_id=pk, position=place) for pk, place in new.items()]
    )
    settle_images(list(new))
    present = set(Image.objects.filter(pk__in=new).present().values_list("pk", flat=True))
    if present:
        album.image_count += len(present)
        if first is None or album.cover_id in (None, first[1]):
            firsts = [(new[pk], pk) for pk in present] + ([first] if first else [])
            album.cover_id = min(firsts)[1]
    album.save(update_fields=["image_count", "cover", "updated_at"])
    return len(new)


@transaction.atomic
def remove_images(album: Album, images: Iterable[Image]) -> int:
    """Take pictures out of the album and nothing more; return how many were in it."""
    album = lock_album(album)
    ids = [image.pk for image in images]
    removed, _ = AlbumImage.objects.filter(album=album, image__in=ids).delete()
    settle_images(ids)
    settle_albums(Album.objects.filter(pk=album.pk))
    return removed


@transaction.atomic
def replace_image(album: Album, old: Image | None, new: Image, *, position: int) -> Album:
    """Give a picture's place in the album to another one; the cover follows, every other place stays.

    :param old: leaves the album. Without it, or if it is not in the album, the new one comes to ``position``.
    :raises ValueError: the new one is in the album already, or gone.
    """
    album = lock_album(album)
    pictures = [image.pk for image in (old, new) if image]
    lock_all(Image.objects.filter(pk__in=pictures))
    places = AlbumImage.objects.filter(album=album)
    if places.filter(image=new).exists():
        raise ValueError("This picture stands in the album already.")
    if not Image.objects.present().filter(pk=new.pk).exists():
        raise ValueError("This picture is in the trash or withdrawn.")
    if not places.filter(image=old).update(image=new):
        AlbumImage.objects.create(album=album, image=new, position=position)
    if old and album.cover_id == old.pk:
        Album.objects.filter(pk=album.pk).update(cover=new)
    settle_images(pictures)
    settle_albums(Album.objects.filter(pk=album.pk))
    album.refresh_from_db()
    return album


@transaction.atomic
def set_album_public(album: Album, *, is_public: bool) -> Album:
    """Publish the album with its pictures, or take it back; pictures in another public album stay public."""
    album = lock_album(album)
    album.is_public = is_public
    album.save(update_fields=["is_public", "updated_at"])
    settle_images(AlbumImage.objects.filter(album=album).values("image"))
    # after the pictures: who rates one of them at this moment looks at its albums when this is done
    unname_albums(Album.objects.filter(pk=album.pk))
    return album


def unname_albums(albums) -> None:
    """Take the prompt of a restricted picture from the public albums named after it, as single pictures' are."""
    named = AlbumImage.objects.filter(
        album__in=albums.filter(is_public=True, source_type=SourceType.BATCH_GENERATION),
        image__prompt__gt="",
    ).exclude(image__rating__in=UNRESTRICTED)
    pairs = named.order_by().values_list("album", "album__name", "image__prompt").distinct()
    told = {pk for pk, name, prompt in pairs.iterator() if name == name_of(prompt)}
    if told:
        Album.objects.filter(pk__in=told).update(name=UNTOLD_ALBUM, updated_at=Now())


@transaction.atomic
def set_cover(album: Album, image: Image) -> Album:
    """:raises ValueError: the picture is not in the album, or gone."""
    album = lock_album(album)
    # read now: whoever puts it into the trash takes the album's lock too
    if not Image.objects.present().filter(pk=image.pk, places__album=album).exists():
        raise ValueError("Only a picture of the album can be its cover.")
    album.cover = image
    album.save(update_fields=["cover", "updated_at"])
    return album


@transaction.atomic
def delete_album(album: Album) -> None:
    """Delete the album; its pictures stay, public as far as another public album holds them."""
    album = set_album_public(album, is_public=False)
    album.delete()


def trash_image(image: Image, *, among=None) -> Image:
    """Out of every list and album, back by :func:`restore_image`; its places are kept.

    :param among: pictures; this one stays where it is if it is none of them any more once it is locked.
    """
    return _mark(image, among, trashed_at=timezone.now())


def restore_image(image: Image) -> Image:
    """:raises Image.DoesNotExist: it has been deleted for good."""
    return _mark(image, trashed_at=None)


def retract_image(image: Image) -> Image:
    """Withdraw the picture for good: its address answers 410, and the same bytes are not taken in again."""
    return _mark(image, retracted_at=timezone.now())


def _mark(image: Image, among=None, **gone) -> Image:
    while not _try_to_mark(image, gone, among):
        pass
    image.refresh_from_db()
    return image


@transaction.atomic
def _try_to_mark(image: Image, gone: dict, among) -> bool:
    """False if the picture was put into another album before it was locked: that one must be locked before it too."""
    places = AlbumImage.objects.filter(image=image)
    albums = Album.objects.filter(pk__in=list(places.values_list("album", flat=True)))
    lock_all(albums)
    lock_all(Image.objects.filter(pk=image.pk))
    if places.exclude(album__in=albums).exists():
        return False
    if among is not None and not among.filter(pk=image.pk).exists():
        return True
    # not public before it is gone: the database checks that a picture is never both
    Image.objects.filter(pk=image.pk).update(is_public=False, **gone)
    settle_images([image.pk])
    settle_albums(albums)
    return True


def lock_album(album: Album) -> Album:
    """:raises Album.DoesNotExist: it has been deleted."""
    return Album.objects.select_for_update(no_key=True).get(pk=album.pk)


def lock_all(rows) -> None:
    if connection.features.has_select_for_update:
        rows = rows.model.objects.filter(pk__in=rows.values("pk")).order_by("pk")
        list(rows.select_for_update(no_key=True).values_list("pk"))


def settle_images(ids) -> None:
    """Make ``is_public`` true of these pictures: in a public album, neither trashed nor retracted.

    They are locked by a statement of its own: PostgreSQL would look at albums as they were before it waited.
    """
    images = Image.objects.filter(pk__in=ids)
    lock_all(images)
    images.filter(~IN_PUBLIC_ALBUM, is_public=True).update(is_public=False)
    images.filter(IN_PUBLIC_ALBUM, is_public=False).present().update(is_public=True)


def find_wrong_publicity():
    """Pictures whose ``is_public`` is not true of them; there are none unless somebody wrote past these services."""
    is_right = Q(is_public=True) & IN_PUBLIC_ALBUM
    is_right |= Q(is_public=False) & (
        ~IN_PUBLIC_ALBUM | Q(trashed_at__isnull=False) | Q(retracted_at__isnull=False)
    )
    return Image.objects.exclude(is_right)


def settle_albums(albums) -> None:
    """Make ``image_count`` and ``cover`` true of these albums; a cover that is gone gives way to the first picture."""
    present = AlbumImage.objects.filter(
        album=OuterRef("pk"), image__trashed_at=None, image__retracted_at=None
    ).order_by()
    count = Subquery(present.values("album").annotate(number=Count("pk")).values("number"))
    first = Subquery(present.order_by("position", "id").values("image")[:1], output_field=BigIntegerField())
    albums.update(
        image_count=Coalesce(count, 0),
        cover=Case(
            When(Exists(present.filter(image=OuterRef("cover"))), then=F("cover")),
            default=first,
            output_field=BigIntegerField(),
        ),
        updated_at=Now(),
    )
