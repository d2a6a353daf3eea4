import contextlib

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.html import format_html

from gallery.addresses import media_url
from gallery.admin.sharing import SharingMixin
from gallery.models import Album, DiffusionModel, Image, Label, LabelSource, Lora, Rating, RatingSource
from gallery.ratings import rate_images
from gallery.renditions import GRID
from gallery.services import (
    create_album,
    delete_album,
    lock_all,
    restore_image,
    set_album_public,
    set_cover,
    trash_image,
    update_album,
)
from gallery.trash import purge_from_trash
from imagineer.once import make_once, request_key
from imagineer.own_changes import OwnChangesAdmin, OwnChangesForm


def thumbnail(image: Image | None):
    if image is None:
        return "—"
    return format_html(
        '<img class="thumbnail" src="{}" width="{}" height="{}" alt="" loading="lazy">',
        media_url(image, GRID),
        image.width,
        image.height,
    )


class ThumbnailAdmin(OwnChangesAdmin):
    class Media:
        css = {"all": ["imagineer/gallery_admin.css"]}

    @admin.display(description="created by")
    def added_by(self, row):
        return str(row.created_by or "")  # no link: people are the superusers' to look at


class PresenceFilter(admin.SimpleListFilter):
    title = "presence"
    parameter_name = "presence"

    def lookups(self, request, model_admin):
        return [("trash", "In the trash"), ("retracted", "Retracted"), ("all", "All")]

    def choices(self, changelist):
        here = {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=["presence"]),
        }
        yield here | {"display": "In the library"}
        yield from list(super().choices(changelist))[1:]

    def queryset(self, request, queryset):
        match self.value():
            case "trash":
                return queryset.filter(trashed_at__isnull=False)
            case "retracted":
                return queryset.filter(retracted_at__isnull=False)
            case "all":
                return queryset
        # only the list begins with what is present; a picture in the trash can still be opened
        return queryset.present() if request.resolver_match.url_name.endswith("changelist") else queryset


class ImageForm(OwnChangesForm):
    person_rating = forms.ChoiceField(label="Rating", choices=Rating.choices)
    is_trashed = forms.BooleanField(label="In the trash", required=False)

    class Meta:
        model = Image
        fields = ["filename", "prompt", "negative_prompt"]

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.initial |= {
            "person_rating": self.instance.rating,
            "is_trashed": self.instance.trashed_at is not None,
        }


def rating_action(rating: Rating):
    @admin.action(description=f"Rate as {rating.label.lower()}", permissions=["change"])
    def rate(model_admin, request, queryset):
        number = rate_images(queryset, rating=rating, source=RatingSource.PERSON)
        model_admin.message_user(
            request, f"{number} pictures rated {rating.label.lower()}.", messages.SUCCESS
        )

    rate.__name__ = f"rate_{rating.value}"
    return rate


@admin.register(Image)
class ImageAdmin(SharingMixin, ThumbnailAdmin):
    """Pictures come in by upload, scrape, import and generation, and leave by the trash."""

    form = ImageForm
    list_display = ["picture", "filename", "rating", "source_type", "is_public", "created_at"]
    list_display_links = ["picture", "filename"]
    list_filter = [PresenceFilter, "rating", "source_type", "is_public"]
    list_per_page = 60
    show_full_result_count = False
    search_fields = ["filename", "prompt"]
    readonly_fields = [
        "picture", "rating_source", "is_public", "size", "mime_type", "sha256", "source_type", "source_id",
        "model", "generation_params", "added_by", "created_at",
    ]  # fmt: skip
    fieldsets = [
        (
            None,
            {"fields": ["picture", "filename", "person_rating", "rating_source", "is_public", "is_trashed"]},
        ),
        ("Recipe", {"fields": ["prompt", "negative_prompt", "model", "generation_params"]}),
        (
            "File",
            {
                "fields": [
                    "size",
                    "mime_type",
                    "sha256",
                    "source_type",
                    "source_id",
                    "added_by",
                    "created_at",
                ]
            },
        ),
    ]
    actions = [*[rating_action(rating) for rating in Rating], "trash", "restore", "purge"]

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("model", "created_by")

    @admin.display(description="Picture")
    def picture(self, image):
        return thumbnail(image)

    @admin.display(description="Size")
    def size(self, image):
        return f"{image.width} × {image.height} pixels, {image.file_size:,} bytes"

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if "person_rating" in form.changed_data:
            rate_images(
                Image.objects.filter(pk=obj.pk),
                rating=form.cleaned_data["person_rating"],
                source=RatingSource.PERSON,
            )
        if "is_trashed" in form.changed_data:
            (trash_image if form.cleaned_data["is_trashed"] else restore_image)(obj)

    @admin.action(description="Move to the trash", permissions=["change"])
    def trash(self, request, queryset):
        number = _each_there(trash_image, queryset.filter(trashed_at=None))
        self.message_user(request, f"{number} pictures moved to the trash.", messages.SUCCESS)

    @admin.action(description="Restore from the trash", permissions=["change"])
    def restore(self, request, queryset):
        number = _each_there(restore_image, queryset.filter(trashed_at__isnull=False))
        self.message_user(request, f"{number} pictures restored.", messages.SUCCESS)

    @admin.action(description="Delete for good what is in the trash", permissions=["change"])
    def purge(self, request, queryset):
        number = sum(purge_from_trash(image) for image in list(queryset.filter(trashed_at__isnull=False)))
        self.message_user(request, f"{number} pictures deleted for good.", messages.SUCCESS)


def _each_there(act, images) -> int:
    """Act on each picture that has not been deleted for good since; return on how many."""
    number = 0
    for image in list(images):
        with contextlib.suppress(Image.DoesNotExist):
            act(image)
            number += 1
    return number


class AlbumForm(OwnChangesForm):
    class Meta:
        model = Album
        fields = ["name", "description", "is_public", "is_training_source", "cover"]

    def clean_cover(self):
        cover = self.cleaned_data["cover"]
        is_kept = cover is None or "cover" not in self.changed_data
        is_inside = is_kept or (not cover.is_gone and self.instance.places.filter(image=cover).exists())
        if not is_inside:
            raise forms.ValidationError("Only a picture of the album can be its cover.")
        return cover


@admin.register(Album)
class AlbumAdmin(SharingMixin, ThumbnailAdmin):
    form = AlbumForm
    list_display = [
        "picture",
        "name",
        "image_count",
        "source_type",
        "is_public",
        "created_at",
    ]
    list_display_links = ["picture", "name"]
    list_select_related = ["cover"]
    list_filter = ["is_public", "is_training_source", "source_type"]
    list_per_page = 60
    show_full_result_count = False
    search_fields = ["name", "description"]
    raw_id_fields = ["cover"]
    readonly_fields = ["image_count", "source_type", "source_id", "added_by", "created_at", "updated_at"]
    actions = ["publish", "make_private"]

    @admin.display(description="Cover")
    def picture(self, album):
        return thumbnail(album.cover)

    def get_exclude(self, request, obj=None):
        return None if obj else ["cover"]

    def save_model(self, request, obj, form, change):
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            cover, is_public = values.pop("cover", None), values.pop("is_public", None)
            update_album(obj, **values)
            if is_public is not None:
                set_album_public(obj, is_public=is_public)
            try:
                if cover:
                    set_cover(obj, cover)
            except ValueError as error:  # it has gone since it was looked for
                raise ValidationError(str(error)) from error
        else:
            fields = form.cleaned_data | {"created_by": request.user}
            obj.pk = make_once(Album, request_key(request), create_album, **fields).pk
        obj.refresh_from_db()

    def delete_model(self, request, obj):
        delete_album(obj)

    def delete_queryset(self, request, queryset):
        for album in queryset:
            delete_album(album)

    @admin.action(description="Publish", permissions=["change"])
    def publish(self, request, queryset):
        self._set_public(request, queryset, is_public=True)

    @admin.action(description="Make private", permissions=["change"])
    def make_private(self, request, queryset):
        self._set_public(request, queryset, is_public=False)

    def _set_public(self, request, queryset, *, is_public):
        albums = list(queryset.exclude(is_public=is_public))
        for album in albums:
            set_album_public(album, is_public=is_public)
        state = "public" if is_public else "private"
        self.message_user(request, f"{len(albums)} albums are {state} now.", messages.SUCCESS)


@admin.register(Label)
class LabelAdmin(admin.ModelAdmin):
    """Statements are added and withdrawn, never changed."""

    list_display = [
        "__str__",
        "type",
        "source",
        "author",
        "image",
        "superseded_at",
        "withdrawn_at",
        "created_at",
    ]
    list_select_related = ["image", "author"]
    list_filter = ["type", "source", ("withdrawn_at", admin.EmptyFieldListFilter)]
    show_full_result_count = False
    search_fields = ["text"]
    raw_id_fields = ["image"]
    fields = ["image", "text", "type"]
    actions = ["withdraw"]

    def has_change_permission(self, request, obj=None):
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request, obj=None):
        return False

    def save_model(self, request, obj, form, change):
        obj.author, obj.source = request.user, LabelSource.MANUAL
        # of a form that is sent twice the second finds the first
        lock_all(Image.objects.filter(pk=obj.image_id))
        same = Label.objects.live().filter(
            image=obj.image_id, type=obj.type, text=obj.text, source=obj.source
        )
        if known := same.first():
            obj.pk = known.pk
        else:
            super().save_model(request, obj, form, change)

    @admin.action(description="Withdraw", permissions=["change"])
    def withdraw(self, request, queryset):
        number = queryset.live().update(withdrawn_at=timezone.now())
        self.message_user(request, f"{number} labels withdrawn.", messages.SUCCESS)


@admin.register(Lora)
class LoraAdmin(OwnChangesAdmin):
    list_display = ["name", "family", "rank", "is_enabled", "created_at"]
    list_filter = ["is_enabled", "family"]
    search_fields = ["name", "description"]
    fields = [
        "name",
        "is_enabled",
        "description",
        "trigger_words",
        "family",
        "rank",
        "alpha",
        "sha256",
        "created_at",
    ]
    readonly_fields = ["name", "family", "rank", "alpha", "sha256", "created_at"]

    def has_add_permission(self, request):
        return False  # a file is inspected before it is listed: manage.py add_lora


@admin.register(DiffusionModel)
class DiffusionModelAdmin(OwnChangesAdmin):
    list_display = ["name", "title", "family", "is_enabled", "created_at"]
    list_filter = ["is_enabled", "family"]
    search_fields = ["name", "title"]
    readonly_fields = ["sha256", "hash_signature", "created_at"]
