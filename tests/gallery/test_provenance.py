"""The way of pictures that came from elsewhere, and of those that claim anything."""

import json

import pytest

from gallery.models import Image

HOSTILE = "<script>alert(1)</script>"


def told(client, image) -> list[dict]:
    return client.get(f"/api/images/{image.pk}/provenance").json()["steps"]


def test_of_an_upload_everybody_learns_what_and_when_and_admins_its_hash(visitor, curator, take_in, album):
    image = take_in(1, album=album)
    [step] = told(visitor, image)
    assert (step["kind"], step["title"]) == ("picture", "Uploaded")
    assert set(step["facts"]) == {"width", "height", "arrived_at"}
    [known] = told(curator, image)
    assert known["facts"]["sha256"] == image.sha256
    page = visitor.get(f"/images/{image.pk}/provenance").content.decode()
    assert "Uploaded" in page and image.sha256 not in page


def test_what_a_file_says_of_itself_is_called_a_claim(visitor, take_in, album):
    image = take_in(1, album=album, prompt="a fox", generation_params={"seed": 7, "steps": 20})
    claim = told(visitor, image)[1]
    assert (claim["kind"], claim["title"]) == ("claim", "What its file says")
    assert claim["facts"] == {"prompt": "a fox", "seed": 7, "steps": 20}


@pytest.mark.parametrize(
    "claims",
    [
        {"model": {"name": ["a"], "hash": {}}, "loras": "ink"},
        {"model": HOSTILE, "loras": [HOSTILE, {"name": HOSTILE, "sha256": ["x"], "weight": {"a": 1}}]},
        {"loras": [{"sha256": 7}, None, {}], "seed": [1], "steps": {"a": 1}},
        {"reference_sha256": {"a": 1}, "scheduler": HOSTILE, "libraries": "none"},
        {"model": {"name": "x" * 100_000}, "seed": 10**40},
    ],
)
def test_claims_of_any_shape_break_no_page_and_become_no_markup(visitor, take_in, album, claims):
    for source in ("manual", "batch_generation"):
        image = take_in(1, album=album, source_type=source, generation_params=claims, prompt=HOSTILE)
        page = visitor.get(f"/images/{image.pk}/provenance")
        assert page.status_code == 200
        assert HOSTILE not in page.content.decode()
        assert len(json.dumps(told(visitor, image))) < 20_000


def test_the_picture_s_page_leads_there(visitor, take_in, album):
    image = take_in(1, album=album)
    assert f'href="/images/{image.pk}/provenance"' in visitor.get(f"/images/{image.pk}").content.decode()


@pytest.mark.parametrize("pk", ["4711", "9" * 18, "9" * 30])
def test_what_is_not_there_has_no_provenance(visitor, pk):
    assert visitor.get(f"/images/{pk}/provenance").status_code == 404
    assert visitor.get(f"/api/images/{pk}/provenance").status_code == 404


def test_search_engines_are_kept_out_and_nobody_else_keeps_the_page(visitor, take_in, album):
    image = take_in(1, album=album)
    page = visitor.get(f"/images/{image.pk}/provenance")
    assert page.headers["Cache-Control"] == "private, no-cache"
    assert 'content="noindex"' in page.content.decode()
    assert Image.objects.count() == 1
