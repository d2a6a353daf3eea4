import pytest

from gallery.ingest import ingest_image
from gallery.models import Lora
from gallery.services import add_images, create_album, delete_album, set_album_public
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app.models import BatchGenerationRun
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

ORDER = {"album_name": "Skies", "user_theme": "neon"}


def order(client, template, **changes):
    return client.post(f"/api/batch-templates/{template.pk}/generate", ORDER | changes, format="json")


# ---- Lists


@pytest.mark.parametrize(
    "path", ["batch-templates", "batch-templates/{template}/runs", "runs", "runs/{run}/items"]
)
def test_the_queries_of_a_list_do_not_grow_with_its_rows(path, api, django_assert_max_num_queries):
    template = make_template()
    run = start_run(template)
    address = "/api/" + path.format(template=template.pk, run=run.pk)
    api.get(address)
    with django_assert_max_num_queries(5) as few:
        assert api.get(address).status_code == 200
    for number in range(12):
        make_template(name=f"Template {number}")
        start_run(template, album_name=f"Run {number}")
    with django_assert_max_num_queries(len(few)):
        assert api.get(address).status_code == 200


# ---- Orders


def test_an_order_needs_a_sign_in_and_then_the_right(api, stranger):
    template = make_template()
    assert order(api, template).status_code == 401
    api.force_authenticate(stranger)
    answer = order(api, template)
    assert answer.status_code == 403
    assert answer.json()["error"] == "Only an admin may generate here."
    assert not Job.objects.exists()


def test_an_order_of_a_template_that_is_not_there_tells_the_stranger_nothing(api, stranger, admin_api):
    missing = "/api/batch-templates/999/generate"
    assert api.post(missing, ORDER).status_code == 401
    assert admin_api.post(missing, ORDER).status_code == 404
    api.force_authenticate(stranger)
    assert api.post(missing, ORDER).status_code == 403


def test_an_admins_order_is_queued_and_answered_at_once(admin_api):
    template = make_template()
    answer = order(admin_api, template, steps=5, seed=42, rows="1-2", same_seed=True)
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"run", "template", "message"}
    run = body["run"]
    assert (run["status"], run["total_items"], run["completed_items"], run["failed_items"]) == (
        "queued",
        2,
        0,
        0,
    )
    assert (run["album_name"], run["user_theme"], run["rows"], run["same_seed"]) == (
        "Skies",
        "neon",
        "1-2",
        True,
    )
    assert run["template_id"] == template.pk
    assert run["album_id"] is None
    stored = BatchGenerationRun.objects.get(pk=run["id"])
    assert stored.job.created_by.email == "ada@example.org"
    assert set(stored.items.values_list("seed", flat=True)) == {42}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"album_name": ""}, "album_name"),
        ({"album_name": "x" * 201}, "album_name"),
        ({"album_name": "nul\x00"}, "album_name"),
        ({"user_theme": ""}, "user_theme"),
        ({"steps": "many"}, "steps"),
        ({"steps": 151}, "steps"),
        ({"width": 100}, "width"),
        ({"guidance_scale": "NaN"}, "guidance_scale"),
        ({"seed": 2**31}, "seed"),
        ({"rows": "1-99"}, "rows"),
        ({"loras": [{"lora": "none"}]}, "loras"),
        ({"loras": "none"}, "loras"),
        ({"model": "../../etc/passwd"}, "model"),
        ({"rating": "lovely"}, "rating"),
        ({"scheduler": "magic"}, "scheduler"),
    ],
)
def test_a_wrong_order_names_its_field_and_queues_nothing(admin_api, changes, field):
    answer = order(admin_api, make_template(), **changes)
    assert answer.status_code == 400
    body = answer.json()
    assert isinstance(body["error"], str)
    assert body["error"]
    assert field in body["fields"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body", ["not json", "[]", "null", '"text"', '{"album_name": {"a": 1}, "user_theme": []}']
)
def test_a_body_that_is_no_order_is_a_sentence_not_a_crash(admin_api, body):
    template = make_template()
    answer = admin_api.post(
        f"/api/batch-templates/{template.pk}/generate", body, content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_visitors_may_order_where_the_setting_says_so_in_private_and_ten_a_minute(api, settings):
    settings.PUBLIC_GENERATION = True
    template = make_template()
    for _ in range(10):
        answer = order(api, template, is_public=True, rating="safe")
        assert answer.status_code == 202
    run = BatchGenerationRun.objects.first()
    assert not run.is_public
    assert run.rating == ""
    assert answer.json()["run"]["album_name"] is None, "what is private has no name for the public"
    refused = order(api, template)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) >= 1


def test_a_forged_address_does_not_reset_the_throttle(api, settings):
    settings.PUBLIC_GENERATION = True
    template = make_template()
    answers = [
        api.post(
            f"/api/batch-templates/{template.pk}/generate",
            ORDER,
            format="json",
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
        ).status_code
        for number in range(12)
    ]
    assert answers.count(202) == 10


def test_whoever_changes_address_within_an_ipv6_network_is_still_one(api, settings):
    settings.PUBLIC_GENERATION = True
    template = make_template()

    def ask(address):
        path = f"/api/batch-templates/{template.pk}/generate"
        return api.post(path, ORDER, format="json", REMOTE_ADDR=address).status_code

    assert [ask(f"2001:db8:1:2::{number:x}") for number in range(12)].count(202) == 10
    assert ask("2001:db8:1:3::1") == 202


def test_behind_a_proxy_visitors_are_told_apart_by_what_it_saw(api, settings):
    settings.PUBLIC_GENERATION, settings.TRUSTED_PROXIES = True, 1
    template = make_template()

    def ask(number, client):
        return api.post(
            f"/api/batch-templates/{template.pk}/generate",
            ORDER,
            format="json",
            headers={"X-Forwarded-For": f"198.51.100.{number}, {client}"},
        ).status_code

    assert [ask(number, "203.0.113.7") for number in range(12)].count(202) == 10
    assert ask(99, "203.0.113.8") == 202


@pytest.mark.parametrize(
    "changes",
    [{"strength": 0.5}, {"reference_image_id": 1}, {"unknown": 1}, {"model": "x" * 10_000}, {"seed": 10**30}],
)
def test_what_an_order_cannot_have_is_refused_and_not_ignored(admin_api, changes):
    answer = order(admin_api, make_template(), **changes)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == set(changes)


def test_each_limit_is_its_own_sentence(admin_api):
    assert order(admin_api, make_template(), steps=151).json()["fields"] == {
        "steps": ["The number of steps must be from 1 to 150."]
    }


def test_keys_that_say_nothing_may_be_null(admin_api):
    names = "model rows variants steps seed same_seed width height guidance_scale scheduler negative_prompt"
    nothing = dict.fromkeys([*names.split(), "loras", "is_public", "rating"])
    assert order(admin_api, make_template(), **nothing).status_code == 202


def test_a_lora_may_be_named_by_its_id(admin_api):
    lora = Lora.objects.create(name="ink", file="loras/ink", sha256="0" * 64, family="sd15")
    answer = order(admin_api, make_template(), loras=[{"lora": lora.pk}])
    assert answer.json()["run"]["loras"] == [{"lora": "ink", "weight": 1.0}]


# ---- Runs


def test_a_run_and_its_items_can_be_read_by_everybody_when_its_album_will_be_public(api):
    run = start_run()
    body = api.get(f"/api/runs/{run.pk}").json()
    assert body["album_name"] == "Skies"
    items = api.get(f"/api/runs/{run.pk}/items").json()
    assert [item["name"] for item in items["items"]] == ["The_Sun", "The_Moon", "The_Star"]
    assert {item["status"] for item in items["items"]} == {"queued"}


def test_a_private_run_shows_status_and_counts_to_the_public_and_no_texts(api, admin_api):
    run = start_run(is_public=False, album_name="Secret plans", user_theme="secret theme")
    for address in (f"/api/runs/{run.pk}", "/api/runs", f"/api/runs/{run.pk}/items", f"/runs/{run.pk}"):
        answer = api.get(address)
        assert answer.status_code == 200
        text = answer.content.decode()
        assert "ecret" not in text
        assert "The_Sun" not in text
    assert api.get(f"/api/runs/{run.pk}").json()["total_items"] == 3
    assert admin_api.get(f"/api/runs/{run.pk}").json()["album_name"] == "Secret plans"


def test_a_deleted_album_does_not_make_its_texts_public_again(api):
    run = start_run(album_name="Secret plans", user_theme="secret theme")
    album = create_album(name=run.album_name, source_type="batch_generation", source_id=run.pk)
    BatchGenerationRun.objects.update(album=album)
    image = ingest_image(png(), source_type="batch_generation", source_id=run.pk, rating="safe").image
    add_images(album, [image])
    Job.objects.update(done=1)
    assert "ecret" in api.get(f"/api/runs/{run.pk}").content.decode()
    set_album_public(album, is_public=False)
    delete_album(album)
    for address in (f"/api/runs/{run.pk}", f"/runs/{run.pk}", f"/api/runs/{run.pk}/items"):
        text = api.get(address).content.decode()
        assert "ecret" not in text
        assert "The_Sun" not in text


def test_the_words_of_a_run_for_adults_are_for_those_who_may_see_its_pictures(api, admin_api):
    run = start_run(rating="explicit", user_theme="secret theme", negative_prompt="secret too")
    Job.objects.filter(pk=run.pk).take(owner_id=None, now=run.job.created_at, lease_until=run.job.created_at)
    Job.objects.update(message="Drawing The Sun")
    for address in (
        f"/api/runs/{run.pk}",
        "/api/runs",
        f"/runs/{run.pk}",
        f"/runs/{run.pk}/progress",
        f"/api/runs/{run.pk}/items",
    ):
        text = api.get(address).content.decode()
        assert "ecret" not in text, address
        assert "The Sun" not in text, address
        assert "The_Sun" not in text, address
    assert api.get(f"/api/runs/{run.pk}").json()["seed"] is None
    assert admin_api.get(f"/api/runs/{run.pk}").json()["user_theme"] == "secret theme"


def test_why_a_run_failed_is_told_to_admins_since_it_may_name_folders(api, admin_api):
    run = start_run()
    Job.objects.filter(pk=run.pk).queued().take(
        owner_id=None, now=run.job.created_at, lease_until=run.job.created_at
    )
    Job.objects.filter(pk=run.pk).finish(
        JobStatus.FAILED, now=run.job.created_at, error="No folder at /srv/secret"
    )
    assert "/srv/secret" not in api.get(f"/api/runs/{run.pk}").content.decode()
    assert "/srv/secret" not in api.get(f"/runs/{run.pk}").content.decode()
    assert "/srv/secret" in admin_api.get(f"/api/runs/{run.pk}").json()["error_message"]


def test_cancelling_answers_by_the_state_of_the_run(api, admin_api):
    run = start_run()
    address = f"/api/runs/{run.pk}/cancel"
    assert api.post(address).status_code == 401
    answer = admin_api.post(address)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert admin_api.post(address).status_code == 410
    assert admin_api.post("/api/runs/999/cancel").status_code == 404
    running = start_run(make_template(name="Another"))
    Job.objects.filter(pk=running.pk).take(
        owner_id=None, now=running.job.created_at, lease_until=running.job.created_at
    )
    assert admin_api.post(f"/api/runs/{running.pk}/cancel").status_code == 202


def test_retrying_a_run_that_is_not_finished_is_a_conflict(admin_api):
    run = start_run()
    answer = admin_api.post(f"/api/runs/{run.pk}/retry")
    assert answer.status_code == 409
    assert "queued" in answer.json()["error"]
    runner.request_cancel(run.job)
    assert admin_api.post(f"/api/runs/{run.pk}/retry").status_code == 202
    assert BatchGenerationRun.objects.get(pk=run.pk).job.status == JobStatus.QUEUED


def test_runs_are_filtered_by_template_and_status(api):
    run = start_run()
    other = start_run(make_template(name="Another"))
    runner.request_cancel(other.job)

    def ids(query):
        return [entry["id"] for entry in api.get(f"/api/runs?{query}").json()["runs"]]

    assert ids("") == [other.pk, run.pk]
    assert ids("status=cancelled") == [other.pk]
    assert ids(f"template={run.template_version.template_id}") == [run.pk]
    assert api.get("/api/runs?status=pending").status_code == 400


def test_pages_follow_each_other_by_cursor(api):
    template = make_template()
    made = [start_run(template).pk for _ in range(5)]
    seen, address = [], "/api/runs?per_page=2"
    while address:
        body = api.get(address).json()
        seen += [run["id"] for run in body["runs"]]
        address = body["next"]
    assert seen == made[::-1]
    assert api.get("/api/runs?page=201&per_page=50").status_code == 400
    assert api.get("/api/runs?page=3").json()["runs"] == []
    assert api.get("/api/runs?per_page=1000").json()["per_page"] == 100


# ---- The rest of the API


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/", "/api/runs/999", "/api/runs/x", "/api/batch-templates/999"]
)
def test_unknown_addresses_answer_in_the_one_shape(api, path):
    answer = api.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


def test_who_i_am(api, admin_api):
    assert api.get("/api/auth/me").json() == {"authenticated": False}
    assert admin_api.get("/api/auth/me").json() == {
        "authenticated": True,
        "user": {"email": "ada@example.org", "name": "", "is_admin": True},
    }


def test_a_wrong_token_is_refused(api):
    api.credentials(HTTP_AUTHORIZATION="Token nonsense")
    answer = api.get("/api/runs")
    assert answer.status_code == 401
    assert "unknown" in answer.json()["error"]


def test_the_runs_of_a_template_are_told_as_far_as_what_they_draw_is(api, admin_api):
    template = make_template()
    shown, hidden = start_run(template), start_run(template, is_public=False)
    address = f"/api/batch-templates/{template.pk}/runs"
    assert [run["id"] for run in api.get(address).json()["runs"]] == [shown.pk]
    assert [run["id"] for run in admin_api.get(address).json()["runs"]] == [hidden.pk, shown.pk]


def test_the_schema_describes_every_address_without_a_warning(api, capfd):
    answer = api.get("/api/schema")
    assert answer.status_code == 200
    assert {"/api/runs", "/api/batch-templates/{id}/generate"} <= set(answer.json()["paths"])
    said = capfd.readouterr().err
    assert "Warning" not in said, said
    assert "Error" not in said, said


def test_the_docs_come_from_our_own_host_and_stay_inside_the_policy(api):
    page = api.get("/api/docs")
    assert page.status_code == 200
    assert "https://cdn" not in page.content.decode()
    assert "unsafe" not in page["Content-Security-Policy"]
