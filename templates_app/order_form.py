"""The order form, the same at the desk and on the site. The services check it; it only asks."""

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from gallery.models import DiffusionModel, Rating
from imagineer.api import MAX_ID
from imagineer.engine.schedulers import SCHEDULERS
from templates_app import limits, ordering
from templates_app.generation_settings import current_settings
from templates_app.lora_field import LoraStackField
from templates_app.models import BatchGenerationRun, BatchTemplate, BatchTemplateVersion
from templates_app.prompts import RowSelectionError, item_name, select_rows

MAX_CHECKBOXES = 400  # rows shown with a box each; of larger tables the numbers are written
FOR_ADMINS = ("version", "variants", "rating", "is_public")

SEED_MODES = [
    ("random", "Another seed for each picture"),
    ("count", "Count up from this seed"),
    ("same", "This seed for every row"),
]


class Versions(forms.ModelChoiceField):
    def label_from_instance(self, version):
        return f"Version {version.number}"


class OrderForm(forms.Form):
    """What is to be drawn. ``order`` holds what it comes to once it is valid."""

    template = forms.ModelChoiceField(BatchTemplate.objects.active().with_current())
    version = Versions(
        BatchTemplateVersion.objects.none(),
        required=False,
        help_text="An older version draws the set again as it was.",
    )
    album_name = forms.CharField(max_length=200, help_text="The set appears as an album of this name.")
    user_theme = forms.CharField(
        label="Theme", max_length=500, help_text="The art style; it stands in every prompt."
    )
    row_selection = forms.CharField(
        label="Rows",
        required=False,
        max_length=5000,
        help_text="Such as 1,17-20. Nothing written and nothing ticked draws all.",
    )
    row = forms.TypedMultipleChoiceField(coerce=int, required=False)
    variants = forms.IntegerField(
        required=False, initial=1, min_value=1, max_value=limits.MAX_VARIANTS, help_text="Pictures a row."
    )
    model = forms.ModelChoiceField(
        DiffusionModel.objects.filter(is_enabled=True), required=False, empty_label="the default model"
    )
    steps = forms.IntegerField(required=False, help_text="1 to 150; empty: as the model recommends.")
    guidance_scale = forms.FloatField(
        required=False, help_text="0 to 30: how closely to follow the prompt; empty: as the model recommends."
    )
    scheduler = forms.ChoiceField(
        choices=[("", "as the model recommends"), *((name, name) for name in SCHEDULERS)], required=False
    )
    size = forms.ChoiceField(
        required=False,
        help_text="A model that cannot draw it that large draws the same shape smaller.",
    )
    width = forms.IntegerField(label="or width", required=False)
    height = forms.IntegerField(
        label="and height", required=False, help_text="Pixels, 64 to 2048, divisible by 8."
    )
    negative_prompt = forms.CharField(
        required=False,
        widget=forms.Textarea({"rows": 2}),
        help_text="What is not to be seen, before the template's own.",
    )
    seed_mode = forms.ChoiceField(
        label="Seeds", choices=SEED_MODES, initial="random", required=False, widget=forms.RadioSelect
    )
    seed = forms.IntegerField(required=False, help_text="0 to 2147483647.")
    lora_mode = forms.ChoiceField(
        label="LoRAs",
        choices=[("template", "As the template says"), ("own", "These, and no others")],
        initial="template",
        required=False,
        widget=forms.RadioSelect,
    )
    loras = LoraStackField(label="LoRAs and weights", required=False)
    reference_image_id = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)
    reference_search = forms.CharField(
        label="Find a picture", required=False, max_length=200, help_text="By its number, name or prompt."
    )
    strength = forms.FloatField(
        required=False,
        help_text=f"How far from that picture: 0.05 stays close, 1 leaves it; {ordering.DEFAULT_STRENGTH} if empty.",
    )
    rating = forms.ChoiceField(
        choices=[("", "as the template says"), *Rating.choices],
        required=False,
        help_text="Your word for every picture of it.",
    )
    is_public = forms.BooleanField(label="Public from the first picture on", required=False, initial=True)

    def __init__(self, *args, template: BatchTemplate | None = None, is_admin: bool = True, **options):
        super().__init__(*args, **options)
        self.order: ordering.Order | None = None
        self.is_admin = is_admin
        if not is_admin:
            for name in FOR_ADMINS:
                del self.fields[name]
        self.template = template or self._chosen_template()
        if template:
            self.fields["template"].required = False
        version = self.template and self.template.current
        self.fields["size"].choices = [("", "as the template says"), *_sizes()]
        if self.template and is_admin:
            versions = self.template.versions.order_by("-number").defer("rows")
            self.fields["version"].queryset = versions
            self.fields["version"].empty_label = f"the current one, {version.number}"
            if chosen := self._chosen_version(versions):
                version = chosen
        if version:
            self._tell_defaults(version)
        self.rows = (
            [
                (number, item_name(row, version.columns).replace("_", " "), row)
                for number, row in enumerate(version.rows, 1)
            ]
            if version
            else []
        )
        self.has_boxes = len(self.rows) <= MAX_CHECKBOXES
        self.fields["row"].choices = [(number, name) for number, name, _row in self.rows]

    def _value(self, name: str):
        return self.data.get(name) if self.is_bound else self.initial.get(name)

    def _chosen_template(self) -> BatchTemplate | None:
        try:
            return self.fields["template"].clean(self._value("template"))
        except ValidationError:
            return None

    def _chosen_version(self, versions) -> BatchTemplateVersion | None:
        number = str(self._value("version") or "")
        return (
            versions.defer(None).filter(pk=number).first()
            if number.isdecimal() and len(number) < 19
            else None
        )

    def _tell_defaults(self, version: BatchTemplateVersion) -> None:
        self.fields["width"].widget.attrs["placeholder"] = version.width
        self.fields["height"].widget.attrs["placeholder"] = version.height
        if version.example_theme:
            self.fields["user_theme"].widget.attrs["placeholder"] = version.example_theme

    @property
    def ticked(self) -> set[int]:
        """The rows whose boxes are ticked when the form is shown."""
        values = self.data.getlist("row") if self.is_bound else self.initial.get("row", [])
        return {int(value) for value in values if str(value).isdecimal()}

    def clean(self):
        given = dict(self.cleaned_data)
        if self.errors or not self.template:
            return given
        template, version = given.pop("template") or self.template, given.pop("version", None)
        for name in ("reference_search", "lora_mode", "seed_mode", "seed", "loras", "row", "size"):
            given.pop(name, None)
        if self.cleaned_data["size"] and not (given["width"] or given["height"]):
            given["width"], given["height"] = map(int, self.cleaned_data["size"].split("x"))
        given |= {"model": given["model"].name if given["model"] else ""}
        given["row_selection"] = self._row_selection()
        given |= self._seeds()
        if self.cleaned_data.get("lora_mode") == "own":
            given["loras"] = self.cleaned_data["loras"]
        if not self.is_admin:
            given["is_public"] = False
        self.options = given | {"version": version}
        try:
            self.order = ordering.plan_run(template, **self.options)
        except ValidationError as error:
            self.take_errors(error)
        return self.cleaned_data

    def take_errors(self, error: ValidationError) -> None:
        """Tell what a service refused, each beside its field."""
        problems = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error}
        for name, problem in problems.items():
            name = {"rows": "row_selection"}.get(name, name)
            self.add_error(name if name in self.fields else None, problem)

    def _row_selection(self) -> str:
        """What is written and what is ticked, together; all rows ticked are all rows, however many there will be."""
        written, ticked = self.cleaned_data["row_selection"], self.cleaned_data["row"]
        if not ticked:
            return written
        try:
            positions = set(select_rows(written, len(self.rows))) if written.strip() else set()
        except RowSelectionError:
            return written  # told by the service
        positions |= set(ticked)
        return "" if len(positions) == len(self.rows) else as_ranges(sorted(positions))

    def _seeds(self) -> dict:
        mode, seed = self.cleaned_data.get("seed_mode"), self.cleaned_data.get("seed")
        if mode in ("count", "same") and seed is None:
            self.add_error("seed", "Write the seed to begin with, or let each picture have another one.")
        if mode == "random":
            seed = None
        return {"seed": seed, "is_same_seed": mode == "same" and seed is not None}


def _sizes() -> list[tuple[str, str]]:
    return [
        (f"{ratio['width']}x{ratio['height']}", f"{ratio['name']} · {ratio['width']} × {ratio['height']}")
        for ratio in current_settings().aspect_ratios
    ]


def as_ranges(positions: list[int]) -> str:
    """Ascending positions as ``1,17-20``."""
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and ranges[-1][1] == position - 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def values_of(run: BatchGenerationRun) -> dict:
    """The form filled with what a run was ordered with; seeds too, so that the same order draws the same pictures."""
    version = run.template_version
    positions = set(select_rows(run.row_selection, version.row_count)) if run.row_selection else set()
    seeds = "random" if run.seed is None else "same" if run.is_same_seed else "count"
    keeps_loras = run.loras == version.lora_config
    return {
        "template": version.template_id,
        "album_name": run.album_name,
        "user_theme": run.user_theme,
        "row_selection": run.row_selection if version.row_count > MAX_CHECKBOXES else "",
        "row": sorted(positions) if version.row_count <= MAX_CHECKBOXES else [],
        "variants": run.variants,
        "model": run.model_id,
        "steps": run.steps,
        "guidance_scale": run.guidance_scale,
        "scheduler": run.scheduler,
        "width": run.width,
        "height": run.height,
        "negative_prompt": run.negative_prompt,
        "seed_mode": seeds,
        "seed": run.seed,
        "lora_mode": "template" if keeps_loras else "own",
        "loras": run.loras,
        "reference_image_id": run.reference_image_id,
        "strength": run.strength,
        "rating": "" if run.rating == version.rating else run.rating,
        "is_public": run.is_public,
    }
