"""/api/jobs: what programs are told of the work, and how they cancel it."""

import pytest
from django.utils import timezone

from gallery.models import Rating
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.runner import claim, move_to_front, submit
from templates_app import ordering
from templates_app.models import BatchGenerationRun
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db

SECRET = "a-secret-name"
OPEN = {
    "id",
    "kind",
    "queue",
    "status",
    "queue_position",
    "total_items",
    "completed_items",
    "failed_items",
    "is_cancelling",
    "created_at",
    "started_at",
    "completed_at",
    "url",
}


def make(**fields) -> Job:
    return Job.objects.create(**({"kind": "errand", "queue": "default", "total": 9, "done": 4} | fields))


def test_jobs_of_every_kind_stand_in_one_list_newest_first(api):
    errand, run = submit(kind="errand"), start_run()
    answer = api.get("/api/jobs").json()
    assert [(job["id"], job["kind"]) for job in answer["jobs"]] == [
        (run.pk, "generation"),
        (errand.pk, "errand"),
    ]
    assert answer["total"] == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=generation", 1),
        ("kind=errand", 2),
        ("kind=nonsense", 0),
        ("status=completed", 1),
        ("status=queued", 2),
        ("queue=gpu", 1),
        ("kind=errand&status=queued", 1),
    ],
)
def test_the_list_is_narrowed_by_kind_status_and_queue(api, query, found):
    submit(kind="errand")
    make(status=JobStatus.COMPLETED, finished_at=timezone.now())
    start_run()
    assert api.get(f"/api/jobs?{query}").json()["total"] == found


@pytest.mark.parametrize("query", ["status=pending", "queue=printer", "owner=1"])
def test_a_filter_that_is_wrong_or_not_known_is_refused(api, query):
    assert api.get(f"/api/jobs?{query}").status_code == 400


def test_a_job_tells_its_counts_times_and_place(api):
    first, second = submit(kind="errand", total=9), submit(kind="errand", total=9)
    move_to_front(second)
    claim("gpu")
    told = api.get(f"/api/jobs/{first.pk}").json()
    assert (told["status"], told["total_items"], told["completed_items"]) == ("queued", 9, 0)
    assert told["queue_position"] == 2
    assert told["created_at"].endswith("Z") and told["started_at"] is None
    assert api.get(f"/api/jobs/{second.pk}").json()["queue_position"] == 1
    claim("default")
    running = api.get(f"/api/jobs/{second.pk}").json()
    assert (running["status"], running["queue_position"]) == ("running", None)


def test_the_words_of_a_private_job_are_for_admins(api, admin_api):
    run = start_run(album_name=SECRET, user_theme=SECRET, is_public=False, rating=Rating.SAFE)
    Job.objects.update(message=SECRET, error=SECRET, log_tail=SECRET, params={"prompt": SECRET})
    for address in (f"/api/jobs/{run.pk}", "/api/jobs"):
        assert SECRET not in api.get(address).content.decode()
    told = api.get(f"/api/jobs/{run.pk}").json()
    assert {name for name, value in told.items() if value is not None} <= OPEN
    known = admin_api.get(f"/api/jobs/{run.pk}").json()
    assert known["title"] == f"{SECRET} · {SECRET}"
    assert known["message"] == known["error_message"] == SECRET


def test_of_what_will_be_public_everybody_learns_the_title_and_no_reasons(api):
    run = start_run(rating=Rating.SAFE)
    Job.objects.update(message="/srv/models is away", error="/srv/models is away")
    told = api.get(f"/api/jobs/{run.pk}").json()
    assert told["title"] == "Skies · neon"
    assert told["url"] == f"/runs/{run.pk}"
    assert "/srv" not in str(told)


def test_a_job_of_a_kind_that_tells_nothing_is_counts_and_times(api, admin_api):
    job = make(message=SECRET)
    told = api.get(f"/api/jobs/{job.pk}").json()
    assert (told["kind"], told["completed_items"], told["title"], told["message"]) == (
        "errand",
        4,
        None,
        None,
    )
    assert admin_api.get(f"/api/jobs/{job.pk}").json()["message"] == SECRET


def test_no_answer_names_a_person(admin_api, ada):
    start_run(created_by=ada)
    assert ada.email not in admin_api.get("/api/jobs").content.decode()


def test_the_queries_of_the_list_do_not_grow_with_its_rows(api, django_assert_max_num_queries):
    template = make_template()
    start_run(template), submit(kind="errand")
    with django_assert_max_num_queries(6) as few:
        assert api.get("/api/jobs").status_code == 200
    for _ in range(10):
        start_run(template), submit(kind="errand")
    with django_assert_max_num_queries(len(few)):
        assert api.get("/api/jobs").status_code == 200


# ---- Cancel


def test_a_waiting_job_is_cancelled_at_once(admin_api):
    run = start_run()
    answer = admin_api.delete(f"/api/jobs/{run.pk}")
    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["status"]) == (True, "cancelled")


def test_a_running_job_is_asked_to_stop(admin_api):
    run = start_run()
    claim("gpu")
    answer = admin_api.delete(f"/api/jobs/{run.pk}")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["is_cancelling"]) == ("running", True)
    assert admin_api.delete(f"/api/jobs/{run.pk}").status_code == 202, "asking twice changes nothing"


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_finished_job_is_gone(admin_api, status):
    job = make(status=status, finished_at=timezone.now())
    answer = admin_api.delete(f"/api/jobs/{job.pk}")
    assert answer.status_code == 410
    assert status in answer.json()["error"]
    assert Job.objects.get().status == status


@pytest.mark.parametrize("pk", ["4711", "9" * 18, "9" * 19, "9" * 40, "-1", "x", "0"])
def test_a_job_that_is_not_there_is_404(admin_api, pk):
    assert admin_api.get(f"/api/jobs/{pk}").status_code == 404
    assert admin_api.delete(f"/api/jobs/{pk}").status_code == 404


def test_cancelling_asks_for_the_sign_in_then_the_right_then_the_job(api, stranger):
    run = start_run()
    for pk in (run.pk, 4711):
        assert api.delete(f"/api/jobs/{pk}").status_code == 401
    api.force_authenticate(stranger)
    for pk in (run.pk, 4711):
        assert api.delete(f"/api/jobs/{pk}").status_code == 403
    assert Job.objects.get().is_active


def test_what_generate_answers_as_location_is_its_job(admin_api):
    answer = admin_api.post("/api/generate", {"prompt": "a crab"})
    assert answer.status_code == 201
    told = admin_api.get(answer["Location"]).json()
    assert told["id"] == answer.json()["id"]
    assert Job.objects.get().priority == ordering.INTERACTIVE
    assert BatchGenerationRun.objects.get().pk == told["id"]
