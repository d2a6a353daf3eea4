"""The sets folder of the data directory: what lies in it is found and taken in."""

import json

import pytest
from django.core.management import CommandError, call_command

from templates_app import authoring
from templates_app.models import BatchTemplate
from templates_app.sets_folder import find_sets, take_in
from tests.factories import make_template

pytestmark = pytest.mark.django_db

PAGE = "/admin/templates_app/batchtemplate/sets/"


@pytest.fixture
def folder(settings):
    folder = settings.DATA_DIR / "sets"
    folder.mkdir()
    return folder


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def states():
    return {found.file: found.state for found in find_sets()}


def discover(capsys, *options):
    call_command("discover_sets", "--json", *options)
    return json.loads(capsys.readouterr().out)


def test_without_a_folder_nothing_is_found(capsys):
    assert find_sets() == []
    assert discover(capsys)["found"] == 0


def test_a_csv_file_alone_is_a_set(folder, capsys):
    (folder / "playing_cards.csv").write_text("value,suit\nAce,Spades\n")
    (folder / "signs.csv").write_text("name,description\nAries,a ram\n")
    (folder / "notes.txt").write_text("no set")
    assert discover(capsys)["added"] == ["Playing Cards", "Signs"]
    cards, signs = BatchTemplate.objects.all()
    assert (cards.current.prompt_template, cards.current.rows) == (
        "{value}, {suit}",
        [{"value": "Ace", "suit": "Spades"}],
    )
    assert signs.current.prompt_template == "{description}"


@pytest.mark.parametrize("where", ["cards.toml", "sets.toml"])
def test_how_a_set_is_drawn_stands_in_the_toml_beside_it(folder, capsys, where):
    (folder / "cards.csv").write_text("value\nAce\n")
    table = 'name = "A deck"\nbase_prompt = "Playing card"\nprompt_template = "{value}"\nwidth = 64\nheight = 96\n'
    shared = f'[[set]]\ncsv_file = "cards.csv"\n{table}'
    (folder / where).write_text(shared if where == "sets.toml" else table)
    assert discover(capsys)["added"] == ["A deck"]
    version = BatchTemplate.objects.get().current
    assert (version.base_prompt, version.width, version.height) == ("Playing card", 64, 96)


def test_looking_again_changes_nothing_until_the_file_does(folder, capsys):
    (folder / "cards.csv").write_text("value\nAce\n")
    assert states() == {"cards.csv": "new"}
    discover(capsys)
    assert states() == {"cards.csv": "unchanged"}
    answer = discover(capsys)
    assert (answer["added"], answer["updated"], answer["unchanged"]) == ([], [], ["Cards"])
    (folder / "cards.toml").write_text('style_suffix = "crisp"')
    assert states() == {"cards.csv": "changed"}
    assert discover(capsys)["updated"] == ["Cards"]
    assert states() == {"cards.csv": "unchanged"}
    template = BatchTemplate.objects.get()
    assert (template.current.number, template.current.style_suffix) == (2, "crisp")


def test_a_dry_run_tells_and_changes_nothing(folder, capsys):
    (folder / "cards.csv").write_text("value\nAce\n")
    assert discover(capsys, "--dry-run")["added"] == ["Cards"]
    assert not BatchTemplate.objects.exists()


def test_what_was_edited_here_is_covered_only_when_somebody_says_so(folder, capsys):
    (folder / "cards.csv").write_text("value\nAce\n")
    discover(capsys)
    template = BatchTemplate.objects.get()
    authoring.save_template(template=template, name="My deck", base_prompt="mine")
    assert states() == {"cards.csv": "unchanged"}
    (folder / "cards.csv").write_text("value\nAce\nKing\n")
    assert states() == {"cards.csv": "edited"}
    assert discover(capsys)["left"] == ["Cards"]
    template.refresh_from_db()
    assert template.current.base_prompt == "mine"
    assert discover(capsys, "--overwrite")["updated"] == ["Cards"]
    template.refresh_from_db()
    assert (template.name, template.current.row_count, template.versions.count()) == ("My deck", 2, 3)


def test_a_template_of_the_same_name_from_elsewhere_is_left(folder, capsys):
    make_template(name="Cards")
    (folder / "cards.csv").write_text("value\nAce\n")
    assert states() == {"cards.csv": "clash"}
    assert discover(capsys)["left"] == ["Cards"]
    assert BatchTemplate.objects.get().current.number == 1
    discover(capsys, "--overwrite")
    assert BatchTemplate.objects.get().current.number == 2
    assert states() == {"cards.csv": "unchanged"}


@pytest.mark.parametrize(
    ("csv", "toml", "words"),
    [
        (b"value\n\xff\n", "", "Line 2"),
        (b"", "", "empty"),
        (b"value\n" + b"x" * (10 * 2**20), "", "larger than"),
        (b"value\nAce\n", "width = ", "no TOML"),
        (b"value\nAce\n", "x = " + "[" * 5000, "no TOML"),
        (b"value\nAce\n", "x" * 300_000, "larger than 256 KiB"),
        (b"value\nAce\n", 'colour = "red"', "colour means nothing"),
        (b"value\nAce\n", 'width = "wide"', "width must be a whole number"),
        (b"value\nAce\n", "name = 5", "name must be text"),
        (b"value\nAce\n", "width = 100", "divisible by 8"),
        (b"value\nAce\n", 'prompt_template = "{colour}"', "no column"),
        (b"value\nAce\n", 'lora_config = [{lora = "none"}]', "There is no LoRA"),
        (b"value\nAce\n", f"lora_config = [{{lora = {10**30}}}]", "There is no LoRA"),
        (b"value\nAce\n", f"width = {10**30}", "from 64 to 2048"),
        (b"value\nAce\n", 'base_prompt = "bell \\u0007"', "control character"),
        (b"value\nAce\n", 'name = "a\\nb"', "control characters"),
        (b"value\nAce\n", 'lora_config = ["none"]', "Each entry is an object"),
    ],
)
def test_what_cannot_be_read_says_why_and_stops_no_other(folder, capsys, csv, toml, words):
    (folder / "bad.csv").write_bytes(csv)
    if toml:
        (folder / "bad.toml").write_text(toml)
    (folder / "good.csv").write_text("name\nx\n")
    with pytest.raises(CommandError, match="1 of them cannot be read"):
        call_command("discover_sets", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert words in " ".join(answer["unreadable"]["bad.csv"])
    assert answer["added"] == ["Good"]


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    (tmp_path / "secret").write_text("value\nsecret\n")
    (folder / "cards.csv").symlink_to(tmp_path / "secret")
    [found] = find_sets()
    assert found.state == "unreadable"
    assert "link out of the folder" in found.problems[0]


def test_the_page_lists_what_is_found_and_takes_in_what_is_ticked(desk, folder, ada):
    (folder / "cards.csv").write_text("value\nAce\n")
    (folder / "signs.csv").write_text("name\nAries\n")
    (folder / "bad.csv").write_text("<b>,x\n1,2\n")
    page = desk.get(PAGE)
    text = page.content.decode()
    assert "New." in text
    assert "<b>" not in text.partition("<table")[2]
    cards = next(found for found in page.context["sets"] if found.file == "cards.csv")
    page = desk.post(PAGE, {"set": [cards.key]}, follow=True)
    assert "Taken in: Cards." in page.content.decode()
    template = BatchTemplate.objects.get()
    assert (template.created_by, template.source_file) == (ada, "cards.csv")


def test_a_file_that_changed_since_it_was_seen_is_looked_at_again(desk, folder):
    (folder / "cards.csv").write_text("value\nAce\n")
    [seen] = desk.get(PAGE).context["sets"]
    (folder / "cards.csv").write_text("value\nAnother\n")
    page = desk.post(PAGE, {"set": [seen.key, "nonsense", "0:../../etc/passwd"]}, follow=True)
    assert "have changed since you saw them" in page.content.decode()
    assert not BatchTemplate.objects.exists()


def test_a_deleted_template_is_new_again(folder, ada):
    (folder / "cards.csv").write_text("value\nAce\n")
    authoring.delete_template(take_in(find_sets()[0], created_by=ada))
    assert states() == {"cards.csv": "new"}
