"""Forms that order pictures of one prompt. They ask; what they ask is checked by the service that takes the order."""

from django import forms
from django.core.exceptions import ValidationError

from gallery.models import DiffusionModel, Image, Rating
from gallery.weights import find_model
from imagineer.api import MAX_ID
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import ModelError
from templates_app import limits
from templates_app.generation_settings import current_settings
from templates_app.lora_field import LoraStackField, LoraStackWidget
from templates_app.models import PromptTemplate, RunItem
from templates_app.ordering import DEFAULT_STRENGTH
from templates_app.prompt_library import fill_in

LONGEST_FILLED = 10_000  # characters of a field that are taken from an address
NOT_FILLED = {"loras", "is_public", "use_image", "image_id"}


class SiteLoraWidget(LoraStackWidget):
    """On a page of the site, whose template brings the script and the styles."""

    class Media:
        js, css, extend = [], {}, False


class DrawingForm(forms.Form):
    prompt = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "a red crab on a teal background"}),
        strip=False,
    )
    negative_prompt = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "what is not to be seen"}),
        required=False,
        strip=False,
    )
    width = forms.IntegerField(
        required=False,
        help_text="Empty: as the model draws.",
        widget=forms.NumberInput(attrs={"min": 64, "max": 2048, "step": 8}),
    )
    height = forms.IntegerField(
        required=False, widget=forms.NumberInput(attrs={"min": 64, "max": 2048, "step": 8})
    )
    variants = forms.IntegerField(
        label="Alternatives",
        required=False,
        help_text="Pictures of this prompt, 1–16.",
        widget=forms.NumberInput(attrs={"min": 1, "max": limits.MAX_VARIANTS}),
    )
    model = forms.ChoiceField(required=False)
    loras = LoraStackField(label="LoRAs", required=False, widget=SiteLoraWidget)
    seed = forms.IntegerField(
        required=False,
        help_text="Empty: a new one for each.",
        widget=forms.NumberInput(attrs={"min": 0, "max": limits.MAX_SEED}),
    )
    steps = forms.IntegerField(required=False, widget=forms.NumberInput(attrs={"min": 1, "max": 150}))
    guidance_scale = forms.FloatField(
        required=False, widget=forms.NumberInput(attrs={"min": 0, "max": 30, "step": "any"})
    )
    scheduler = forms.ChoiceField(required=False)
    rating = forms.ChoiceField(required=False, help_text="A curator's word for what is drawn.")
    strength = forms.FloatField(
        required=False,
        help_text="How far to go from the picture: 0.05 hardly, 1 forgets it. Empty: 0.6.",
        widget=forms.NumberInput(attrs={"min": 0.05, "max": 1, "step": 0.05}),
    )

    # shown folded away
    ADVANCED = ("steps", "guidance_scale", "scheduler", "seed", "rating")

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        try:
            default = find_model()
        except ModelError:
            default = None  # the order says so
        models = DiffusionModel.objects.enabled()
        self.fields["model"].choices = [
            ("", f"The default model ({default})" if default else "The default model"),
            *((model.name, str(model)) for model in models),
        ]
        schedulers = [("", "As the model recommends"), *((name, name) for name in SCHEDULERS)]
        self.fields["scheduler"].choices = schedulers
        self.fields["rating"].choices = [("", "As the model's output is"), *Rating.choices]
        for name in ("steps", "guidance_scale"):
            self.fields[name].help_text = "Empty: as the model recommends."

    @property
    def advanced(self) -> list:
        return [self[name] for name in self.ADVANCED]

    @property
    def is_advanced_used(self) -> bool:
        """Whether something that is folded away holds a value or an error."""
        return any(field.value() not in (None, "") or field.errors for field in self.advanced)

    def order(self, service, **more):
        """What the service answers to this order, or None when it refused: its sentences then stand at the fields."""
        options = {name: value for name, value in self.cleaned_data.items() if value is not None}
        try:
            return service(**options, **more)
        except ValidationError as error:
            place_errors(self, error)
            return None


class SingleForm(DrawingForm):
    album_name = forms.CharField(
        label="Album", required=False, max_length=200, help_text="Empty: named as the prompt begins."
    )
    is_public = forms.BooleanField(
        label="Public", required=False, initial=True, help_text="Its album, from the first picture on."
    )
    reference_image_id = forms.IntegerField(
        label="Start from picture",
        required=False,
        min_value=1,
        max_value=MAX_ID,
        help_text="Its number, as in its address; empty: from the words alone.",
    )

    field_order = ["prompt", "negative_prompt", "reference_image_id", "strength"]

    def clean(self):
        if self.cleaned_data.get("reference_image_id") is None and not self.errors:
            self.cleaned_data["strength"] = None  # it waits beside an empty field
        return self.cleaned_data


class SessionForm(DrawingForm):
    name = forms.CharField(
        required=False, max_length=200, help_text="What is looked for; empty: as the prompt begins."
    )
    use_image = forms.BooleanField(
        label="Start from the picture", required=False, initial=True, help_text="Else from the words alone."
    )

    def __init__(self, *args, source: Image | None = None, **options):
        super().__init__(*args, **options)
        self.initial.setdefault("variants", current_settings().default_batch_size)
        if source is None:
            del self.fields["use_image"], self.fields["strength"]
        else:
            self.fields["width"].help_text = "Empty: in the shape of the picture."
            self.initial["strength"] = self.initial.get("strength") or DEFAULT_STRENGTH

    def clean(self):
        if not self.cleaned_data.get("use_image"):
            self.cleaned_data["strength"] = None
        return self.cleaned_data


class StepForm(SessionForm):
    """``image_id`` is the alternative that the person saw chosen: another tab may have chosen another meanwhile."""

    name = None
    image_id = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID, widget=forms.HiddenInput)


def place_errors(form: forms.Form, error: ValidationError) -> None:
    """Put a service's sentences at the fields they are about; those about none of them stand above."""
    if not hasattr(error, "error_dict"):
        form.add_error(None, error)
        return
    for name, problems in error.error_dict.items():
        form.add_error(name if name in form.fields else None, problems)


def initial_from(query, fields) -> dict:
    """What an address fills an admin's form with: ``?prompt=…&width=…``, ``?prompt_template=ID`` from the library,
    ``?prompt_of=ID`` from an item that was drawn, ``?image=ID`` from all of a picture's recipe."""
    initial = {}
    if image := _named(Image.objects.present().select_related("model"), query.get("image")):
        initial |= recipe_of(image)
    if item := _named(RunItem.objects.all(), query.get("prompt_of")):
        initial |= {"prompt": item.prompt, "negative_prompt": item.negative_prompt}
    initial |= {name: query[name][:LONGEST_FILLED] for name in set(fields) - NOT_FILLED if query.get(name)}
    if template := _named(PromptTemplate.objects.all(), query.get("prompt_template")):
        words = {name: initial.get(name, "") for name in ("prompt", "negative_prompt")}
        initial["prompt"], initial["negative_prompt"] = fill_in(template, **words)
    return initial


def recipe_of(image: Image) -> dict:
    """What a picture was drawn with, as far as a form asks for it."""
    item = RunItem.objects.filter(image=image).select_related("run__model").first()
    words = {"prompt": image.prompt, "negative_prompt": image.negative_prompt}
    if item is None:
        return words
    asked = ("prompt", "negative_prompt", "seed", "width", "height", "steps", "guidance_scale", "scheduler")
    recipe = {name: getattr(item, name) for name in asked} | {"loras": item.run.loras}
    recipe["model"] = item.run.model.name if item.run.model.is_enabled else ""
    if item.run.reference_image_id:
        recipe |= {"reference_image_id": item.run.reference_image_id, "strength": item.run.strength}
    return recipe


def _named(rows, number: str | None):
    if number and number.isascii() and number.isdigit() and len(number) < 19:
        return rows.filter(pk=number).first()
    return None
