"""The desk where templates are written, in a real browser: with its table editor, and without JavaScript."""

import pytest
from django.test import override_settings

from gallery.models import Lora
from templates_app.models import BatchTemplate
from tests.factories import make_template

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LIST = "/admin/templates_app/batchtemplate/"
CARDS = {
    "name": "cards.csv",
    "mimeType": "text/csv",
    "buffer": b"value;suit\nAce;Spades\nKing;Clubs\nTwo;Hearts\n",
}


@pytest.fixture(scope="session")
def some_media_url():
    """Django's live server asks for one; ours is none, since nothing is served past the gate."""
    with override_settings(MEDIA_URL="/no-media/"):
        yield


@pytest.fixture
def desk(chromium, some_media_url, live_server, client, ada):
    """``desk(**options)`` opens a page of a signed-in curator; what the browser complains of fails the test."""
    client.force_login(ada)
    complaints, contexts = [], []

    def open_page(**options):
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        session = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints


def cell(page, row, column):
    return page.locator(f'[data-row="{row}"][data-column="{column}"]')


def save(page):
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_load_state("networkidle")


def rows_of(name):
    return [list(row.values()) for row in BatchTemplate.objects.get(name=name).current.rows]


def upload(page):
    page.goto(f"{LIST}add/")
    page.set_input_files("input[name=csv_file]", CARDS)
    page.fill("#id_name", "Deck")
    page.fill("#id_prompt_template", "{value} of {suit}")
    save(page)


def test_an_upload_is_previewed_edited_in_the_table_and_stored(desk):
    Lora.objects.create(
        name="ink", file="loras/ink", sha256="0" * 64, family="sd15", trigger_words=["inkwash"]
    )
    page = desk()
    upload(page)
    assert page.get_by_text("Nothing is stored yet").is_visible()
    assert page.get_by_text("Ace of Spades").first.is_visible()
    assert not BatchTemplate.objects.exists()
    cell(page, 0, 0).fill("Queen, red")
    page.get_by_role("button", name="Duplicate row 2").click()
    page.get_by_role("button", name="Move row 4 up").click()
    page.get_by_role("button", name="Add a row at the end").click()
    cell(page, 4, 0).fill("Joker")
    page.get_by_role("button", name="Add a column at the end").click()
    page.keyboard.type("note")
    page.keyboard.press("Tab")
    cell(page, 0, 2).fill('"quoted"\nline')
    page.get_by_role("button", name="Move note to the left").click()
    page.get_by_role("button", name="Remove row 2").click()
    page.get_by_role("button", name="Add a LoRA").click()
    page.locator(".lora-line:visible select").select_option("ink")
    assert page.get_by_text("trigger words: inkwash").is_visible()
    save(page)
    assert rows_of("Deck") == [
        ["Queen, red", '"quoted"\nline', "Spades"],
        ["Two", "", "Hearts"],
        ["King", "", "Clubs"],
        ["Joker", "", ""],
    ]
    template = BatchTemplate.objects.get()
    assert template.current.columns == ["value", "note", "suit"]
    assert template.current.lora_config == [{"lora": "ink", "weight": 1.0}]


def test_a_renamed_column_is_renamed_in_the_prompt_and_a_step_can_be_taken_back(desk):
    template = make_template()
    page = desk()
    page.goto(f"{LIST}{template.pk}/change/")
    page.get_by_label("Name of column 2").fill("scene")
    page.keyboard.press("Tab")
    assert page.input_value("#id_prompt_template") == "{scene}"
    page.get_by_role("button", name="{name}").click()
    assert "{name}" in page.input_value("#id_prompt_template")
    page.fill("#id_prompt_template", "{scene}")
    page.get_by_role("button", name="Remove row 1").click()
    page.get_by_role("button", name="Undo the last change").click()
    page.get_by_label("Find in the rows").fill("moon")
    assert page.get_by_text("1 of 3 rows").is_visible()
    cell(page, 1, 0).fill("Luna")
    save(page)
    template.refresh_from_db()
    assert (template.current.columns, template.current.prompt_template) == (["name", "scene"], "{scene}")
    assert [row["name"] for row in template.current.rows] == ["The Sun", "Luna", "The Star"]


def test_a_block_of_a_spreadsheet_is_pasted_and_rows_move_by_keyboard(desk):
    template = make_template()
    page = desk()
    page.goto(f"{LIST}{template.pk}/change/")
    cell(page, 2, 0).focus()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/plain", 'A\\t"two\\nlines"\\nB\\tb\\n');
            document.activeElement.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    cell(page, 3, 0).focus()
    page.keyboard.press("Alt+ArrowUp")
    save(page)
    assert rows_of("Skies")[2:] == [["B", "b"], ["A", "two\nlines"]]


def test_the_text_of_the_table_can_be_edited_and_mistakes_keep_it_open(desk):
    template = make_template()
    page = desk()
    page.goto(f"{LIST}{template.pk}/change/")
    page.get_by_role("button", name="Edit as text").click()
    page.fill("#id_rows", "name,text\nSun\n")
    page.get_by_role("button", name="Edit as a table").click()
    assert page.get_by_text("Row 1 has 1 cells for 2 columns").is_visible()
    save(page)
    assert page.get_by_text("Line 2: The row has only 1 of the 2 fields.").is_visible()
    assert page.locator("#id_rows").is_visible()
    page.fill("#id_rows", "name,text\nSun,a sun\n")
    save(page)
    assert rows_of("Skies") == [["Sun", "a sun"]]


def test_a_thousand_rows_are_edited_page_by_page(desk):
    template = make_template(rows=[{"name": f"Row {number}", "text": "x"} for number in range(1, 1001)])
    page = desk()
    page.goto(f"{LIST}{template.pk}/change/")
    assert page.get_by_text("page 1 of 20").is_visible()
    assert page.locator(".row-table tbody tr").count() == 50
    page.get_by_role("button", name="Next rows").click()
    cell(page, 50, 1).fill("changed")
    save(page)
    rows = rows_of("Skies")
    assert (len(rows), rows[50], rows[999]) == (1000, ["Row 51", "changed"], ["Row 1000", "x"])


def test_without_javascript_the_text_area_and_two_blank_loras_do_the_same(desk):
    Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    page = desk(java_script_enabled=False)
    upload(page)
    assert page.get_by_text("Nothing is stored yet").is_visible()
    text = page.input_value("#id_rows")
    page.fill("#id_rows", text.replace("King", "Queen"))
    page.select_option("#id_lora_config_1", "ink")
    save(page)
    assert rows_of("Deck") == [["Ace", "Spades"], ["Queen", "Clubs"], ["Two", "Hearts"]]
    assert BatchTemplate.objects.get().current.lora_config[0]["lora"] == "ink"


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
)
def test_no_page_of_a_template_is_wider_than_the_screen(desk, width, scheme):
    template = make_template(name="A rather long name of a template that somebody has thought of at night")
    page = desk(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for address in (
        LIST,
        f"{LIST}{template.pk}/change/",
        f"{LIST}{template.pk}/versions/",
        f"{LIST}{template.pk}/versions/compare/",
        f"{LIST}sets/",
        f"{LIST}import/",
        "/templates",
        f"/templates/{template.pk}",
    ):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
