"""Templates over HTTP: read, made, changed, archived and deleted."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.models import Lora
from templates_app.models import BatchTemplate, BatchTemplateVersion
from tests.factories import ROWS, make_template, start_run

pytestmark = pytest.mark.django_db

LIST = "/api/batch-templates"
SKIES = {"name": "Skies", "prompt_template": "{text}", "csv_data": ROWS}


def address(template):
    return f"{LIST}/{template.pk}"


def upload(data: bytes, name="rows.csv"):
    return SimpleUploadedFile(name, data, content_type="text/csv")


# ---- Reading


def test_the_list_of_templates_tells_counts_and_leaves_the_rows_out(api):
    make_template()
    body = api.get(LIST).json()
    assert (body["total"], body["page"], body["per_page"], body["pages"]) == (1, 1, 50, 1)
    template = body["templates"][0]
    assert (template["template_item_count"], template["lora_count"], template["version"]) == (3, 0, 1)
    assert "csv_items" not in template


def test_a_template_shows_its_rows_in_the_order_of_their_columns(api):
    template = make_template(rows=[{"zeta": "1", "alpha": "2"}], prompt_template="{zeta} {alpha}")
    body = api.get(address(template)).json()
    assert list(body["csv_items"][0].items()) == [("zeta", "1"), ("alpha", "2")]
    assert body["created_at"].endswith("Z")


def test_an_archived_template_draws_nothing_and_says_why(admin_api):
    answer = admin_api.post(
        f"{address(make_template(is_archived=True))}/generate",
        {"album_name": "A", "user_theme": "neon"},
        format="json",
    )
    assert answer.status_code == 409
    assert answer.json() == {"error": "Skies is archived; bring it back before you draw from it."}


def test_archived_templates_are_for_admins_who_ask_for_them(api, admin_api):
    template = make_template(is_archived=True)
    for client in (api, admin_api):
        assert client.get(LIST).json()["templates"] == []
    assert api.get(f"{LIST}?is_archived=true").json()["templates"] == []
    assert api.get(address(template)).status_code == 404
    assert api.get(f"{address(template)}/runs").status_code == 404
    assert [row["name"] for row in admin_api.get(f"{LIST}?is_archived=true").json()["templates"]] == ["Skies"]
    assert admin_api.get(address(template)).json()["is_archived"] is True


@pytest.mark.parametrize("rating", ["adult", "explicit"])
def test_the_prompts_of_templates_for_adults_are_not_for_everybody(api, admin_api, rating):
    template = make_template(rating=rating)
    assert api.get(LIST).json()["templates"] == []
    assert api.get(address(template)).status_code == 404
    assert admin_api.get(address(template)).json()["rating"] == rating


# ---- Making


def test_a_template_is_made_from_json_and_answered_whole(admin_api, ada):
    ink = Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    given = SKIES | {
        "description": "Three of the sky",
        "base_prompt": "Tarot card",
        "style_suffix": "crisp",
        "example_theme": "neon",
        "width": 64,
        "height": 2048,
        "negative_prompt": "blurry",
        "rating": "safe",
        "lora_config": [{"lora": ink.pk, "weight": 0.5}],
    }
    answer = admin_api.post(LIST, given)
    assert answer.status_code == 201
    body = answer.json()
    told = given | {"lora_config": [{"lora": "ink", "weight": 0.5}]}
    assert {name: body[name] for name in told if name != "csv_data"} == {
        name: value for name, value in told.items() if name != "csv_data"
    }
    assert body["csv_items"] == ROWS
    assert (body["version"], body["template_item_count"], body["lora_count"]) == (1, 3, 1)
    assert BatchTemplate.objects.get(pk=body["id"]).created_by == ada
    assert admin_api.get(f"{LIST}/{body['id']}").json() == body


def test_a_template_is_made_from_a_csv_file(admin_api):
    ink = Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    given = {
        "name": "Deck",
        "prompt_template": "{value} of {suit}",
        "width": "512",
        "lora_config": json.dumps([{"lora": "ink"}]),
        "csv_file": upload(b"\xef\xbb\xbfvalue;suit\r\nAce;Spades\r\n\r\n2;Hearts\r\n"),
    }
    body = admin_api.post(LIST, given, format="multipart").json()
    assert body["csv_items"] == [{"value": "Ace", "suit": "Spades"}, {"value": "2", "suit": "Hearts"}]
    assert (body["lora_config"], body["width"], body["is_archived"]) == (
        [{"lora": ink.name, "weight": 1.0}],
        512,
        False,
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"value,suit\nAce\n", "Line 2: The row has only 1 of the 2 fields."),
        (b"value,value\nAce,x\n", "Line 1: The column name “value” is there twice."),
        ("value\nKönig\n".encode("latin-1"), "Line 2: The byte 0xF6"),
        (b"value\n" + b"x" * (10 * 2**20), "Line 1: The file is larger than 10 MiB."),
    ],
)
def test_a_bad_file_is_answered_with_its_lines(admin_api, data, words):
    given = {"name": "Deck", "prompt_template": "{value}", "csv_file": upload(data)}
    answer = admin_api.post(LIST, given, format="multipart")
    assert answer.status_code == 400
    assert any(sentence.startswith(words) for sentence in answer.json()["fields"]["csv_file"])
    assert not BatchTemplate.objects.exists()


def test_every_wrong_field_is_named_at_once(admin_api):
    given = {"name": " ", "prompt_template": "{nothing}", "width": 100, "csv_data": [{"a": "x"}, {"b": "y"}]}
    assert set(admin_api.post(LIST, given | {"name": "x" * 201}).json()["fields"]) == {
        "name",
        "width",
        "csv_data",
    }
    fields = admin_api.post(LIST, SKIES | {"prompt_template": "{nothing}", "height": 8}).json()["fields"]
    assert set(fields) == {"prompt_template", "height"}
    assert "“nothing” is no column" in fields["prompt_template"][0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"name": ["Skies"]}, "name"),
        ({"prompt_template": ""}, "prompt_template"),
        ({"prompt_template": None}, "prompt_template"),
        ({"description": "half of a sign \ud83d"}, "description"),
        ({"base_prompt": "bell \x07"}, "base_prompt"),
        ({"example_theme": "two\nlines"}, "example_theme"),
        ({"width": "wide"}, "width"),
        ({"width": True}, "width"),
        ({"width": 10**30}, "width"),
        ({"height": 513}, "height"),
        ({"rating": "lovely"}, "rating"),
        ({"is_archived": "perhaps"}, "is_archived"),
        ({"lora_config": [{"lora": "none"}]}, "lora_config"),
        ({"lora_config": [{"lora": "none", "weight": "NaN"}]}, "lora_config"),
        ({"lora_config": "none"}, "lora_config"),
        ({"lora_config": [{"lora": "half of a sign \ud83d"}]}, "lora_config"),
        ({"lora_config": [{"lora": "none"}] * 51}, "lora_config"),
        ({"csv_data": []}, "csv_data"),
        ({"csv_data": "text"}, "csv_data"),
        ({"csv_data": None}, "csv_data"),
        ({"csv_data": [{"text": ["deep"]}]}, "csv_data"),
        ({"csv_items": ROWS}, "csv_items"),
        ({"version": 1}, "version"),
        ({"id": 1}, "id"),
        ({"unknown": 1}, "unknown"),
        ({"source_file": "cards.csv"}, "source_file"),
    ],
)
def test_a_wrong_template_names_its_field_and_makes_nothing(admin_api, changes, field):
    # as other programs write it: with half of a sign as an escape
    answer = admin_api.post(LIST, json.dumps(SKIES | changes), content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["fields"]) == [field]
    assert not BatchTemplate.objects.exists()


def test_rows_are_needed_and_come_in_one_way(admin_api):
    assert list(admin_api.post(LIST, {"name": "x", "prompt_template": "x"}).json()["fields"]) == ["csv_data"]
    both = SKIES | {"csv_data": json.dumps(ROWS), "csv_file": upload(b"text\nx\n")}
    assert "not both" in admin_api.post(LIST, both, format="multipart").json()["error"]


@pytest.mark.parametrize("body", [[], "text", 1, None])
def test_what_is_no_object_is_refused(admin_api, body):
    assert admin_api.post(LIST, json.dumps(body), content_type="application/json").status_code == 400


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("name", 200),
        ("description", 5000),
        ("base_prompt", 2000),
        ("prompt_template", 2000),
        ("style_suffix", 2000),
        ("negative_prompt", 2000),
        ("example_theme", 500),
    ],
)
def test_the_length_of_each_text_is_bounded_after_trimming(admin_api, field, most):
    assert admin_api.post(LIST, SKIES | {field: f" {'x' * most} "}).status_code == 201
    answer = admin_api.post(LIST, SKIES | {"name": "Another", field: "x" * (most + 1)})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


@pytest.mark.parametrize(("side", "status"), [(56, 400), (64, 201), (2048, 201), (2056, 400), (100, 400)])
def test_each_side_is_bounded_and_divisible_by_eight(admin_api, side, status):
    for number, name in enumerate(("width", "height")):
        answer = admin_api.post(LIST, SKIES | {"name": f"Skies {number}", name: side})
        assert answer.status_code == status


def test_a_name_is_there_once(admin_api):
    make_template()
    answer = admin_api.post(LIST, SKIES)
    assert "of this name already" in answer.json()["fields"]["name"][0]


# ---- Changing


def test_only_the_keys_that_are_given_change(admin_api):
    template = make_template(description="Three")
    body = admin_api.put(address(template), {"style_suffix": "soft"}).json()
    assert (body["style_suffix"], body["base_prompt"], body["description"]) == ("soft", "Tarot card", "Three")
    assert (body["csv_items"], body["version"]) == (ROWS, 2)
    body = admin_api.put(address(template), {"name": "Heavens", "is_archived": True}).json()
    assert (body["name"], body["is_archived"], body["version"]) == ("Heavens", True, 2)


def test_an_answer_may_be_sent_back_as_it_is_and_changes_nothing(admin_api):
    template = make_template()
    body = admin_api.get(address(template)).json()
    answer = admin_api.put(address(template), body)
    assert answer.status_code == 200
    assert answer.json() | {"updated_at": None} == body | {"updated_at": None}
    refused = admin_api.put(
        address(template), answer.json() | {"csv_items": ROWS[:1], "created_at": "2020-01-01T00:00:00Z"}
    )
    assert set(refused.json()["fields"]) == {"csv_items", "created_at"}
    assert "csv_data" in refused.json()["fields"]["csv_items"][0]


def test_whoever_names_the_version_they_read_overwrites_nobody(admin_api):
    template = make_template()
    assert admin_api.put(address(template), {"version": 1, "base_prompt": "first"}).status_code == 200
    answer = admin_api.put(address(template), {"version": 1, "base_prompt": "second"})
    assert answer.status_code == 409
    assert "version 2" in answer.json()["error"]
    assert BatchTemplateVersion.objects.latest("pk").base_prompt == "first"


def test_new_rows_must_fit_the_prompt_template_that_stays(admin_api):
    template = make_template()
    answer = admin_api.put(address(template), {"csv_data": [{"colour": "red"}]})
    assert list(answer.json()["fields"]) == ["prompt_template"]
    given = {"csv_file": upload(b"colour\nred\n"), "prompt_template": "{colour}"}
    assert admin_api.put(address(template), given, format="multipart").json()["template_item_count"] == 1


def test_a_lora_that_left_the_library_does_not_hinder_other_changes(admin_api):
    Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    template = make_template(lora_config=[{"lora": "ink"}])
    Lora.objects.update(is_enabled=False)
    assert admin_api.put(address(template), {"base_prompt": "changed"}).status_code == 200
    answer = admin_api.put(address(template), {"lora_config": [{"lora": "ink", "weight": 2}]})
    assert list(answer.json()["fields"]) == ["lora_config"]


def test_a_template_with_runs_is_archived_and_not_deleted(admin_api):
    template = make_template()
    start_run(template)
    answer = admin_api.delete(address(template))
    assert answer.status_code == 409
    assert "Archive it" in answer.json()["error"]
    assert admin_api.put(address(template), {"is_archived": True}).status_code == 200
    assert admin_api.get(LIST).json()["templates"] == []
    assert admin_api.put(address(template), {"is_archived": False}).status_code == 200
    assert admin_api.get(LIST).json()["total"] == 1


def test_a_template_without_runs_is_deleted_with_its_versions(admin_api):
    template = make_template()
    admin_api.put(address(template), {"base_prompt": "changed"})
    answer = admin_api.delete(address(template))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert not BatchTemplateVersion.objects.exists()
    assert admin_api.delete(address(template)).status_code == 404


def test_writing_asks_for_the_sign_in_then_the_right_then_the_template(api, stranger, admin_api):
    template = make_template()
    wishes = [
        ("post", LIST),
        *((verb, f"{LIST}/{pk}") for verb in ("put", "delete") for pk in (template.pk, 999)),
    ]
    for verb, path in wishes:
        assert getattr(api, verb)(path, {}).status_code == 401
    api.force_authenticate(stranger)
    for verb, path in wishes:
        assert getattr(api, verb)(path, {}).status_code == 403
    assert admin_api.put(f"{LIST}/999", {}).status_code == 404
    assert admin_api.patch(address(template), {}).status_code == 405


def test_ten_thousand_rows_are_taken_and_one_more_is_refused(admin_api):
    rows = [{"name": f"Row {number}"} for number in range(10_001)]
    given = {"name": "Many", "prompt_template": "{name}"}
    assert list(admin_api.post(LIST, given | {"csv_data": rows}).json()["fields"]) == ["csv_data"]
    body = admin_api.post(LIST, given | {"csv_data": rows[:10_000]}).json()
    assert body["template_item_count"] == 10_000
    assert "csv_items" not in admin_api.get(LIST).json()["templates"][0]


def test_hostile_cells_are_kept_as_text(admin_api):
    cells = [
        "{text}",
        '<script>alert("1")</script>',
        "=1+1",
        "a\nb",
        '"quoted", with; separators',
        "{__class__}",
    ]
    body = admin_api.post(LIST, SKIES | {"csv_data": [{"text": cell} for cell in cells]}).json()
    assert [row["text"] for row in body["csv_items"]] == cells


def test_keys_that_no_answer_could_repeat_are_refused_and_break_nothing(admin_api):
    for body in ({"half \ud83d": 1}, {"nul\x00": 1}, {"x" * 100_000: 1}, {"csv_data": [{"\ud83d": 1}]}):
        answer = admin_api.post(LIST, json.dumps(SKIES | body), content_type="application/json")
        assert answer.status_code == 400
        assert answer.json()["fields"]
