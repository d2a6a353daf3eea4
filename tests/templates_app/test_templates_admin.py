"""The desk where templates are written."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.ingest import ingest_image
from gallery.models import Lora
from gallery.services import add_images, create_album
from templates_app.models import BatchGenerationRun, BatchTemplate, BatchTemplateVersion
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

LIST = "/admin/templates_app/batchtemplate/"
ADD = f"{LIST}add/"


def change(template):
    return f"{LIST}{template.pk}/change/"


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def upload(data: bytes):
    return SimpleUploadedFile("rows.csv", data, content_type="text/csv")


def filled(**changes):
    return {
        "name": "Deck",
        "prompt_template": "{value} of {suit}",
        "base_prompt": "Playing card",
        "style_suffix": "crisp",
        "example_theme": "neon",
        "width": 512,
        "height": 720,
        "rows": "value,suit\r\nAce,Spades\r\n2,Hearts\r\n",
    } | changes


def text_of(page):
    return page.content.decode()


def rows_in(page):
    """What stands in the text area of the rows."""
    return page.context["adminform"].form["rows"].value()


# ---- Making


def test_a_template_is_written_with_its_rows_and_says_so(desk, ada):
    page = desk.post(ADD, filled(_save="Save"), follow=True)
    assert "was added successfully" in text_of(page)
    template = BatchTemplate.objects.get()
    assert (template.name, template.created_by, template.current.number) == ("Deck", ada, 1)
    assert template.current.rows == [{"value": "Ace", "suit": "Spades"}, {"value": "2", "suit": "Hearts"}]
    assert (template.current.width, template.current.height, template.current.created_by) == (512, 720, ada)


def test_an_uploaded_file_is_shown_before_anything_is_stored(desk):
    page = desk.post(
        ADD, filled(rows="", csv_file=upload(b"value;suit\nAce;Spades\nKing;Clubs\n"), _save="Save")
    )
    text = text_of(page)
    assert "2 rows, 2 columns" in text
    assert "Playing card. Art style: neon. Ace of Spades. crisp" in text
    assert "King_of_Clubs" in text
    assert not BatchTemplate.objects.exists()
    kept = rows_in(page)
    desk.post(ADD, filled(rows=kept, _save="Save"))
    assert BatchTemplate.objects.get().current.rows[1] == {"value": "King", "suit": "Clubs"}


def test_the_preview_and_the_upload_survive_a_wrong_field(desk):
    page = desk.post(ADD, filled(rows="", width=100, csv_file=upload(b"value,suit\nAce,Spades\n")))
    text = text_of(page)
    assert "divisible by 8" in text
    assert "1 row, 2 columns" in text
    assert rows_in(page) == "value,suit\r\nAce,Spades\r\n"
    assert not BatchTemplate.objects.exists()


def test_a_bad_file_is_explained_line_by_line_and_its_text_can_be_mended_in_place(desk):
    page = desk.post(ADD, filled(rows="", csv_file=upload(b"value,suit\nAce\nKing,Clubs,x\n")))
    text = text_of(page)
    assert "Line 2: The row has only 1 of the 2 fields." in text
    assert "Line 3: The row has 3 fields for 2 columns." in text
    assert rows_in(page) == "value,suit\nAce\nKing,Clubs,x\n"
    page = desk.post(ADD, filled(rows=rows_in(page)))
    assert "Line 2: The row has only 1 of the 2 fields." in text_of(page)
    desk.post(ADD, filled(rows="value,suit\nAce,Spades\nKing,Clubs\n"))
    assert BatchTemplate.objects.get().current.row_count == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Line 1: The file is empty."),
        ("name\nKönig\n".encode("latin-1"), "Line 2: The byte 0xF6"),
        (b"\xff\xfex", "not written in UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "NUL byte"),
        (b"name,Name\nx,y\n", "is there twice"),
        (b"name\n" + b"x" * (10 * 2**20), "larger than 10 MiB"),
    ],
    ids=["empty", "Latin-1", "UTF-16", "a picture", "a doubled header", "too large"],
)
def test_what_is_no_table_is_refused_and_the_rows_on_the_page_stay(desk, data, words):
    page = desk.post(ADD, filled(csv_file=upload(data)))
    assert words in text_of(page)
    assert "Spades" in rows_in(page) or data.startswith(b"name,Name")
    assert not BatchTemplate.objects.exists()


def test_a_file_in_an_older_encoding_is_read_when_it_is_named(desk):
    data = "value;suit\r\nKönig;Herz\r\n".encode("cp1252")
    page = desk.post(ADD, filled(csv_file=upload(data), csv_encoding="cp1252"))
    assert "König of Herz" in text_of(page)


def test_hostile_cells_are_shown_as_text(desk):
    cells = (
        '"<script>alert(1)</script>"\n=HYPERLINK(1)\n"{text} {other}"\n"a ""quoted"" cell"\n"two\nlines"\n'
    )
    page = desk.post(ADD, filled(rows=f"text\n{cells}", prompt_template="{text}", _preview="Preview"))
    text = text_of(page)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "neon. {text} {other}. crisp" in text


def test_a_preview_can_be_asked_for_and_warns_of_what_will_disappoint(desk):
    rows = "name,note\nAce,x\nAce,x\nKing,y\n"
    page = desk.post(
        ADD, filled(rows=rows, prompt_template="{name}", base_prompt="b" * 2000, _preview="Preview")
    )
    text = text_of(page)
    assert "3 rows cannot be drawn with the example theme (row 1, 2, 3)" in text
    assert "Not used by the prompt template: “note”." in text
    assert "2 rows stand in the table more than once" in text
    assert "Several rows have one name" in text
    assert not BatchTemplate.objects.exists()
    page = desk.post(ADD, filled(prompt_template="a card", _preview="Preview"))
    assert "names no column" in text_of(page)


def test_a_preview_counts_the_tokens_of_prompts(desk):
    rows = "value,suit\nAce,Spades\nKing," + "red " * 80 + "\n"
    text = text_of(desk.post(ADD, filled(rows=rows, _preview="Preview")))
    assert "about 13 tokens" in text
    assert "1 row with a prompt of more than about 75 tokens, first row 2 with 92." in text


def test_the_list_shows_what_was_drawn_and_finds_words_of_the_prompt(desk):
    template = make_template()
    make_template(name="Other", base_prompt="Playing card")
    run = start_run(template)
    album = create_album(name="Night", source_type="batch_generation", source_id=run.pk)
    add_images(album, [ingest_image(png(1), source_type="manual").image])
    BatchGenerationRun.objects.update(album=album)
    text = text_of(desk.get(LIST))
    assert text.count('class="thumbnail"') == 1
    text = text_of(desk.get(f"{LIST}?q=playing"))
    assert "Other" in text
    assert "Skies" not in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"prompt_template": ""}, "This field is required."),
        ({"prompt_template": "{colour}"}, "“colour” is no column of the table"),
        ({"base_prompt": "x" * 2001}, "2,000 characters; this one has 2,001"),
        ({"style_suffix": "x" * 2001}, "2,000 characters; this one has 2,001"),
        ({"negative_prompt": "x" * 2001}, "2,000 characters; this one has 2,001"),
        ({"example_theme": "x" * 501}, "at most 500 characters"),
        ({"description": "x" * 5001}, "5,000 characters; this one has 5,001"),
        ({"width": "56"}, "from 64 to 2048"),
        ({"height": "2056"}, "from 64 to 2048"),
        ({"rating": "lovely"}, "Select a valid choice"),
        ({"rows": ""}, "Line 1: The file is empty."),
        ({"rows": "value,suit\n"}, "no rows below the header"),
        ({"lora_config-lora": "none", "lora_config-weight": "1"}, "There is no LoRA"),
        ({"lora_config-lora": "ink", "lora_config-weight": "5"}, "from -4 to 4"),
        ({"lora_config-lora": "ink", "lora_config-weight": "nan"}, "from -4 to 4"),
        ({"lora_config-lora": "ink", "lora_config-weight": "much"}, "must be a number such as 0.8"),
    ],
)
def test_a_wrong_field_is_explained_and_makes_nothing(desk, changes, words):
    Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    page = desk.post(ADD, filled(**changes))
    assert page.status_code == 200
    assert words in text_of(page).replace("&#x27;", "'")
    assert not BatchTemplate.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "x" * 200},
        {"base_prompt": "x" * 2000},
        {"example_theme": "x" * 500},
        {"description": "x" * 5000},
        {"width": "64", "height": "2048"},
    ],
)
def test_what_is_just_within_a_limit_is_taken(desk, changes):
    desk.post(ADD, filled(**changes))
    assert BatchTemplate.objects.count() == 1


def test_a_stack_of_loras_is_chosen_from_the_library(desk):
    for number, name in enumerate(("ink", "wash")):
        Lora.objects.create(name=name, file=f"loras/{name}", sha256=f"{number:064}", family="sd15")
    stack = {"lora_config-lora": ["wash", "", "ink"], "lora_config-weight": ["0.5", "1.0", "-1"]}
    desk.post(ADD, filled(**stack))
    template = BatchTemplate.objects.get()
    expected = [{"lora": "wash", "weight": 0.5}, {"lora": "ink", "weight": -1.0}]
    assert template.current.lora_config == expected
    Lora.objects.filter(name="wash").delete()
    assert "wash (not in the library)" in text_of(desk.get(change(template)))


# ---- Changing


def test_an_edit_is_a_new_version_and_what_changes_no_picture_is_none(desk):
    desk.post(ADD, filled())
    template = BatchTemplate.objects.get()
    page = desk.get(change(template))
    assert rows_in(page) == "value,suit\r\nAce,Spades\r\n2,Hearts\r\n"
    desk.post(change(template), filled(based_on=1, name="Cards", description="All of them"))
    template.refresh_from_db()
    assert (template.name, template.current.number) == ("Cards", 1)
    desk.post(change(template), filled(based_on=1, name="Cards", rows="value,suit\nAce,Spades\n3,Clubs\n"))
    template.refresh_from_db()
    assert (template.current.number, template.versions.count()) == (2, 2)
    assert template.current.rows[1] == {"value": "3", "suit": "Clubs"}


def test_whoever_comes_second_overwrites_nothing(desk):
    desk.post(ADD, filled())
    template = BatchTemplate.objects.get()
    desk.post(change(template), filled(based_on=1, base_prompt="first"))
    page = desk.post(change(template), filled(based_on=1, base_prompt="second"))
    assert "changed since you opened it" in text_of(page)
    assert BatchTemplateVersion.objects.latest("pk").base_prompt == "first"


def test_an_upload_replaces_the_rows_of_a_template_only_when_it_is_saved(desk):
    template = make_template()
    page = desk.post(
        change(template), filled(name="Skies", based_on=1, csv_file=upload(b"value,suit\nAce,Spades\n"))
    )
    assert "Nothing is stored yet" in text_of(page)
    template.refresh_from_db()
    assert template.current.number == 1
    desk.post(change(template), filled(name="Skies", based_on=1, rows=rows_in(page)))
    template.refresh_from_db()
    assert (template.current.number, template.current.row_count) == (2, 1)


def test_a_template_is_duplicated_under_a_free_name(desk):
    template = make_template(description="Three")
    desk.post(f"{LIST}{template.pk}/duplicate/")
    desk.post(f"{LIST}{template.pk}/duplicate/")
    names = list(BatchTemplate.objects.values_list("name", flat=True))
    assert names == ["Skies", "Skies (copy 2)", "Skies (copy)"] or set(names) == {
        "Skies",
        "Skies (copy)",
        "Skies (copy 2)",
    }
    copy = BatchTemplate.objects.get(name="Skies (copy)")
    assert (copy.description, copy.current.rows, copy.current.number) == ("Three", template.current.rows, 1)


# ---- Archiving and deleting


def test_a_template_with_runs_is_not_deleted_and_the_page_says_what_to_do(desk):
    template = make_template()
    start_run(template)
    page = desk.get(f"{LIST}{template.pk}/delete/")
    assert "cannot be deleted" in text_of(page)
    assert "Archive it instead" in text_of(page)
    desk.post(f"{LIST}{template.pk}/delete/", {"post": "yes"})
    assert BatchTemplate.objects.exists()


def test_a_template_without_runs_is_deleted_with_all_its_versions(desk):
    template = make_template()
    assert "Nothing has been drawn from Skies" in text_of(desk.get(f"{LIST}{template.pk}/delete/"))
    desk.post(f"{LIST}{template.pk}/delete/", {"post": "yes"})
    assert not BatchTemplateVersion.objects.exists()


def test_archived_templates_leave_the_list_and_can_be_brought_back(desk):
    template = make_template()
    for _ in range(2):  # pressed twice
        desk.post(f"{LIST}{template.pk}/archive/")
    assert "Skies" not in re.sub(r"<ul class=.messagelist.*?</ul>", "", text_of(desk.get(LIST)), flags=re.S)
    assert "Skies" in text_of(desk.get(f"{LIST}?shelf=archived"))
    assert "Bring back" in text_of(desk.get(change(template)))
    desk.post(f"{LIST}{template.pk}/archive/", {"bring_back": ""})
    assert "Skies" in text_of(desk.get(LIST))
    desk.post(f"{LIST}{template.pk}/archive/")
    chosen = {"action": "bring_back", "_selected_action": [template.pk]}
    desk.post(f"{LIST}?shelf=archived", chosen)
    template.refresh_from_db()
    assert not template.is_archived
    desk.post(LIST, {"action": "archive", "_selected_action": [template.pk]})
    template.refresh_from_db()
    assert template.is_archived


@pytest.mark.parametrize("page", ["duplicate", "archive"])
def test_buttons_are_for_admins_and_never_pressed_by_a_link(desk, client, stranger, page):
    template = make_template()
    assert desk.get(f"{LIST}{template.pk}/{page}/").status_code == 405
    client.force_login(stranger)
    assert client.post(f"{LIST}{template.pk}/{page}/").status_code in (302, 403)
    assert BatchTemplate.objects.get() == template
    assert not BatchTemplate.objects.get().is_archived


def test_a_page_of_a_template_that_is_gone_is_not_there(desk):
    assert desk.post(f"{LIST}999/duplicate/").status_code == 404


# ---- Many rows


def test_a_table_of_ten_thousand_rows_is_previewed_and_stored(desk, django_assert_max_num_queries):
    data = "value,suit\n" + "".join(f"{number},Spades\n" for number in range(10_000))
    page = desk.post(ADD, filled(rows="", csv_file=upload(data.encode())))
    assert "10000 rows" in text_of(page)
    desk.post(ADD, filled(rows=rows_in(page)))
    template = BatchTemplate.objects.get()
    assert template.current.row_count == 10_000
    with django_assert_max_num_queries(12):
        page = desk.get(change(template))
    assert len(page.content) < 2 * len(data) + 100_000
    with django_assert_max_num_queries(12):
        assert len(desk.get(LIST).content) < 100_000
