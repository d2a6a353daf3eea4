"""The whole way a drawn picture came: told in full to those whom it is for, and to nobody else."""

import json
import re

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from gallery.ingest import ingest_image
from gallery.models import Image, Lora, Rating
from gallery.services import (
    add_images,
    create_album,
    delete_album,
    retract_image,
    set_album_public,
    trash_image,
)
from imagineer.engine.lora_file import inspect_lora
from templates_app.models import BatchGenerationRun, BatchTemplate
from tests.factories import make_template, start_run
from tests.gallery.pictures import png
from tests.imagineer.engine.tiny_model import build_tiny_lora
from tests.templates_app.test_drawing import draw

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reference(db):
    image = ingest_image(png(1), source_type="manual", filename="A sketch.png", rating=Rating.SAFE).image
    add_images(create_album(name="Sketches"), [image])
    return image


@pytest.fixture
def lora(tmp_path, tiny):
    info = inspect_lora(build_tiny_lora(tmp_path / "ink.safetensors", tiny))
    key = default_storage.save(
        "loras/ink.safetensors", ContentFile((tmp_path / "ink.safetensors").read_bytes())
    )
    return Lora.objects.create(name="ink", file=key, sha256=info.sha256, family=info.family)


@pytest.fixture
def run(tiny, reference, lora, ada):
    return draw(
        start_run(
            reference_image_id=reference.pk,
            strength=0.5,
            loras=[{"lora": "ink", "weight": 0.8}],
            rating=Rating.SAFE,
            created_by=ada,
        )
    )


@pytest.fixture
def image(run):
    return run.items.select_related("image").get(position=2).image


def told(client, image, query="") -> dict:
    return client.get(f"/api/images/{image.pk}/provenance{query}").json()


def steps(client, image, query="") -> dict[str, dict]:
    return {step["kind"]: step for step in told(client, image, query)["steps"]}


def test_the_way_leads_from_the_picture_back_to_what_it_was_made_from(client, run, image, reference, lora):
    found = steps(client, image)
    assert list(found) == ["picture", "run", "template", "drawing", "reference", "model", "lora"]
    assert found["picture"]["facts"]["sha256"] == image.sha256
    facts = found["run"]["facts"]
    assert (facts["id"], facts["theme"], facts["position"], facts["variant"]) == (run.pk, "neon", 2, 1)
    facts = found["template"]["facts"]
    assert (found["template"]["title"], facts["version"], facts["row"]) == ("Skies", 1, 2)
    assert facts["values"]["name"] == "The Moon"
    facts = found["drawing"]["facts"]
    item = run.items.get(position=2)
    assert (facts["prompt"], facts["seed"], facts["steps"]) == (item.prompt, item.seed, 2)
    assert (facts["scheduler"], facts["strength"]) == ("Euler", 0.5)
    assert facts["libraries"].keys() == {"torch", "diffusers", "transformers", "peft"}
    assert found["reference"]["facts"]["sha256"] == reference.sha256
    assert found["reference"]["url"] == f"/images/{reference.pk}/provenance"
    assert found["model"]["title"] == run.model.name
    assert len(found["model"]["facts"]["hash"]) == 64
    assert (found["lora"]["title"], found["lora"]["facts"]["weight"]) == ("ink", 0.8)
    assert found["lora"]["facts"]["sha256"] == lora.sha256
    assert not any(step["is_redacted"] for step in found.values())


def test_the_page_says_the_same_to_people(client, image, reference):
    page = client.get(f"/images/{image.pk}/provenance").content.decode()
    assert '<span class="quiet">name:</span> The Moon' in page, "the row as a list"
    for step in told(client, image)["steps"]:
        assert step["title"] in page
        assert step["url"] is None or f'href="{step["url"]}"' in page
    assert image.sha256 in page
    assert "Art style: neon" in page


def test_every_link_of_every_page_on_the_way_resolves(client, ada, image, reference):
    for who in (None, ada):
        if who:
            client.force_login(who)
        seen, waiting = set(), [f"/images/{image.pk}/provenance", f"/images/{reference.pk}/provenance"]
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            assert answer.status_code in (200, 302), address
            if address.endswith("/provenance") and not address.startswith("/api/"):
                links = re.findall(r'href="(/[^"#]*)', answer.content.decode())
                waiting += [
                    link.replace("&amp;", "&")
                    for link in links
                    if not link.startswith(("/auth/", "/static/"))
                ]
        assert len(seen) > 8


def test_no_path_no_person_and_no_key_is_told(client, ada, tiny, run, image):
    run.model.refresh_from_db()
    public = json.dumps(told(client, image)) + client.get(f"/images/{image.pk}/provenance").content.decode()
    client.force_login(ada)
    admins = json.dumps(told(client, image))
    for text in (public, admins):
        assert str(tiny) not in text and run.model.location not in text
        assert ada.email not in text
        assert "originals/" not in text and "loras/ink" not in text


def test_a_private_picture_has_no_provenance_for_the_public(client, ada, run, image):
    set_album_public(run.album, is_public=False)
    for address in (f"/images/{image.pk}/provenance", f"/api/images/{image.pk}/provenance"):
        assert client.get(address).status_code == 404
    client.force_login(ada)
    assert "drawing" in steps(client, image)


def test_a_trashed_one_is_404_and_a_withdrawn_one_410(client, image):
    trash_image(image)
    assert client.get(f"/images/{image.pk}/provenance").status_code == 404
    retract_image(image)
    for address in (f"/images/{image.pk}/provenance", f"/api/images/{image.pk}/provenance"):
        assert client.get(address).status_code == 410


def test_of_a_restricted_picture_only_what_its_page_tells_is_told(client, image):
    Image.objects.filter(pk=image.pk).update(rating=Rating.EXPLICIT)
    found = told(client, image)
    assert [step["kind"] for step in found["steps"]] == ["picture", "run"]
    assert all(step["is_redacted"] for step in found["steps"])
    assert found["dependents"] == []
    text = json.dumps(found) + client.get(f"/images/{image.pk}/provenance").content.decode()
    for secret in (image.sha256, "neon", "The_Moon", "The Moon", "white moon"):
        assert secret not in text
    adult = Client()
    adult.post("/age-confirmation")
    assert "neon" not in json.dumps(told(adult, image)), "the API asks for it each time"
    assert "drawing" in steps(adult, image, "?nsfw=show")
    assert "white moon" in adult.get(f"/images/{image.pk}/provenance").content.decode()


def test_a_reference_that_is_private_is_not_named(client, ada, image, reference):
    set_album_public(reference.albums.get(), is_public=False)
    found = steps(client, image)["reference"]
    assert (found["url"], found["facts"], found["is_redacted"]) == (None, {}, True)
    assert "sketch" not in json.dumps(found)
    client.force_login(ada)
    assert steps(client, image)["reference"]["title"] == "A sketch"


def test_a_reference_that_is_restricted_is_linked_without_its_name(client, image, reference):
    Image.objects.filter(pk=reference.pk).update(rating=Rating.EXPLICIT)
    found = steps(client, image)["reference"]
    assert found["title"] == "A picture"
    assert reference.sha256 not in json.dumps(found)


def test_a_reference_that_was_purged_leaves_its_hash_to_admins(client, ada, image, reference):
    digest = reference.sha256
    reference.delete()
    assert digest not in json.dumps(told(client, image))
    client.force_login(ada)
    assert steps(client, image)["reference"]["facts"]["sha256"] == digest


def test_a_picture_of_a_private_run_in_a_public_album_keeps_the_run_s_words(client, run, image):
    set_album_public(run.album, is_public=False)
    add_images(create_album(name="Best of"), [image])
    found = steps(client, image)
    assert (found["run"]["title"], found["run"]["facts"]) == ("A run", {})
    assert "template" not in found
    assert "drawing" in found, "the picture's own prompt is as public as on its page"


def test_an_archived_template_is_not_named_to_the_public(client, ada, image):
    BatchTemplate.objects.update(is_archived=True)
    found = steps(client, image)["template"]
    assert (found["title"], found["url"], found["facts"]) == ("A template", None, {})
    client.force_login(ada)
    assert steps(client, image)["template"]["title"] == "Skies"


def test_a_template_that_was_changed_since_is_told_as_it_was(client, run, image):
    make_template(template=BatchTemplate.objects.get(), style_suffix="soft edges")
    facts = steps(client, image)["template"]["facts"]
    assert (facts["version"], facts["style_suffix"]) == (1, "crisp lines")


def test_what_started_from_a_picture_is_told_of_it(client, run, reference):
    found = told(client, reference)
    assert found["dependents"] == [{"name": "Skies", "url": f"/runs/{run.pk}"}]
    assert f'href="/runs/{run.pk}"' in client.get(f"/images/{reference.pk}/provenance").content.decode()
    delete_album(run.album)
    assert told(client, reference)["dependents"] == [], "what is private now is not told"


def test_a_picture_whose_run_is_gone_still_tells_its_recipe(client, run, image):
    Image.objects.filter(pk=image.pk).update(source_id=None)
    BatchGenerationRun.objects.update(album=None)
    found = steps(client, image)
    assert "run" not in found and "drawing" in found


def test_the_queries_do_not_grow_with_the_run(client, run, image, django_assert_max_num_queries):
    with django_assert_max_num_queries(16):
        told(client, image)
