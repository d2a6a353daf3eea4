from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import reverse

from gallery.models import LibrarySettings
from imagineer.own_changes import OwnChangesAdmin


class SingletonAdmin(OwnChangesAdmin):
    """One page for a row of which there is one at most, made when it is first saved."""

    def current(self):
        """The row, or an unsaved one with the defaults."""
        raise NotImplementedError

    def get_object(self, request, object_id, from_field=None):
        return self.current() if str(object_id) == "1" else None

    def changelist_view(self, request, extra_context=None):
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[1]))

    def save_model(self, request, obj, form, change):
        self.model.objects.get_or_create(pk=1)
        super().save_model(request, obj, form, change)

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(LibrarySettings)
class LibrarySettingsAdmin(SingletonAdmin):
    fields = ["trash_days"]

    def current(self):
        return LibrarySettings.current()
