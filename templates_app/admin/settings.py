import re

from django import forms
from django.contrib import admin

from gallery.admin.settings import SingletonAdmin
from imagineer.own_changes import OwnChangesForm
from templates_app.generation_settings import FIELDS, change_settings, current_settings
from templates_app.models import GenerationSettings


class AspectRatiosField(forms.CharField):
    """One preset a line, such as ``Square (1:1), 1024 × 1024``."""

    widget = forms.Textarea(attrs={"rows": 5, "cols": 60})

    def prepare_value(self, value):
        if isinstance(value, str):
            return value
        return "\n".join(f"{ratio['name']}, {ratio['width']} × {ratio['height']}" for ratio in value or [])

    def to_python(self, value):
        if isinstance(value, list):  # the row's own
            return value
        ratios = []
        for number, line in enumerate(filter(str.strip, super().to_python(value).splitlines()), 1):
            name, _, size = line.rpartition(",")
            sides = [side.strip() for side in size.lower().replace("×", "x").split("x")]
            if len(sides) != 2 or not all(re.fullmatch("[0-9]{1,5}", side) for side in sides):
                raise forms.ValidationError(
                    f"Line {number}: write a name, a comma and a size, such as Square (1:1), 1024 × 1024."
                )
            ratios.append({"name": name.strip(), "width": int(sides[0]), "height": int(sides[1])})
        return ratios

    def has_changed(self, initial, data):
        return self.prepare_value(initial).split() != (data or "").split()


class SettingsForm(OwnChangesForm):
    aspect_ratios = AspectRatiosField(
        help_text="One a line: a name, a comma, width × height in pixels. Offered where a size is chosen, scaled to "
        "what the chosen model was trained at.",
    )

    class Meta:
        model = GenerationSettings
        fields = FIELDS
        help_texts = {
            "default_steps": "1 to 150; for models that recommend nothing, where an order says nothing.",
            "default_cfg_scale": "0 to 30; for such models too.",
            "default_scheduler": "For such models too.",
        }


@admin.register(GenerationSettings)
class SettingsAdmin(SingletonAdmin):
    form = SettingsForm

    def current(self):
        return current_settings()

    def save_model(self, request, obj, form, change):
        change_settings(**form.cleaned_data)
