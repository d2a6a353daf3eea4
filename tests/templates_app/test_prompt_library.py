import pytest
from django.core.management import call_command

from templates_app.models import PromptTemplate
from templates_app.prompt_library import fill_in, offer, save_prompt_template

pytestmark = pytest.mark.django_db

ADDRESS = "/api/prompt-templates"
GOOD = {"name": "Neon", "prompt_text": "{prompt}, neon", "negative_prompt": "daylight", "category": "Light"}


def test_seeding_adds_ours_once_and_leaves_what_a_curator_changed():
    call_command("seed_templates", "--json")
    number = PromptTemplate.objects.count()
    assert number >= 12
    assert PromptTemplate.objects.filter(is_favorite=True).exists()
    edited = PromptTemplate.objects.get(name="Linocut")
    save_prompt_template(edited, prompt_text="my own words")
    call_command("seed_templates", "--json")
    assert PromptTemplate.objects.count() == number
    edited.refresh_from_db()
    assert edited.prompt_text == "my own words"


@pytest.mark.parametrize(
    ("text", "negative", "before", "after"),
    [
        ("{prompt}, neon", "daylight", ("a crab", ""), ("a crab, neon", "daylight")),
        ("neon", "", ("a crab, ", "blur"), ("a crab, neon", "blur")),
        ("neon", "blur", ("", "fog, blur"), ("neon", "fog, blur")),
        ("sign of {prompt} and {prompt}", "x", ("{prompt}", "y"), ("sign of {prompt} and {prompt}", "y, x")),
        ("{prompt}, neon", "", ("", ""), ("neon", "")),
        ("<b>{other}</b>", "", ("a", ""), ("a, <b>{other}</b>", "")),
    ],
)
def test_a_template_is_put_around_or_behind_what_is_written(text, negative, before, after):
    template = PromptTemplate(prompt_text=text, negative_prompt=negative)
    assert fill_in(template, prompt=before[0], negative_prompt=before[1]) == after


def test_a_form_is_offered_favourites_first_and_then_by_category():
    save_prompt_template(**GOOD)
    save_prompt_template(name="Ink", prompt_text="ink", category="Craft")
    save_prompt_template(name="Best", prompt_text="best", category="Light", is_favorite=True)
    save_prompt_template(name="Any", prompt_text="any")
    assert [(category, [t.name for t in group]) for category, group in offer()] == [
        ("Favourites", ["Best"]),
        ("Others", ["Any"]),
        ("Craft", ["Ink"]),
        ("Light", ["Neon"]),
    ]


def test_the_api_adds_reads_changes_and_deletes(api, admin_api):
    answer = admin_api.post(ADDRESS, GOOD | {"is_favorite": True})
    assert answer.status_code == 201
    template = answer.json()
    assert template | GOOD | {"is_favorite": True} == template
    assert api.get(f"{ADDRESS}/{template['id']}").json() == template
    changed = admin_api.put(f"{ADDRESS}/{template['id']}", {"name": " Glow "}).json()
    assert (changed["name"], changed["prompt_text"]) == ("Glow", "{prompt}, neon")
    assert admin_api.patch(f"{ADDRESS}/{template['id']}", {"category": ""}).json()["category"] == ""
    assert admin_api.delete(f"{ADDRESS}/{template['id']}").json() == {"success": True}
    assert api.get(f"{ADDRESS}/{template['id']}").status_code == 404


def test_only_admins_write(api, stranger):
    row = save_prompt_template(**GOOD)
    for client, status in ((api, 401), (None, 403)):
        if client is None:
            client = api
            client.force_authenticate(stranger)
        assert client.post(ADDRESS, GOOD).status_code == status
        for pk in (row.pk, 999):
            assert client.put(f"{ADDRESS}/{pk}", {"name": "x"}).status_code == status
            assert client.delete(f"{ADDRESS}/{pk}").status_code == status


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"prompt_text": " "}, "prompt_text"),
        ({"prompt_text": "x" * 2001}, "prompt_text"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt"),
        ({"category": "x" * 101}, "category"),
        ({"description": "x" * 2001}, "description"),
        ({"is_favorite": "perhaps"}, "is_favorite"),
        ({"id": 5}, "id"),
    ],
)
def test_wrong_input_names_its_field(admin_api, changes, field):
    answer = admin_api.post(ADDRESS, GOOD | changes)
    assert answer.status_code == 400
    assert field in answer.json()["fields"]
    assert not PromptTemplate.objects.exists()


def test_the_limits_themselves_are_let_in(admin_api):
    longest = {
        "name": "x" * 200,
        "prompt_text": "x" * 2000,
        "negative_prompt": "x" * 2000,
        "category": "x" * 100,
    }
    assert admin_api.post(ADDRESS, longest).status_code == 201


def test_the_list_is_filtered_by_category_favourite_and_words(api):
    save_prompt_template(**GOOD)
    save_prompt_template(name="Ink", prompt_text="100% ink_wash", category="Craft", is_favorite=True)

    def names(query):
        return [row["name"] for row in api.get(f"{ADDRESS}?{query}").json()["prompt_templates"]]

    assert names("") == ["Ink", "Neon"]
    assert names("category=Light") == ["Neon"]
    assert (names("favorite=true"), names("favorite=false")) == (["Ink"], ["Neon"])
    assert names("q=INK+100%25") == ["Ink"]
    assert names("q=_wash") == ["Ink"]
    assert names("q=%25%25") == []
    assert api.get(f"{ADDRESS}?favorite=perhaps").status_code == 400
    assert api.get(f"{ADDRESS}?starred=true").status_code == 400
    assert api.get(f"{ADDRESS}?q=%00").status_code == 400


def test_the_desk_toggles_favourites_in_its_list(client, ada):
    client.force_login(ada)
    row = save_prompt_template(**GOOD | {"name": "<script>alert(1)</script>"})
    address = "/admin/templates_app/prompttemplate/"
    assert "<script>alert(1)" not in client.get(address + "?q=neon").content.decode()
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": row.pk, "form-0-is_favorite": "on"}
    client.post(address, form | {"_save": "Save"})
    row.refresh_from_db()
    assert row.is_favorite


def test_the_editor_of_templates_offers_them_for_its_prompt_once_the_script_is_there(client, ada):
    from tests.factories import make_template

    client.force_login(ada)
    save_prompt_template(**GOOD)
    page = client.get(f"/admin/templates_app/batchtemplate/{make_template().pk}/change/").content.decode()
    assert 'data-insert hidden data-prompt="prompt_template"' in page
    assert 'data-prompt-text="{prompt}, neon"' in page
