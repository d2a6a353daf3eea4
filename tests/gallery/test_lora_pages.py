import re

import pytest

from gallery.models import Lora

pytestmark = pytest.mark.django_db


def make_lora(name, **fields):
    return Lora.objects.create(
        name=name, file=name, sha256=f"{name:0>64}"[:64], family=fields.pop("family", "sd15"), **fields
    )


def used(lora):
    return {"loras": [{"name": lora.name, "weight": 0.8, "sha256": lora.sha256}]}


def text(response):
    assert response.status_code == 200
    return response.content.decode()


def test_without_any_the_page_says_so(visitor):
    assert "No LoRAs yet" in text(visitor.get("/loras"))


def test_a_lora_is_shown_with_what_one_needs_to_use_it(visitor, curator):
    make_lora("brass_etching", rank=8, trigger_words=["brass etching", "fine lines"], description="Warm.")
    make_lora("switched-off", is_enabled=False)
    page = text(visitor.get("/loras"))
    for word in ("brass etching", "Stable Diffusion 1.5", "rank 8", "brass etching, fine lines", "Warm."):
        assert word in page, word
    assert "brass_etching:1.0" in page and "&lt;lora:brass_etching:1&gt;" in page
    assert "switched-off" not in page and "Edit in admin" not in page
    assert "Edit in admin" in text(curator.get("/loras"))


def test_previews_are_the_newest_pictures_that_the_viewer_may_see(visitor, take_in, album):
    lora, other = make_lora("brass"), make_lora("other")
    drawn = {"source_type": "batch_generation", "generation_params": used(lora)}
    old = [take_in(number, album=album, **drawn) for number in range(5)]
    take_in(10, **drawn)
    take_in(11, album=album, rating="adult", **drawn)
    page = text(visitor.get("/loras"))
    shown = [int(pk) for pk in re.findall(r'href="/images/(\d+)"', page)]
    assert shown == [image.pk for image in reversed(old)][:4]
    assert page.count("No public picture was drawn with it lately.") == 1 and other.name in page


@pytest.mark.parametrize("loras", ["x", [1], [{"sha256": []}], [{"sha256": {"a": 1}}], {"a": 1}, None])
def test_a_recipe_of_any_shape_breaks_nothing(visitor, take_in, album, loras):
    make_lora("brass", trigger_words={"not": "a list"})
    take_in(album=album, source_type="batch_generation", generation_params={"loras": loras})
    assert "brass" in text(visitor.get("/loras"))


def test_loras_stand_by_name_over_all_pages(visitor, monkeypatch):
    monkeypatch.setattr("gallery.views.answers.PER_PAGE", 2)
    for name in ("b", "C", "a", "d", "E"):
        make_lora(name)
    found, address = [], "/loras"
    while address:
        page = text(visitor.get(address))
        found += re.findall(r"<h2>(\w)</h2>", page)
        link = re.search(r'rel="next" href="([^"]+)"', page)
        address = link and "/loras" + link[1].replace("&amp;", "&")
    assert found == ["a", "b", "C", "d", "E"]


def test_the_page_asks_no_more_questions_for_more_loras(visitor, take_in, album, django_assert_num_queries):
    for number in range(12):
        lora = make_lora(f"lora{number}")
        take_in(number, album=album, source_type="batch_generation", generation_params=used(lora))
        if number in (1, 11):
            with django_assert_num_queries(3):
                text(visitor.get("/loras"))
