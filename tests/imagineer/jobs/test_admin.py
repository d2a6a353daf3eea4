import re

import pytest
from django.urls import reverse
from django.utils import timezone

from imagineer.jobs.models import Job, JobStatus, Worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


@pytest.fixture
def strict_desk(ada):
    """A browser whose form posts are checked."""
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    return client


def make(**fields) -> Job:
    return Job.objects.create(**({"kind": "errand", "queue": "default", "total": 9, "done": 4} | fields))


def make_running(**fields) -> Job:
    return make(status=JobStatus.RUNNING, lease_until=timezone.now(), **fields)


def url(name: str, job: Job) -> str:
    return reverse(f"admin:jobs_job_{name}", args=[job.pk])


def test_nobody_finds_the_pages_of_the_broker(desk, admin_client):
    for client in (desk, admin_client):
        assert client.get("/admin/django_q/").status_code == 404
        assert client.get("/admin/django_q/schedule/add/").status_code == 404


def test_the_list_is_the_queue(desk):
    make_running(failed=1, message="drawing the Tower")
    page = desk.get(reverse("admin:jobs_job_changelist")).content.decode()
    assert "4 of 9, 1 failed" in page and "drawing the Tower" in page
    assert "Add job" not in page


def test_the_list_asks_as_many_questions_for_many_jobs(desk, django_assert_max_num_queries):
    worker = Worker.objects.create(host="h", pid=1, boot="b", process_started=1.0)
    for _ in range(30):
        make_running(owner=worker)
    with django_assert_max_num_queries(8):
        desk.get(reverse("admin:jobs_job_changelist"))


def test_the_page_of_a_running_job_shows_a_bar_its_log_and_a_way_to_cancel(desk):
    job = make_running(message="<script>alert(1)</script>", log_tail="12:00:00 fetched", error="")
    page = desk.get(url("change", job)).content.decode()
    assert re.search(r'<progress[^>]* max="9" value="4"', page)
    assert "12:00:00 fetched" in page and "<script>alert(1)" not in page
    assert url("cancel", job) in page and url("retry", job) not in page
    assert 'name="_save"' not in page


def test_the_page_of_a_failed_job_shows_why_and_a_way_to_retry(desk):
    job = make(status=JobStatus.FAILED, finished_at=timezone.now(), error="The disk was full.")
    page = desk.get(url("change", job)).content.decode()
    assert "The disk was full." in page
    assert url("retry", job) in page and url("cancel", job) not in page


def test_the_page_obeys_the_content_policy(desk):
    page = desk.get(url("change", make_running())).content.decode()
    assert "onclick" not in page and "style=" not in page
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_cancel_and_retry_are_posts_with_a_token(strict_desk):
    job = make()
    assert strict_desk.post(url("cancel", job)).status_code == 403
    page = strict_desk.get(url("change", job)).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    for name, status in (("cancel", JobStatus.CANCELLED), ("retry", JobStatus.QUEUED)):
        assert strict_desk.get(url(name, job)).status_code == 405
        answer = strict_desk.post(url(name, job), {"csrfmiddlewaretoken": token})
        assert answer.status_code == 302
        job.refresh_from_db()
        assert job.status == status


def test_what_cannot_be_done_is_said_on_the_page(desk):
    job = make(status=JobStatus.COMPLETED, finished_at=timezone.now(), done=9)
    page = desk.post(url("cancel", job), follow=True).content.decode()
    assert "completed already" in page


def test_progress_is_told_to_those_who_may_see_it(desk, client, stranger):
    job = make_running(failed=1, message="item 4")
    state = desk.get(url("progress", job)).json()
    assert state["status"] == "Running" and state["is_active"]
    assert (state["done"], state["failed"], state["total"], state["message"]) == (4, 1, 9, "item 4")
    client.force_login(stranger)
    for name in ("progress", "cancel", "retry", "change"):
        assert client.post(url(name, job)).status_code == 302, "to the sign-in"
    job.refresh_from_db()
    assert job.cancel_requested_at is None


def test_staff_without_the_right_may_look_and_not_touch(client, stranger):
    from django.contrib.auth.models import Permission

    stranger.is_staff = True
    stranger.save()
    stranger.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(stranger)
    job = make()
    page = client.get(url("change", job)).content.decode()
    assert url("cancel", job) not in page
    assert client.post(url("cancel", job)).status_code == 403


def test_a_running_job_cannot_be_deleted_and_an_ended_one_can(desk):
    running, ended = make_running(), make(status=JobStatus.CANCELLED, finished_at=timezone.now())
    assert desk.post(url("delete", running), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [running.pk, ended.pk], "post": "yes"}
    desk.post(reverse("admin:jobs_job_changelist"), chosen)
    assert Job.objects.filter(pk=running.pk).exists()
    desk.post(url("delete", ended), {"post": "yes"})
    assert list(Job.objects.all()) == [running]


def test_workers_are_listed_and_not_touched(desk):
    Worker.objects.create(
        host="h", queue="gpu", pid=1, boot="b", process_started=1.0, device="cuda:0", memory=2e9
    )
    page = desk.get(reverse("admin:jobs_worker_changelist")).content.decode()
    assert "cuda:0" in page and "2,000 MB" in page
    assert desk.get(reverse("admin:jobs_worker_add")).status_code == 403
