"""A stack of LoRAs with their weights in a form: chosen from the library, with and without JavaScript."""

from django import forms

from gallery.models import Lora
from templates_app.lora_stack import MAX_LORAS

BLANK_ROWS = 2  # that wait for a choice where no script adds more


class LoraStackWidget(forms.Widget):
    """One line a LoRA: a list to choose from and its weight. Names that the library lacks stay, and are marked."""

    template_name = "templates_app/lora_stack.html"

    class Media:
        js = [forms.Script("imagineer/lora_stack.js", type="module")]
        css = {"all": ["imagineer/making_admin.css"]}

    def get_context(self, name, value, attrs):
        context = super().get_context(name, value, attrs)
        loras = list(Lora.objects.enabled().values("name", "family", "trigger_words"))
        known = {lora["name"] for lora in loras}
        entries = [entry for entry in value or [] if isinstance(entry, dict)]
        lines = [
            {
                "lora": entry.get("lora", ""),
                "weight": entry.get("weight", 1.0),
                "is_missing": bool(entry.get("lora")) and entry.get("lora") not in known,
            }
            for entry in entries
        ]
        lines += [{"lora": "", "weight": 1.0}] * BLANK_ROWS
        context["widget"] |= {"lines": lines, "loras": loras}
        return context

    def value_from_datadict(self, data, files, name):
        names, weights = data.getlist(f"{name}-lora"), data.getlist(f"{name}-weight")
        pairs = zip(names[: MAX_LORAS + 1], weights[: MAX_LORAS + 1], strict=False)
        return [{"lora": lora, "weight": weight} for lora, weight in pairs if lora]

    def value_omitted_from_data(self, data, files, name):
        return f"{name}-lora" not in data

    def id_for_label(self, id_):
        return f"{id_}_1"


class LoraStackField(forms.Field):
    """``[{"lora": name, "weight": number}]``; whether they exist is checked by the service that takes them."""

    widget = LoraStackWidget

    def to_python(self, value):
        stack = []
        for entry in value or []:
            try:
                stack.append({"lora": entry["lora"], "weight": float(entry["weight"] or 1)})
            except (TypeError, ValueError) as error:
                raise forms.ValidationError(
                    f"The weight of {entry['lora']} must be a number such as 0.8."
                ) from error
        return stack

    def has_changed(self, initial, data):
        try:
            return (initial or []) != self.to_python(data)
        except forms.ValidationError:
            return True
