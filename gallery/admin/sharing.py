"""Shared links at the curation desk: a page behind each picture and album, and a list of all of them."""

from datetime import timedelta

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html

from gallery.addresses import absolute_url
from gallery.models import SharedLink
from gallery.sharing import create_shared_link, revoke_shared_link
from imagineer.own_changes import OwnChangesAdmin

LIFETIMES = {"1": "a day", "7": "a week", "30": "30 days", "365": "a year", "": "until it is revoked"}


class ShareForm(forms.Form):
    days = forms.ChoiceField(label="Valid for", choices=list(LIFETIMES.items()), required=False, initial="30")

    @property
    def expires_at(self):
        days = self.cleaned_data["days"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class SharingMixin:
    """Puts ``…/share/`` under the change page of a picture or an album."""

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_share"
        share = path("<int:pk>/share/", self.admin_site.admin_view(self.share), name=name)
        return [share, *super().get_urls()]

    def share(self, request, pk: int):
        """Make a link, whose address is shown on this answer alone, or revoke one."""
        thing = self.get_object(request, str(pk))
        if thing is None:
            raise Http404
        if not (
            self.has_change_permission(request, thing) and request.user.has_perm("gallery.add_sharedlink")
        ):
            raise PermissionDenied
        form, url, name = ShareForm(), "", self.opts.model_name
        links = SharedLink.objects.filter(**{name: thing})
        if request.method == "POST" and "revoke" in request.POST:
            number = request.POST["revoke"]
            link = links.filter(pk=number).first() if number.isdecimal() and len(number) < 19 else None
            if link is None:
                raise Http404
            revoke_shared_link(link)
            self.message_user(request, f"The link {link} opens nothing any more.", messages.SUCCESS)
            return HttpResponseRedirect(request.path)
        if request.method == "POST":
            form = ShareForm(request.POST)
            if form.is_valid():
                try:
                    _link, key = create_shared_link(
                        **{name: thing}, expires_at=form.expires_at, created_by=request.user
                    )
                    url = absolute_url(request, f"/s/{key}")
                except ValidationError as error:
                    self.message_user(request, " ".join(error.messages), messages.ERROR)
        context = self.admin_site.each_context(request) | {
            "title": f"Share “{thing}”",
            "opts": self.opts,
            "original": thing,
            "form": form,
            "links": links.select_related("created_by"),
            "new_url": url,
        }
        return TemplateResponse(request, "admin/gallery/share.html", context)


@admin.register(SharedLink)
class SharedLinkAdmin(OwnChangesAdmin):
    """Links are made on the page of a picture or an album; here all of them are seen and revoked."""

    list_display = ["hint", "opens", "state", "created_by", "created_at", "expires_at", "last_used_at"]
    list_select_related = ["image", "album", "created_by"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_per_page = 60
    show_full_result_count = False
    readonly_fields = ["hint", "opens", "state", "created_by", "created_at", "last_used_at", "revoked_at"]
    fields = [*readonly_fields, "expires_at"]
    actions = ["revoke"]

    @admin.display(description="opens")
    def opens(self, link):
        thing = link.image or link.album
        return format_html(
            '<a href="/admin/gallery/{}/{}/share/">{} “{}”</a>',
            thing._meta.model_name,
            thing.pk,
            thing._meta.verbose_name.capitalize(),
            thing,
        )

    @admin.display(description="state")
    def state(self, link):
        return "Live" if link.is_live else "Revoked" if link.revoked_at else "Expired"

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.action(description="Revoke the selected links", permissions=["change"])
    def revoke(self, request, queryset):
        links = list(queryset.filter(revoked_at=None))
        for link in links:
            revoke_shared_link(link)
        self.message_user(request, f"{len(links)} links revoked.", messages.SUCCESS)
