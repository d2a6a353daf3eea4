import pytest

from gallery.models import Lora
from templates_app import slots
from templates_app.models import BatchGenerationRun
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def test_a_run_shows_its_order_leads_to_its_slots_and_changes_nothing(desk):
    run = start_run(album_name="<script>alert(1)</script>")
    page = desk.get(f"/admin/templates_app/batchgenerationrun/{run.pk}/change/")
    text = page.content.decode()
    assert f'href="/runs/{run.pk}"' in text
    assert "<script>alert(1)" not in text
    desk.post(f"/admin/templates_app/batchgenerationrun/{run.pk}/change/", {"album_name": "Changed"})
    assert BatchGenerationRun.objects.get().album_name == "<script>alert(1)</script>"


@pytest.mark.parametrize("model", ["batchtemplate", "batchgenerationrun"])
def test_the_queries_of_a_list_do_not_grow_with_its_rows(desk, model, django_assert_max_num_queries):
    template = make_template()
    start_run(template)
    address = f"/admin/templates_app/{model}/"
    desk.get(address)
    with django_assert_max_num_queries(12) as few:
        assert desk.get(address).status_code == 200
    for number in range(12):
        make_template(name=f"Template {number}")
        start_run(template, album_name=f"Run {number}")
    with django_assert_max_num_queries(len(few)):
        assert desk.get(address).status_code == 200


def test_the_dashboard_tells_what_works_and_what_is_missing(desk):
    start_run()
    text = desk.get("/admin/").content.decode()
    assert "generation job" in text
    assert "No worker of the queue gpu is running" in text


def test_runs_are_filtered_by_template_model_lora_and_kind(desk):
    Lora.objects.create(name="ink", file="loras/ink.safetensors")
    template = make_template()
    inked = start_run(template, album_name="Inked", loras=[{"lora": "ink"}])
    start_run(make_template(name="Other"), album_name="Plain")
    again = slots.reroll_slot(inked, 1)
    address = "/admin/templates_app/batchgenerationrun/"
    for query, expected in {
        "": 2,
        "lora=ink": 1,
        "kind=rerolls": 1,
        "kind=all": 3,
        f"template_version__template__id__exact={template.pk}": 1,
        f"model__id__exact={inked.model_id}": 2,
        "q=Plain": 1,
    }.items():
        page = desk.get(f"{address}?{query}")
        assert page.status_code == 200, query
        assert page.context["cl"].result_count == expected, query
    assert desk.get(f"{address}{again.pk}/change/").status_code == 200
