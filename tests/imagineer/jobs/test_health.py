from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from imagineer.jobs import health
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
