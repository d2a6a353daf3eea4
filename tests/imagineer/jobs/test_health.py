import subprocess
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from imagineer.jobs import health, processes
from imagineer.jobs.models import Job, JobStatus, Worker


def make_worker(queue: str, **fields) -> Worker:
    return Worker.objects.create(host="h", queue=queue, pid=1, boot="b", process_started=1.0, **fields)


@pytest.mark.django_db
def test_all_is_well_while_both_queues_have_a_worker():
    make_worker("default")
    make_worker("gpu", device="cuda:0")
    Job.objects.create(kind="errand", queue="default")
    report = health.describe_health()
    assert report["status"] == "ok" and report["problems"] == []
    assert report["queue"]["default"] == {"queued": 1, "running": 0}
    assert report["workers"] == {"default": 1, "gpu": 1}
    assert report["gpu"] == "cuda:0"


@pytest.mark.django_db
def test_a_worker_of_this_machine_that_was_just_killed_is_missing_at_once():
    process = subprocess.Popen(["sleep", "600"])
    here = {"host": processes.host_name(), "boot": processes.boot_id(), "pid": process.pid}
    began = processes.start_time(process.pid)
    for queue in ("default", "gpu"):
        Worker.objects.create(queue=queue, process_started=began, **here)
    assert health.describe_health()["workers"] == {"default": 1, "gpu": 1}
    process.kill()
    process.wait()
    assert health.describe_health()["workers"] == {"default": 0, "gpu": 0}


@pytest.mark.django_db
def test_a_missing_worker_is_named_with_what_to_do():
    make_worker("default")
    make_worker("gpu", seen_at=timezone.now() - timedelta(hours=1))
    Job.objects.create(kind="drawing", queue="gpu")
    report = health.describe_health()
    assert report["status"] == "degraded"
    assert report["problems"] == [
        "No worker of the queue gpu is running, and 1 job waits for it. Start one with `manage.py work gpu`."
    ]


@pytest.mark.django_db
def test_a_queue_that_stands_still_is_noticed_and_one_that_is_busy_is_not():
    make_worker("default")
    make_worker("gpu")
    for queue in ("default", "gpu"):
        Job.objects.create(kind="errand", queue=queue, created_at=timezone.now() - timedelta(hours=1))
    lease = timezone.now() + timedelta(seconds=9)
    Job.objects.create(kind="drawing", queue="gpu", status=JobStatus.RUNNING, lease_until=lease)
    (problem,) = health.describe_health()["problems"]
    assert "queue default has waited" in problem


@pytest.mark.django_db
def test_a_job_that_was_put_back_to_wait_is_no_fault_of_its_worker():
    make_worker("default")
    make_worker("gpu")
    later, long_ago = timezone.now() + timedelta(seconds=30), timezone.now() - timedelta(hours=1)
    waiting = {"kind": "drawing", "queue": "gpu", "created_at": long_ago, "not_before": later}
    Job.objects.create(**waiting, message="Waiting: the disk is full.")
    assert health.describe_health()["problems"] == [
        "A job of the queue gpu waits for something that is away; the admin's list of jobs says for what."
    ]
    Job.objects.create(**waiting, message="Waiting: the disk is full.")
    Job.objects.create(**waiting, message="Drawing a crab", crashes=2)
    Job.objects.create(**waiting)
    assert health.describe_health()["problems"][0].startswith("2 jobs of the queue gpu wait")
    Job.objects.update(not_before=timezone.now() - timedelta(seconds=30))
    assert health.describe_health()["problems"][0].startswith("2 jobs of the queue gpu wait"), (
        "nobody has tried again"
    )
    taken = Job.objects.exclude(message="").take(
        owner_id=None, now=timezone.now(), lease_until=timezone.now() + timedelta(seconds=9)
    )
    assert taken == 3 and health.describe_health()["problems"] == []


@pytest.mark.django_db
def test_the_state_of_the_work_costs_the_same_for_any_number_of_jobs(django_assert_num_queries):
    Job.objects.bulk_create(Job(kind="errand", queue="gpu") for _ in range(50))
    with django_assert_num_queries(2):
        health.describe_health()


@pytest.mark.django_db
def test_a_database_that_is_away_is_a_sentence():
    def away(*_):
        raise OperationalError("connection refused by db.internal")

    with connection.execute_wrapper(away):
        report = health.describe_health()
    assert report["status"] == "unavailable"
    assert "db.internal" not in str(report)
    assert set(report) >= {"status", "database", "queue", "workers", "gpu"}
