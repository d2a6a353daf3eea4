"""A template as a file: out of one library and into another."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.models import Lora
from templates_app.models import BatchTemplate
from templates_app.template_files import FORMAT, TemplateFileError, read_template
from tests.factories import ROWS, make_template

LIST = "/admin/templates_app/batchtemplate/"
IMPORT = f"{LIST}import/"
CONTENT = {
    "format": FORMAT,
    "format_version": 1,
    "name": "Deck",
    "prompt_template": "{value}",
    "columns": ["value"],
    "rows": [["Ace"], ["King"]],
}


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def file(content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {"file": SimpleUploadedFile("deck.json", data, content_type="application/json")}


def form_of(page):
    """What a browser would send from the form of the page."""
    form = page.context["adminform"].form
    sent = {
        name: form[name].value() or ""
        for name in form.fields
        if name not in ("csv_file", "csv_encoding", "lora_config", "is_archived")
    }
    stack = form["lora_config"].value() or []
    sent["lora_config-lora"] = [use["lora"] for use in stack]
    sent["lora_config-weight"] = [use["weight"] for use in stack]
    return sent


@pytest.mark.django_db
def test_a_template_goes_out_and_comes_back_whole(desk):
    Lora.objects.create(name="ink", file="loras/ink", sha256="a" * 64, family="sd15")
    texts = {"description": "Three\nlines", "example_theme": "näon", "style_suffix": '"{odd}" <b>'}
    rows = [row | {"zeta": '=1+1, "quoted"\nand {other}'} for row in ROWS]
    template = make_template(**texts, rows=rows, rating="safe", lora_config=[{"lora": "ink", "weight": -0.5}])
    page = desk.get(f"{LIST}{template.pk}/export/")
    assert page["Content-Disposition"] == 'attachment; filename="skies.template.json"'
    BatchTemplate.objects.update(name="The old one")
    shown = desk.post(IMPORT, file(page.content))
    assert "3 rows, 3 columns" in shown.content.decode()
    assert BatchTemplate.objects.count() == 1
    desk.post(f"{LIST}add/", form_of(shown))
    copy = BatchTemplate.objects.get(name="Skies")
    assert copy.description == "Three\nlines"
    for name in copy.current.CONTENT:
        assert getattr(copy.current, name) == getattr(template.current, name), name


@pytest.mark.django_db
def test_loras_are_known_by_their_bytes_and_missing_ones_are_named(desk):
    Lora.objects.create(name="my-ink", file="loras/ink", sha256="a" * 64, family="sd15")
    loras = [
        {"lora": "ink", "weight": 0.5, "sha256": "a" * 64},
        {"lora": "gold", "weight": 1},
        {"lora": "silver", "sha256": "b" * 64},
    ]
    page = desk.post(IMPORT, file(CONTENT | {"loras": loras}))
    text = page.content.decode()
    assert "The library lacks these LoRAs: gold, silver." in text
    assert "gold (not in the library)" in text
    desk.post(f"{LIST}add/", form_of(page))
    assert not BatchTemplate.objects.exists()
    sent = form_of(page) | {"lora_config-lora": ["my-ink"], "lora_config-weight": ["0.5"]}
    desk.post(f"{LIST}add/", sent)
    assert BatchTemplate.objects.get().current.lora_config == [{"lora": "my-ink", "weight": 0.5}]


@pytest.mark.django_db
def test_a_file_whose_values_are_wrong_is_shown_to_be_mended(desk):
    make_template(name="Deck")
    page = desk.post(IMPORT, file(CONTENT | {"width": 100, "base_prompt": "<script>alert(1)</script>"}))
    text = page.content.decode()
    assert "of this name already" in text
    assert "divisible by 8" in text
    assert "2 rows, 1 column" in text
    assert "<script>alert(1)" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"\x89PNG\x00", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"format": NaN}', "no JSON"),
        (b'{"width": ' + b"9" * 5000 + b"}", "no JSON"),
        (b" " * (33 * 2**20), "larger than 32 MiB"),
        ([], "no template"),
        ({"format": "other"}, "no template"),
        (CONTENT | {"format_version": 2}, "later program"),
        (CONTENT | {"extra": 1}, "'extra' is no part"),
        (CONTENT | {"name": 5}, "name must be text"),
        (CONTENT | {"base_prompt": "half \ud83d"}, "base_prompt holds"),
        (CONTENT | {"name": "nul\x00"}, "name holds"),
        (CONTENT | {"\ud83d" * 1000: 1}, "is no part"),
        (CONTENT | {"width": "wide"}, "width must be a whole number"),
        (CONTENT | {"height": True}, "height must be a whole number"),
        (CONTENT | {"columns": "value"}, "columns must be a list"),
        (CONTENT | {"columns": ["value", "value"], "rows": [["a", "b"]]}, "Two columns"),
        (CONTENT | {"columns": []}, "rows must be a list of lists"),
        (CONTENT | {"rows": [["Ace", "King"]]}, "rows must be a list of lists"),
        (CONTENT | {"rows": [{"value": "Ace"}]}, "rows must be a list of lists"),
        (CONTENT | {"rows": []}, "at least one object"),
        (CONTENT | {"rows": [[["deep"]]]}, "Row 1"),
        (CONTENT | {"rows": [["x" * 2001]]}, "2,001 characters"),
        (CONTENT | {"rows": [["x"]] * 10_001}, "10,000 rows"),
        (CONTENT | {"loras": "ink"}, "loras must be a list"),
        (CONTENT | {"loras": [{"lora": 5}]}, "Each of loras"),
        (CONTENT | {"loras": [{"lora": "ink", "weight": "1"}]}, "Each of loras"),
        (CONTENT | {"loras": [{"lora": "nul\x00"}]}, "Each of loras"),
        (CONTENT | {"loras": [{"lora": "ink", "sha256": "half \ud83d"}]}, "Each of loras"),
        (CONTENT | {"loras": [{"lora": "x"}] * 51}, "at most 50"),
    ],
)
def test_what_is_no_template_is_refused_with_the_reason(content, words):
    with pytest.raises(TemplateFileError) as caught:
        read_template(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert words in str(caught.value)


@pytest.mark.django_db
def test_the_page_says_why_a_file_is_refused(desk):
    assert "Choose a file first" in desk.post(IMPORT, {}).content.decode()
    assert "no JSON" in desk.post(IMPORT, file(b"\x00")).content.decode()
    assert not BatchTemplate.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["import/", "sets/", "{pk}/export/"])
def test_files_are_for_admins(client, stranger, page):
    address = LIST + page.format(pk=make_template().pk)
    for signed_in in (False, True):
        if signed_in:
            client.force_login(stranger)
        assert client.get(address).status_code in (302, 403)
        assert client.post(address, file(CONTENT)).status_code in (302, 403)
    assert BatchTemplate.objects.count() == 1
