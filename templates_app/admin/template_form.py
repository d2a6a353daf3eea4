"""The form of a template: its parts, its rows as CSV, and a preview before anything is stored.

The rows travel in the form itself, as text. So an uploaded file waits for its confirmation in the page that shows
its preview: no draft lies on the server, nothing has to be signed, and what comes back is checked like any upload.
"""

from django import forms
from django.contrib.admin import widgets
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from gallery.models import Rating
from imagineer.own_changes import OwnChangesForm
from templates_app import authoring
from templates_app.csv_items import MAX_BYTES, CsvError, CsvItems, parse_csv, write_csv
from templates_app.generation_settings import current_settings
from templates_app.lora_field import LoraStackField
from templates_app.models import BatchTemplate, BatchTemplateVersion
from templates_app.previews import Preview, make_preview

ENCODINGS = [
    ("utf-8", "Unicode"),
    ("cp1252", "Western European (Windows-1252)"),
    ("cp1250", "Central European (Windows-1250)"),
    ("cp1251", "Cyrillic (Windows-1251)"),
    ("mac_roman", "Western European (Mac Roman)"),
    ("shift_jis", "Japanese (Shift JIS)"),
    ("gb18030", "Chinese (GB 18030)"),
]
UNREADABLE = {"\x00", "\N{REPLACEMENT CHARACTER}"}
PARTS = ("base_prompt", "prompt_template", "style_suffix", "negative_prompt", "example_theme")


def part_field(name: str, *, rows: int, help_text: str) -> forms.CharField:
    field = BatchTemplateVersion._meta.get_field(name)
    return forms.CharField(
        required=not field.blank,
        widget=widgets.AdminTextareaWidget({"rows": rows}),
        help_text=help_text,
    )


class TemplateForm(OwnChangesForm):
    base_prompt = part_field("base_prompt", rows=2, help_text="Stands first in every prompt: Tarot card.")
    prompt_template = part_field(
        "prompt_template", rows=3, help_text="{column} takes the row's value, as in: {value} of {suit}."
    )
    style_suffix = part_field("style_suffix", rows=2, help_text="Stands last in every prompt.")
    negative_prompt = part_field("negative_prompt", rows=2, help_text="What is not to be seen.")
    example_theme = forms.CharField(
        required=False,
        widget=widgets.AdminTextInputWidget,
        help_text="Previews are rendered with it; a run has a theme of its own.",
    )
    width = forms.IntegerField(widget=widgets.AdminIntegerFieldWidget, initial=512)
    height = forms.IntegerField(
        widget=widgets.AdminIntegerFieldWidget,
        initial=512,
        help_text="Pixels, 64 to 2048, divisible by 8. A run may ask for another size.",
    )
    rating = forms.ChoiceField(
        choices=[("", "not rated: for the public it counts as adult"), *Rating.choices],
        required=False,
        help_text="Your word for everything drawn from it. The prompts of adult and explicit ones are not for everybody.",
    )
    lora_config = LoraStackField(
        label="LoRAs", required=False, help_text="Weights from -4 to 4; 1 is as trained."
    )
    csv_file = forms.FileField(
        label="Upload rows",
        required=False,
        allow_empty_file=True,
        widget=forms.FileInput({"accept": ".csv,.tsv,.txt,text/csv"}),
        help_text="A CSV file, separated by comma, semicolon or tab; its first line names the columns. "
        "It takes the place of the rows below; you see a preview before anything is stored.",
    )
    csv_encoding = forms.ChoiceField(
        label="Encoding", choices=ENCODINGS, required=False, help_text="Of the file that is uploaded."
    )
    rows = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea({"rows": 16, "spellcheck": "false", "data-row-editor": ""}),
        help_text="CSV: the first line names the columns, each further line is a picture.",
    )
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)

    created_by = None

    class Meta:
        model = BatchTemplate
        fields = ["name", "description", "is_archived"]
        widgets = {"description": widgets.AdminTextareaWidget({"rows": 2})}

    class Media:
        js = [
            forms.Script(f"imagineer/{name}.js", type="module") for name in ("row_editor", "template_editor")
        ]

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        for name in set(self.fields) - set(TemplateForm.Meta.fields):
            self.fields[name].show_hidden_initial = False  # ``based_on`` guards what makes a version
        self.preview: Preview | None = None
        self.items: CsvItems | None = None
        version = self.instance.current if self.instance.pk else None
        if version:
            self.initial |= {name: getattr(version, name) for name in authoring.OF_VERSION}
            self.initial |= {"rows": rows_as_text(version), "based_on": version.number}
        self.fields["width"].widget.attrs["data-sizes"] = _sizes()

    @property
    def is_preview(self) -> bool:
        """Whether the form only shows what it would store: asked for, or because a file has not been seen yet."""
        return "_preview" in self.data or bool(self.files.get("csv_file"))

    def is_valid(self):
        return super().is_valid() and not self.is_preview

    def full_clean(self):
        super().full_clean()
        if not self.is_bound:
            return
        if self.items is not None and self.is_preview:
            parts = {name: self.cleaned_data.get(name, self.data.get(name, "")) for name in PARTS}
            self.preview = make_preview(self.items, parts)
        if self.files.get(
            "csv_file"
        ):  # it waits in the text from here on; a browser never sends a file again by itself
            self.data = self.data.copy()
            if text := self._text_of_upload():
                self.data["rows"] = text

    def clean(self):
        upload = self.cleaned_data.pop("csv_file", None)
        chosen = self.cleaned_data.pop("csv_encoding", "") or "utf-8"
        name, data, encoding = "rows", self.cleaned_data.get("rows", "").encode(errors="replace"), "utf-8"
        if upload is not None:
            name, data, encoding = "csv_file", upload.read(MAX_BYTES + 1), chosen
        try:
            self.items = parse_csv(data, encoding=encoding)
        except CsvError as error:
            self.add_error(name, error.sentences)
        self._uploaded = data.decode(encoding, errors="replace") if upload is not None else ""
        return self.cleaned_data

    def _text_of_upload(self) -> str:
        """The table as we write it; of a table with mistakes the file's own text, to be mended in place."""
        if self.items is not None:
            return write_csv(self.items).decode()
        text = getattr(self, "_uploaded", "")
        return "" if len(text) > MAX_BYTES or UNREADABLE & set(text) else text

    def _post_clean(self):
        """Everything else is checked by the service that writes, and all of it at once."""
        given = {name: value for name, value in self.cleaned_data.items() if name not in ("rows", "based_on")}
        rows = self.items or CsvItems(("name",), ({"name": "?"},))  # whose mistakes have been told already
        template = self.instance if self.instance.pk else None
        if template and self.cleaned_data.get("based_on") not in (None, template.current.number):
            self.add_error(
                None,
                f"It has been changed since you opened it: it is at version {template.current.number} by now. Copy "
                "what you want to keep, open it again and compare the versions.",
            )
        try:
            authoring.draft_template(template=template, created_by=self.created_by, rows=rows, **given)
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                if name == "prompt_template" and self.items is None:
                    continue  # its columns are not known
                name = {"csv_data": "rows", NON_FIELD_ERRORS: None}.get(name, name)
                if name is None or name not in self.errors:
                    self.add_error(name if name in self.fields else None, problems)

    def save_template(self) -> BatchTemplate:
        """:raises TemplateConflict: somebody else has changed the template since it was opened."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "based_on"}
        return authoring.save_template(
            template=self.instance if self.instance.pk else None,
            created_by=self.created_by,
            based_on=self.cleaned_data["based_on"] if self.instance.pk else None,
            **given | {"rows": self.items},
        )


def rows_as_text(version: BatchTemplateVersion) -> str:
    return write_csv(CsvItems(tuple(version.columns), tuple(version.rows))).decode()


def _sizes() -> str:
    ratios = current_settings().aspect_ratios
    return ";".join(f"{ratio['name']}|{ratio['width']}|{ratio['height']}" for ratio in ratios)
