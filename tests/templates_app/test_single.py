import pytest
from django.core.cache import cache

from imagineer.jobs import runner
from imagineer.jobs.models import Job
from templates_app.models import BatchGenerationRun

pytestmark = pytest.mark.django_db

ADDRESS = "/api/generate"


@pytest.fixture(autouse=True)
def a_fresh_minute():
    cache.clear()


def test_an_order_of_one_prompt_answers_the_run_and_where_its_job_is(admin_api, ada):
    answer = admin_api.post(
        ADDRESS, {"prompt": " a red crab ", "seed": 5, "variants": 2, "steps": 3, "width": 64, "height": 72}
    )
    assert answer.status_code == 201
    body = answer.json()
    assert answer["Location"] == f"/api/jobs/{body['id']}"
    assert (body["status"], body["total_items"], body["album_name"]) == ("queued", 2, "a red crab")
    run = BatchGenerationRun.objects.get(pk=body["id"])
    assert run.job.created_by == ada
    items = list(run.items.values_list("prompt", "seed", "steps", "width", "height"))
    assert items == [("a red crab", 5, 3, 64, 72), ("a red crab", 6, 3, 64, 72)]


@pytest.mark.django_db(transaction=True)
def test_it_is_drawn_into_an_album_of_its_own(admin_api, tiny):
    body = admin_api.post(
        ADDRESS, {"prompt": "a crab", "steps": 1, "album_name": "Crabs", "is_public": False}
    ).json()
    runner.run_inline(Job.objects.get(pk=body["id"]))
    run = BatchGenerationRun.objects.get(pk=body["id"])
    assert (run.album.name, run.album.is_public, run.album.image_count) == ("Crabs", False, 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"steps": 0}, "steps"),
        ({"steps": 151}, "steps"),
        ({"width": 56}, "width"),
        ({"height": 2056}, "height"),
        ({"width": 100}, "width"),
        ({"guidance_scale": 30.5}, "guidance_scale"),
        ({"variants": 17}, "variants"),
        ({"model": "none"}, "model"),
        ({"rows": "1"}, "rows"),
        ({"user_theme": "neon"}, "user_theme"),
        ({"output": "/etc/passwd"}, "output"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_queued(admin_api, changes, field):
    answer = admin_api.post(ADDRESS, {"prompt": "a crab"} | changes)
    assert answer.status_code == 400
    assert field in answer.json()["fields"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": f" {'x' * 2000} ", "negative_prompt": "x" * 2000},
        {"seed": 0, "steps": 1, "width": 64, "height": 64, "guidance_scale": 0},
        {"seed": 2**31 - 1, "steps": 150, "width": 2048, "height": 2048, "guidance_scale": 30},
        {"prompt": "\u202esigns that no name may hold\u200b\ufeff"},
        {"prompt": "\u200b"},
        {"prompt": "{a|b} <script>alert('1')</script> \"quoted\"\nand a line"},
    ],
)
def test_the_limits_themselves_are_let_in(admin_api, changes):
    assert admin_api.post(ADDRESS, {"prompt": "a crab"} | changes).status_code == 201


def test_it_is_the_admins_alone(api, stranger):
    assert api.post(ADDRESS, {"prompt": "a crab"}).status_code == 401
    api.force_authenticate(stranger)
    assert api.post(ADDRESS, {"prompt": "a crab"}).status_code == 403
    assert not Job.objects.exists()


def test_the_eleventh_order_in_a_minute_is_refused_and_says_when_to_come_again(admin_api):
    answers = [admin_api.post(ADDRESS, {"prompt": "a crab"}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert answers[-1]["Retry-After"].isdigit()
    assert Job.objects.count() == 10


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "a nude figure"),
        ({"rating": "explicit"}, "Single picture"),
        ({"rating": "explicit", "is_public": False}, "a nude figure"),
        ({"rating": "explicit", "album_name": "Figures"}, "Figures"),
    ],
)
def test_a_public_album_is_not_named_by_the_prompt_of_a_restricted_picture(admin_api, options, name):
    body = admin_api.post(ADDRESS, {"prompt": "a nude figure", **options}).json()
    assert body["album_name"] == name
