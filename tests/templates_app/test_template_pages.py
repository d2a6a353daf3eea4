"""The public pages of templates."""

import pytest

from gallery.ingest import ingest_image
from gallery.models import Album, Lora
from gallery.services import add_images, create_album
from templates_app import authoring
from templates_app.models import BatchGenerationRun
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db


def picture(rating):
    return ingest_image(png(1), source_type="manual", rating=rating).image


def text_of(page):
    assert page.status_code == 200
    return page.content.decode()


def drawn_album(template, image, *, name="Night", is_public=True):
    """An album as a run of the template leaves it."""
    run = start_run(template, album_name=name, is_public=is_public)
    album = create_album(name=name, is_public=is_public, source_type="batch_generation", source_id=run.pk)
    add_images(album, [image])
    BatchGenerationRun.objects.filter(pk=run.pk).update(album=album)
    return Album.objects.get(pk=album.pk)


def test_the_list_shows_templates_in_use_with_the_cover_of_what_was_drawn_last(client):
    template = make_template(description="Three of the sky")
    make_template(name="Old", is_archived=True)
    text = text_of(client.get("/templates"))
    assert "Skies" in text
    assert "3 pictures" in text
    assert "Nothing drawn yet" in text
    assert "Old" not in text
    album = drawn_album(template, picture("safe"))
    page = client.get("/templates")
    assert page.context["cards"][0]["cover"].image == album.cover


def test_covers_of_private_albums_are_for_admins_and_those_for_adults_are_blurred(client, ada):
    template = make_template()
    image = picture("adult")
    drawn_album(template, image, is_public=False, name="Secret plans")
    assert client.get("/templates").context["cards"][0]["cover"] is None
    assert "Secret plans" not in text_of(client.get(f"/templates/{template.pk}"))
    drawn_album(template, image, name="Shown")
    assert client.get("/templates").context["cards"][0]["cover"].is_blurred
    page = client.get(f"/templates/{template.pk}")
    assert [card["album"].name for card in page.context["cards"]] == ["Shown"]
    assert page.context["cards"][0]["cover"].is_blurred
    client.force_login(ada)
    page = client.get(f"/templates/{template.pk}")
    assert [card["album"].name for card in page.context["cards"]] == ["Shown", "Secret plans"]


def test_a_template_tells_its_rows_its_prompts_and_its_loras(client):
    Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    template = make_template(lora_config=[{"lora": "ink", "weight": 0.5}], example_theme="neon")
    text = text_of(client.get(f"/templates/{template.pk}"))
    assert "Tarot card. Art style: neon. a yellow sun on a blue background. crisp lines" in text
    assert "a yellow star on a purple background" in text
    assert "ink × 0.5" in text
    assert "64 × 96" in text


def test_hostile_texts_are_text(client):
    cell = '<script>alert("1")</script>\n{other}'
    template = make_template(
        name="<b>bold</b>", rows=[{"text": cell}], base_prompt="<i>", example_theme="{text}"
    )
    for address in ("/templates", f"/templates/{template.pk}"):
        text = text_of(client.get(address))
        for tag in ("<script>alert", "<b>bold", "<i>"):
            assert tag not in text
    assert "Art style: {text}. &lt;script&gt;" in text


def test_archived_templates_and_those_for_adults_are_not_there_for_the_public(client, ada):
    archived = make_template(is_archived=True)
    explicit = make_template(name="Explicit", rating="explicit")
    for template in (archived, explicit):
        assert client.get(f"/templates/{template.pk}").status_code == 404
    assert "Explicit" not in text_of(client.get("/templates"))
    client.post("/age-confirmation")
    assert "Explicit" in text_of(client.get("/templates"))
    assert client.get(f"/templates/{explicit.pk}").status_code == 200
    assert client.get(f"/templates/{archived.pk}").status_code == 404
    client.force_login(ada)
    assert "Archived" in text_of(client.get(f"/templates/{archived.pk}"))
    assert "Skies" not in text_of(client.get("/templates"))


@pytest.mark.parametrize("pk", ["0", "999", str(2**63), "1" * 40])
def test_a_template_that_is_not_there_is_404(client, pk):
    assert client.get(f"/templates/{pk}").status_code == 404


def test_runs_that_are_being_drawn_are_told_and_private_ones_are_not(client):
    template = make_template()
    start_run(template, album_name="Night")
    start_run(template, album_name="Secret plans", is_public=False)
    text = text_of(client.get(f"/templates/{template.pk}"))
    assert "Night" in text
    assert "rivate" not in text and "Secret" not in text


def test_drawing_is_offered_to_whoever_may(client, ada):
    template = make_template()
    assert "Draw this set" not in text_of(client.get(f"/templates/{template.pk}"))
    client.force_login(ada)
    text = text_of(client.get(f"/templates/{template.pk}"))
    assert f"/templates/{template.pk}/draw" in text
    authoring.set_archived(template, is_archived=True)
    assert "Draw this set" not in text_of(client.get(f"/templates/{template.pk}"))


def test_drawing_is_offered_to_visitors_where_they_may_order(client, settings):
    settings.PUBLIC_GENERATION = True
    template = make_template()
    assert f"/templates/{template.pk}/draw" in text_of(client.get(f"/templates/{template.pk}"))


def test_a_run_leads_to_its_template_as_long_as_that_may_be_seen(client):
    template = make_template()
    run = start_run(template)
    for address in (f"/runs/{run.pk}", "/runs"):
        assert f'href="/templates/{template.pk}"' in text_of(client.get(address))
    authoring.set_archived(template, is_archived=True)
    for address in (f"/runs/{run.pk}", "/runs"):
        text = text_of(client.get(address))
        assert "Skies" in text
        assert f'href="/templates/{template.pk}"' not in text


def test_a_thousand_rows_are_shown_a_hundred_at_a_time(client, django_assert_max_num_queries):
    rows = [{"name": f"Row {number}", "text": "x" * 1000} for number in range(1, 1001)]
    template = make_template(rows=rows)
    with django_assert_max_num_queries(8):
        page = client.get(f"/templates/{template.pk}")
    assert len(page.content) < 150_000
    assert "page 1 of 10" in text_of(page)
    assert "Row 101<" not in text_of(page)
    assert "Row 1000<" in text_of(client.get(f"/templates/{template.pk}?rows=10"))
    for wrong in ("11", "0", "-1", "x", "9" * 30):
        assert client.get(f"/templates/{template.pk}?rows={wrong}").status_code == 200
    assert len(client.get("/templates").content) < 20_000


def test_the_queries_of_the_list_do_not_grow_with_it(client, django_assert_max_num_queries):
    image = picture("safe")
    drawn_album(make_template(), image)
    client.get("/templates")
    with django_assert_max_num_queries(6) as few:
        client.get("/templates")
    for number in range(5):
        drawn_album(make_template(name=f"Template {number}"), image)
    with django_assert_max_num_queries(len(few)):
        client.get("/templates")


def test_the_site_map_names_the_templates_that_everybody_may_see(client):
    shown = make_template()
    archived = make_template(name="Old", is_archived=True)
    explicit = make_template(name="Explicit", rating="explicit")
    assert "/templates<" in text_of(client.get("/sitemap-pages.xml"))
    text = text_of(client.get("/sitemap-templates-0.xml"))
    assert f"/templates/{shown.pk}<" in text
    for hidden in (archived, explicit):
        assert f"/templates/{hidden.pk}<" not in text
