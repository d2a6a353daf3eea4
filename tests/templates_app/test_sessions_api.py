import pytest

from gallery.models import Album, Image
from gallery.services import create_album
from templates_app import sessions
from templates_app.models import GenerationSession
from tests.templates_app.test_sessions import begin, first_step, pretend_drawn

pytestmark = pytest.mark.django_db

ADDRESS = "/api/sessions"
SMALL = {"steps": 1, "variants": 2, "width": 64, "height": 64}


def test_a_session_is_begun_gone_on_with_kept_from_and_completed(admin_api):
    answer = admin_api.post(ADDRESS, {"prompt": "a crab"} | SMALL)
    assert answer.status_code == 201
    session = answer.json()
    assert (session["name"], session["status"], session["step_count"], session["image_count"]) == (
        "a crab",
        "active",
        1,
        0,
    )
    here = f"{ADDRESS}/{session['id']}"
    [step] = admin_api.get(f"{here}/steps").json()["steps"]
    assert (step["prompt"], step["status"], step["total_items"], step["parent_id"]) == (
        "a crab",
        "queued",
        2,
        None,
    )
    one, two = pretend_drawn(GenerationSession.objects.get().steps.get())
    chosen = admin_api.post(f"{here}/steps/{step['id']}/choose", {"image_id": one.pk}).json()
    assert chosen["chosen_image_id"] == one.pk
    assert [row["image_id"] for row in chosen["alternatives"]] == [one.pk, two.pk]
    second = admin_api.post(f"{here}/steps", {"prompt": "brass", "parent_id": step["id"], "strength": 0.5})
    assert second.status_code == 201
    assert (second.json()["reference_image_id"], second.json()["strength"], second.json()["width"]) == (
        one.pk,
        0.5,
        64,
    )
    kept = admin_api.post(
        f"{here}/steps/{step['id']}/keep", {"image_ids": [two.pk], "album_name": "Crabs", "is_public": False}
    ).json()
    assert kept == {
        "success": True,
        "added": 1,
        "album_id": Album.objects.get(name="Crabs", is_public=False).pk,
    }
    discarded = admin_api.post(f"{here}/steps/{step['id']}/discard", {"image_ids": [one.pk]})
    assert discarded.json() == {"success": True, "discarded": 1}
    shown = admin_api.get(f"{here}/steps").json()["steps"][1]
    assert [(row["is_kept"], row["is_discarded"]) for row in shown["alternatives"]] == [
        (False, True),
        (True, False),
    ]
    assert (
        admin_api.post(f"{here}/steps/{step['id']}/restore", {"image_ids": [one.pk]}).json()["restored"] == 1
    )
    assert admin_api.post(f"{here}/complete", {}).status_code == 409
    assert admin_api.post(f"{here}/steps/{second.json()['id']}/cancel").json()["status"] == "cancelled"
    assert admin_api.post(f"{here}/steps/{second.json()['id']}/cancel").status_code == 410
    assert admin_api.post(f"{here}/steps/{second.json()['id']}/retry").status_code == 202
    assert admin_api.post(f"{here}/steps/{second.json()['id']}/retry").status_code == 409
    admin_api.post(f"{here}/steps/{second.json()['id']}/cancel")
    done = admin_api.post(f"{here}/complete", {"discard_rest": True}).json()
    assert (done["status"], done["kept_count"], done["image_count"]) == ("completed", 1, 2)
    assert done["completed_at"].endswith("Z")
    assert admin_api.post(f"{here}/abandon").status_code == 409


def test_the_public_learns_status_and_counts_and_nothing_of_what_is_looked_for(api):
    session = begin("a secret crab", negative_prompt="a secret")
    pretend_drawn(first_step(session))
    for address in (ADDRESS, f"{ADDRESS}/{session.pk}", f"{ADDRESS}/{session.pk}/steps"):
        answer = api.get(address)
        assert answer.status_code == 200
        assert b"secret" not in answer.content
    row = api.get(f"{ADDRESS}/{session.pk}").json()
    assert (row["status"], row["step_count"], row["image_count"]) == ("active", 1, 2)
    assert row["name"] is row["source_image_id"] is row["album_id"] is None
    [step] = api.get(f"{ADDRESS}/{session.pk}/steps").json()["steps"]
    assert (step["status"], step["completed_items"]) == ("completed", 2)
    assert {name for name, value in step.items() if value is None} >= {
        "prompt",
        "negative_prompt",
        "model",
        "loras",
        "seed",
        "alternatives",
        "reference_image_id",
        "chosen_image_id",
    }
    image = Image.objects.first()
    assert api.get(f"/api/images/{image.pk}").status_code == 404
    assert api.get("/api/images").json()["total"] == 0


def test_writes_ask_for_the_sign_in_then_for_the_right_then_for_the_object(api, stranger, admin_api):
    session = begin()
    step = first_step(session)
    paths = [
        "",
        *(f"/{pk}/{verb}" for pk in (session.pk, 999) for verb in ("steps", "complete", "abandon")),
        *(
            f"/{session.pk}/steps/{pk}/{verb}"
            for pk in (step.pk, 999)
            for verb in ("choose", "keep", "discard", "restore", "retry", "cancel")
        ),
    ]
    assert {api.post(ADDRESS + path, {}).status_code for path in paths} == {401}
    api.force_authenticate(stranger)
    assert {api.post(ADDRESS + path, {}).status_code for path in paths} == {403}
    missing = [path for path in paths if "999" in path]
    assert {admin_api.post(ADDRESS + path, {}).status_code for path in missing} == {404}
    other = first_step(begin())
    assert admin_api.post(f"{ADDRESS}/{session.pk}/steps/{other.pk}/retry").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {"prompt": ""}, "prompt"),
        ("", {"prompt": "x" * 2001}, "prompt"),
        ("", {}, "prompt"),
        ("", {"prompt": "x", "source_image_id": 999}, "source_image_id"),
        ("", {"prompt": "x", "source_image_id": 2**70}, "source_image_id"),
        ("", {"prompt": "x", "parent_id": 1}, "parent_id"),
        ("", {"prompt": "x", "name": "a\nb"}, "name"),
        ("", {"prompt": "x", "variants": 17}, "variants"),
        ("", {"prompt": "x", "variants": 0}, "variants"),
        ("", {"prompt": "x", "steps": 151}, "steps"),
        ("", {"prompt": "x", "seed": 2**31}, "seed"),
        ("", {"prompt": "x", "has_own_album": True}, "has_own_album"),
        ("", {"prompt": "x", "loras": [{"lora": "none"}]}, "loras"),
        ("/steps", {"prompt": "x", "parent_id": 999}, "parent_id"),
        ("/steps", {"prompt": "x", "image_id": 999}, "image_id"),
        ("/steps", {"prompt": "x", "strength": 0.5}, "strength"),
        ("/steps", {"prompt": "x", "reference_image_id": 1}, "reference_image_id"),
        ("/steps/{step}/choose", {"image_id": 999}, "image_id"),
        ("/steps/{step}/choose", {}, "image_id"),
        ("/steps/{step}/keep", {"image_ids": []}, "image_ids"),
        ("/steps/{step}/keep", {"image_ids": [999], "album_name": "x"}, "image_ids"),
        ("/steps/{step}/keep", {"image_ids": list(range(17)), "album_name": "x"}, "image_ids"),
        ("/steps/{step}/keep", {"image_ids": ["one"], "album_name": "x"}, "image_ids"),
        ("/steps/{step}/keep", {"image_ids": [1], "album_id": 999}, "album_id"),
        ("/steps/{step}/discard", {"image_ids": "all"}, "image_ids"),
        ("/complete", {"discard_rest": "perhaps"}, "discard_rest"),
    ],
)
def test_wrong_input_names_its_field_and_changes_nothing(admin_api, path, body, field):
    session = begin()
    address = ADDRESS + (path and f"/{session.pk}{path.format(step=first_step(session).pk)}")
    answer = admin_api.post(address, body)
    assert (answer.status_code, list(answer.json().get("fields", {}))) == (400, [field]), answer.json()
    assert GenerationSession.objects.count() == session.steps.count() == 1
    assert not Album.objects.exists()


def test_an_album_is_named_or_described_not_both(admin_api):
    session = begin()
    step = first_step(session)
    one, _two = pretend_drawn(step)
    album = create_album(name="Mine")
    address = f"{ADDRESS}/{session.pk}/steps/{step.pk}/keep"
    body = {"image_ids": [one.pk], "album_id": album.pk}
    assert admin_api.post(address, body | {"is_public": False}).status_code == 400
    assert admin_api.post(address, body | {"album_name": "x"}).status_code == 400
    assert admin_api.post(address, body).json()["album_id"] == album.pk
    assert Album.objects.count() == 1


def test_hostile_words_come_back_as_they_were_written(admin_api):
    words = "{a|b} <script>alert(1)</script> \"q\" 'q' {prompt}\n\tline % \\ \u202e"
    session = admin_api.post(ADDRESS, {"prompt": words} | SMALL).json()
    [step] = admin_api.get(f"{ADDRESS}/{session['id']}/steps").json()["steps"]
    assert step["prompt"] == words.strip()


def test_lists_filter_and_their_queries_do_not_grow(api, admin_api, django_assert_max_num_queries):
    first = begin()
    for client in (api, admin_api):
        for path in ("", f"/{first.pk}/steps"):
            client.get(ADDRESS + path)
            with django_assert_max_num_queries(8) as few:
                assert client.get(ADDRESS + path).status_code == 200
            for _ in range(4):
                begin()
                sessions.add_step(first, "more")
            with django_assert_max_num_queries(len(few)):
                assert client.get(ADDRESS + path).status_code == 200
    sessions.abandon_session(first)
    assert api.get(f"{ADDRESS}?status=abandoned").json()["total"] == 1
    assert api.get(f"{ADDRESS}?entry_type=refinement").json()["total"] == 0
    assert api.get(f"{ADDRESS}?status=lost").status_code == 400


def test_the_runs_of_steps_keep_their_words_from_the_public(api):
    session = begin("a secret crab")
    run = first_step(session).run
    pretend_drawn(first_step(session))
    for address in (f"/api/runs/{run.pk}", f"/api/runs/{run.pk}/items", "/api/runs", f"/runs/{run.pk}"):
        assert b"secret" not in api.get(address).content, address
