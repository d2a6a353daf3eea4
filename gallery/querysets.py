from django.db import models
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce


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

    def for_api(self):
        """Annotate what the API's rows need of others: ``model_name``, and ``reference_is_public``, so that no row
        tells the id of a hidden reference picture."""
        return self.annotate(model_name=F("model__name"), reference_is_public=F("reference_image__is_public"))


class AlbumQuerySet(models.QuerySet):
    def visible_to(self, viewer):
        return self if viewer.is_admin else self.filter(is_public=True)

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


class LabelQuerySet(models.QuerySet):
    def live(self):
        """Neither superseded by a correction nor withdrawn."""
        return self.filter(superseded_at=None, withdrawn_at=None)


class EnabledQuerySet(models.QuerySet):
    def enabled(self):
        return self.filter(is_enabled=True)
