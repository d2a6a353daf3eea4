"""/queue: who waits for what, for everybody and for those who may work."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from gallery.models import Rating
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.runner import submit
from imagineer.jobs.workers import register_worker, unregister_worker
from templates_app import ordering
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db

SECRET = "a-secret-name"


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def titles(page) -> list[str]:
    return re.findall(r'<p class="title">.*?>\s*([^<]+?)\s*<', page.content.decode(), re.S)


def test_an_empty_queue_says_so(client):
    page = client.get("/queue").content.decode()
    assert "Nothing waits." in page
    assert "No worker is running" in page


def test_everybody_sees_places_and_counts_and_only_admins_the_private_names(client, ada):
    start_run(album_name=SECRET, user_theme=SECRET, is_public=False, rating=Rating.SAFE)
    start_run(make_template(name="Other"), rating=Rating.SAFE)
    page = client.get("/queue")
    assert SECRET not in page.content.decode()
    assert titles(page) == ["Private work", "Skies · neon"]
    assert "3 to do" in page.content.decode()
    client.force_login(ada)
    assert titles(client.get("/queue")) == [f"{SECRET} · {SECRET}", "Skies · neon"]


def test_a_single_picture_stands_before_the_sets(client):
    start_run(rating=Rating.SAFE)
    ordering.start_single("a red crab", rating=Rating.SAFE)
    assert titles(client.get("/queue")) == ["a red crab", "Skies · neon"]


def test_a_message_that_names_a_folder_is_for_admins(client, ada):
    start_run(rating=Rating.SAFE)
    Job.objects.update(message="/srv/models is away")
    assert "/srv" not in client.get("/queue").content.decode()
    client.force_login(ada)
    assert "/srv/models is away" in client.get("/queue").content.decode()


def test_the_part_that_changes_comes_without_the_frame(client):
    start_run()
    part = client.get("/queue?part").content.decode()
    assert "<html" not in part and "data-is-busy" in part
    assert client.get("/queue?part")["Cache-Control"] == "private, no-cache"


def test_an_idle_queue_is_asked_less_often(client):
    assert "data-is-busy" not in client.get("/queue?part").content.decode()


def test_only_those_who_may_work_get_buttons(client, stranger, ada):
    submit(kind="errand"), submit(kind="errand")
    for who in (None, stranger):
        if who:
            client.force_login(who)
        assert "formaction" not in client.get("/queue").content.decode()
    client.force_login(ada)
    assert client.get("/queue").content.decode().count("To the front") == 1, "the first is there already"


def test_an_admin_moves_a_job_to_the_front_and_comes_back(desk):
    first, second = submit(kind="errand"), submit(kind="errand")
    answer = desk.post(f"/admin/jobs/job/{second.pk}/front/", {"next": "/queue"})
    assert answer["Location"] == "/queue"
    assert list(Job.objects.order_by("-priority", "pk")) == [second, first]


def test_an_admin_cancels_from_the_queue_and_comes_back(desk):
    job = submit(kind="errand")
    answer = desk.post(f"/admin/jobs/job/{job.pk}/cancel/", {"next": "/queue"}, follow=True)
    assert "cancelled" in answer.content.decode()
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(desk, elsewhere):
    job = submit(kind="errand")
    answer = desk.post(f"/admin/jobs/job/{job.pk}/cancel/", {"next": elsewhere})
    assert answer["Location"] == f"/admin/jobs/job/{job.pk}/change/"


def test_a_job_that_runs_already_has_no_front(desk):
    job = submit(kind="errand")
    Job.objects.update(status=JobStatus.RUNNING, lease_until=timezone.now())
    answer = desk.post(f"/admin/jobs/job/{job.pk}/front/", {"next": "/queue"}, follow=True)
    assert "no place in the queue" in answer.content.decode()


def test_the_buttons_need_a_csrf_token_and_the_right(ada, stranger):
    job = submit(kind="errand")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(f"/admin/jobs/job/{job.pk}/front/").status_code == 403
    plain = Client()
    plain.force_login(stranger)
    plain.post(f"/admin/jobs/job/{job.pk}/front/")
    job.refresh_from_db()
    assert job.priority == 0


def test_names_are_escaped(client, ada):
    start_run(album_name="<script>alert(1)</script>", rating=Rating.SAFE)
    client.force_login(ada)
    assert "<script>alert" not in client.get("/queue").content.decode()


def test_a_job_whose_worker_is_dead_is_not_called_running(client):
    owner = register_worker("gpu")
    start_run(rating=Rating.SAFE)
    Job.objects.queued().take(owner_id=owner.pk, now=timezone.now(), lease_until=timezone.now())
    assert "cut off" not in client.get("/queue").content.decode()
    Worker.objects.filter(pk=owner.pk).update(process_started=1.0)
    assert "cut off; the next worker goes on with it" in client.get("/queue").content.decode()
    unregister_worker()
