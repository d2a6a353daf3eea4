from django.db import models
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Lower

LOOKED_AT_FOR_LABELS = 20  # pictures of an album
MAX_WORDS = 8  # of a search; those after them are ignored


class NamedQuerySet(models.QuerySet):
    def with_sort_name(self):
        """``sort_name``, by which lists stand in the alphabet's order whatever the capitals."""
        return self.annotate(sort_name=Lower("name"))


class ImageQuerySet(models.QuerySet):
    def present(self):
        """Neither in the trash nor retracted."""
        return self.filter(trashed_at=None, retracted_at=None)

    def unrestricted(self):
        from gallery.models.images import UNRESTRICTED

        return self.filter(rating__in=UNRESTRICTED)

    def visible_to(self, viewer):
        """What the viewer may open, blurred perhaps: everything for admins, public pictures for all others."""
        return self if viewer.is_admin else self.present().filter(is_public=True)

    def listed_for(self, viewer):
        """What stands in the viewer's lists and is counted for them."""
        return self.visible_to(viewer).present().kept_by_filter(viewer)

    def kept_by_filter(self, viewer):
        """Without what the viewer has chosen to hide."""
        return self.exclude(rating__in=viewer.restricted_ratings) if viewer.hides else self

    def described_for(self, viewer):
        """Those whose prompt, labels and names the viewer may learn; whoever searches by these may find no others."""
        return self if viewer.sees_restricted else self.unrestricted()

    def in_album_order(self, album):
        """The pictures of an album (or of its id), in order, each with its ``position`` and the id of its ``place``."""
        return (
            self.filter(places__album=album)
            .annotate(position=F("places__position"), place_id=F("places__id"))
            .order_by("places__position", "places__id")
        )

    def with_badges(self, viewer):
        """``is_labelled``, for those who may see the picture clear, and ``is_training_source``: of an album that the
        viewer may open."""
        from gallery.models.albums import Album
        from gallery.models.labels import Label

        sources = Album.objects.visible_to(viewer).filter(is_training_source=True, images=OuterRef("pk"))
        return self.annotate(
            is_labelled=Exists(Label.objects.live().filter(image=OuterRef("pk"))),
            is_training_source=Exists(sources),
        )

    def for_api(self):
        """Annotate what the API's rows need of others: ``model_name``, and ``reference_is_public``, so that no row
        tells the id of a hidden reference picture."""
        return self.annotate(model_name=F("model__name"), reference_is_public=F("reference_image__is_public"))


class AlbumQuerySet(NamedQuerySet):
    def visible_to(self, viewer):
        return self if viewer.is_admin else self.filter(is_public=True)

    def matching(self, text):
        """Those whose name or description holds each of the words. Only what :meth:`visible_to` leaves is searched,
        and only what its lists show, so whoever searches learns nothing else."""
        for word in text.replace("\0", " ").split()[:MAX_WORDS]:
            self = self.filter(Q(name__icontains=word) | Q(description__icontains=word))
        return self

    def for_lists(self, viewer):
        """With the cover, and ``shown_count``: the pictures in it that are listed for the viewer.

        An album of which their filter leaves nothing is not there, its name and its page neither; an empty one is.
        """
        albums = self.select_related("cover")
        if not viewer.hides:
            return albums.annotate(shown_count=F("image_count"))
        from gallery.models.albums import AlbumImage

        shown = AlbumImage.objects.filter(
            ~Q(image__rating__in=viewer.restricted_ratings),
            album=OuterRef("pk"),
            image__trashed_at=None,
            image__retracted_at=None,
        ).order_by()
        count = Subquery(
            shown.values("album").annotate(number=Count("pk")).values("number"), output_field=IntegerField()
        )
        return albums.filter(Q(image_count=0) | Exists(shown)).annotate(shown_count=Coalesce(count, Value(0)))

    def safe_for_all(self):
        """Public, with pictures, and none of them restricted."""
        from gallery.models.albums import AlbumImage
        from gallery.models.images import UNRESTRICTED

        present = AlbumImage.objects.filter(
            album=OuterRef("pk"), image__trashed_at=None, image__retracted_at=None
        ).order_by()
        restricted = present.exclude(image__rating__in=UNRESTRICTED)
        return self.filter(Exists(present), ~Exists(restricted), is_public=True)

    def with_badges(self, viewer):
        """``is_labelled``: one of the first pictures is, of those whose labels the viewer may know. How far is looked
        does not depend on the album's size, and an album is labelled as a whole."""
        from gallery.models.albums import AlbumImage
        from gallery.models.images import UNRESTRICTED
        from gallery.models.labels import Label

        first = AlbumImage.objects.filter(album=OuterRef(OuterRef("pk"))).order_by("position", "id")
        labels = Label.objects.live().filter(image__in=first.values("image")[:LOOKED_AT_FOR_LABELS])
        if not viewer.sees_restricted:
            labels = labels.filter(image__rating__in=UNRESTRICTED)
        return self.annotate(is_labelled=Exists(labels))


class LabelQuerySet(models.QuerySet):
    def live(self):
        """Neither superseded by a correction nor withdrawn."""
        return self.filter(superseded_at=None, withdrawn_at=None)


class EnabledQuerySet(NamedQuerySet):
    def enabled(self):
        return self.filter(is_enabled=True)
