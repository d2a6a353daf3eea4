"""Pages of the admin that write what a person has changed on them, and nothing else.

Django's own write the whole row as it was when the page was opened: a link that was revoked meanwhile opens again.
"""

from django import forms
from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DatabaseError, transaction
from django.forms.boundfield import BoundField

from imagineer.outages import find_outage

CONTESTED = "Somebody else has changed this since you opened the page. Save again to have it as you wrote it."


class SeenField(BoundField):
    """Knows what the person saw in it when they opened the page; the page itself carries it along."""

    @property
    def seen(self):
        return self.form._widget_data_value(self.field.hidden_widget(), self.html_initial_name)

    def as_hidden(self, attrs=None, *, only_initial=False, **options):
        # Where a page comes back with its errors, Django takes what was sent for what was seen if that stands in
        # several inputs (a time) or in none (no groups): the change would be none any more.
        if not (only_initial and self.form.is_bound):
            return super().as_hidden(attrs, only_initial=only_initial, **options)
        # what somebody else has written there has been seen once it is told
        seen = self.field.prepare_value(self.initial) if self.is_contested else self.seen
        return self.field.hidden_widget().render(self.html_initial_name, seen, attrs, self.form.renderer)

    @property
    def is_contested(self) -> bool:
        """Whether the person has changed what somebody else has changed since they opened the page, otherwise."""
        return (
            self.field.show_hidden_initial
            and self._has_changed()
            and self.field.has_changed(self.initial, self.seen)
            and self.field.has_changed(self.initial, self.data)
        )

    def _has_changed(self):
        # also one that cannot be read any more, as a picture that is gone, is no change of whoever left it alone
        is_kept = self.field.show_hidden_initial and self.seen == self.data
        return not is_kept and super()._has_changed()


class OwnChangesForm(forms.ModelForm):
    """``cleaned_data`` is what the person has changed on the page as they saw it; in all else the row is right.

    So everything is checked together as it is going to be. Where two have changed one field, the second is told.
    """

    bound_field_class = SeenField

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        # what comes without it, from a program, is compared with the row
        is_known = not self.is_bound or any(name.startswith("initial-") for name in self.data)
        for field in self.fields.values():
            is_editable = self.instance.pk is not None and not field.disabled  # one is the hash of a password
            field.show_hidden_initial = is_known and is_editable

    def full_clean(self):
        kept = [
            name
            for name, field in self.fields.items()
            if self.is_bound and field.show_hidden_initial and name not in self.changed_data
        ]
        for name in kept:
            self.fields[name].disabled = True  # its value is the row's, whatever the page says
        super().full_clean()
        for name in kept:
            self.fields[name].disabled = False
            self.cleaned_data.pop(name, None)
        for name in self.fields:
            if self.is_bound and self[name].is_contested:
                self.add_error(name, CONTESTED)


class OwnChangesAdmin(admin.ModelAdmin):
    """The base of every page with something to change; it stands before any of Django's own."""

    form = OwnChangesForm

    def get_changelist_form(self, request, **options):
        return super().get_changelist_form(request, **{"form": OwnChangesForm} | options)

    def save_model(self, request, obj, form, change):
        if not change:
            super().save_model(request, obj, form, change)
        elif form.changed_data:
            names = {field.name for field in obj._meta.concrete_fields if getattr(field, "auto_now", False)}
            names |= set(form.changed_data) & {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=names)

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        return look_again(super().changeform_view, request, object_id, form_url, extra_context)

    def changelist_view(self, request, extra_context=None):
        if "_save" in request.POST:
            return look_again(super().changelist_view, request, extra_context)
        return super().changelist_view(request, extra_context)


def look_again(view, request, *args, **options):
    """What a view finds changed since it has read the row, it finds before that the second time, and tells it.

    A row that is gone is then a missing one, and a name that somebody else was faster to take stands at its field.
    """
    if request.method != "POST":
        return view(request, *args, **options)
    try:
        with transaction.atomic():
            return view(request, *args, **options)
    except (DatabaseError, ObjectDoesNotExist, ValidationError) as error:
        if find_outage(error):
            raise
        return view(request, *args, **options)
