"""Versions of a template at the desk: compared, and brought back."""

import pytest

from gallery.models import Lora
from templates_app import authoring
from templates_app.models import BatchTemplate
from tests.factories import ROWS, make_template, start_run

pytestmark = pytest.mark.django_db

LIST = "/admin/templates_app/batchtemplate/"


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


@pytest.fixture
def template(db):
    """Three versions: the base prompt changed in the second, the rows in the third."""
    template = make_template(base_prompt="worn card")
    authoring.save_template(template=template, base_prompt="golden card")
    return authoring.save_template(
        template=template, rows=[*ROWS[:2], {"name": "The World", "text": "a globe"}]
    )


def page_of(desk, address):
    page = desk.get(address)
    assert page.status_code == 200
    return page.content.decode()


def test_every_version_is_listed_with_its_runs(desk, template):
    start_run(template)
    page = desk.get(f"{LIST}{template.pk}/versions/")
    versions = page.context["versions"]
    assert [(version.number, version.run_count) for version in versions] == [(3, 1), (2, 0), (1, 0)]


def test_two_versions_are_compared(desk, template):
    text = page_of(desk, f"{LIST}{template.pk}/versions/compare/?from=1&to=3")
    assert "<del>worn</del><ins>golden</ins> card" in text
    assert "The_World" in text
    assert "1 changed" in text
    text = page_of(desk, f"{LIST}{template.pk}/versions/compare/?to=2")
    assert "The_World" not in text
    assert "They are the same" in page_of(desk, f"{LIST}{template.pk}/versions/compare/?from=2&to=2")


@pytest.mark.parametrize("query", ["from=9", "to=x", "from=-1", "to=" + "9" * 30, "from="])
def test_versions_that_are_not_there_are_404(desk, template, query):
    assert desk.get(f"{LIST}{template.pk}/versions/compare/?{query}").status_code == 404


def test_hostile_texts_are_text(desk, template):
    authoring.save_template(template=template, base_prompt="<script>alert(1)</script>")
    assert "<script>alert(1)" not in page_of(desk, f"{LIST}{template.pk}/versions/compare/")


def test_an_old_version_comes_back_as_a_new_one(desk, template, ada):
    page = desk.post(f"{LIST}{template.pk}/versions/1/restore/", follow=True)
    assert "Version 1 is back, as version 4; version 3 is kept." in page.content.decode()
    template = BatchTemplate.objects.get()
    assert (template.current.number, template.current.base_prompt) == (4, "worn card")
    assert (template.current.rows, template.current.created_by) == (ROWS, ada)
    assert template.versions.count() == 4
    page = desk.post(f"{LIST}{template.pk}/versions/1/restore/", follow=True)
    assert "the same as version 1 already" in page.content.decode()
    assert template.versions.count() == 4


def test_an_old_version_names_the_loras_that_are_gone(desk):
    Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    template = make_template(lora_config=[{"lora": "ink"}])
    authoring.save_template(template=template, lora_config=[])
    Lora.objects.all().delete()
    page = desk.post(f"{LIST}{template.pk}/versions/1/restore/", follow=True)
    assert "LoRAs that the library lacks: ink" in page.content.decode()


@pytest.mark.parametrize("page", ["versions/", "versions/compare/", "versions/1/restore/"])
def test_versions_are_for_admins(client, stranger, template, page):
    for signed_in in (False, True):
        if signed_in:
            client.force_login(stranger)
        assert client.get(f"{LIST}{template.pk}/{page}").status_code in (302, 403)
        assert client.post(f"{LIST}{template.pk}/{page}").status_code in (302, 403)
    assert BatchTemplate.objects.get().current.number == 3


def test_comparing_two_large_versions_costs_few_queries(desk, django_assert_max_num_queries):
    rows = [{"name": f"Row {number}", "text": "x " * 100} for number in range(1000)]
    template = make_template(rows=rows)
    authoring.save_template(template=template, rows=[row | {"text": "y " * 100} for row in rows])
    with django_assert_max_num_queries(10):
        page = desk.get(f"{LIST}{template.pk}/versions/compare/")
    assert "1000 changed" in page.content.decode()
    assert "and 800 more rows" in page.content.decode()
