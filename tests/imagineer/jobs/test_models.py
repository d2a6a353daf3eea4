from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from imagineer.jobs.models import Job, JobStatus, Worker

pytestmark = pytest.mark.django_db


def make(**fields) -> Job:
    return Job.objects.create(**({"kind": "errand", "queue": "default"} | fields))


def make_worker(device: str) -> Worker:
    return Worker.objects.create(host="somewhere", pid=1, boot="b", process_started=1.0, device=device)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": JobStatus.RUNNING},
        {"status": JobStatus.QUEUED, "lease_until": timezone.now()},
        {"status": JobStatus.COMPLETED},
        {"status": JobStatus.QUEUED, "finished_at": timezone.now()},
        {"total": 3, "done": 2, "failed": 2},
        {"status": "succeeded", "finished_at": timezone.now()},
    ],
    ids=[
        "running without lease",
        "lease without running",
        "end without time",
        "time without end",
        "counts",
        "status",
    ],
)
def test_the_database_refuses_a_row_that_contradicts_itself(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**fields)


def test_a_job_without_a_known_total_may_count():
    assert make(total=0, done=7, failed=2).done == 7


def test_a_card_has_one_owner_and_a_cpu_any_number():
    for device in ("", "", "cpu", "cpu", "GPU-1", "GPU-2"):
        make_worker(device)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_worker("GPU-1")


def test_the_best_job_is_the_most_urgent_and_among_those_the_oldest():
    now = timezone.now()
    plain, urgent, later_urgent = make(), make(priority=3), make(priority=3)
    make(priority=9, queue="gpu")
    make(priority=9, not_before=now + timedelta(seconds=5))
    make(priority=9, status=JobStatus.CANCELLED, finished_at=now)
    due = make(not_before=now)
    assert list(Job.objects.claimable("default", now)) == [urgent, later_urgent, plain, due]


def test_claiming_and_reaping_read_an_index():
    now = timezone.now()
    if connection.vendor == "sqlite":
        assert "job_claim" in Job.objects.claimable("default", now).explain()
        assert "TEMP B-TREE" not in Job.objects.claimable("default", now).explain()
        assert "job_lease" in Job.objects.expired(now).explain()


def test_what_holds_an_old_epoch_changes_nothing():
    now = timezone.now()
    job = make(status=JobStatus.RUNNING, lease_until=now, epoch=4)
    stale = Job.objects.held(job.pk, 3)
    assert stale.finish(JobStatus.COMPLETED, now=now) == 0
    assert stale.requeue(now=now) == 0
    assert stale.update(done=1) == 0
    before = job.__dict__.copy()
    job.refresh_from_db()
    assert {name: job.__dict__[name] for name in before if name != "_state"} == {
        name: value for name, value in before.items() if name != "_state"
    }


def test_a_running_job_that_was_to_be_cancelled_does_not_come_back():
    now = timezone.now()
    asked = make(status=JobStatus.RUNNING, lease_until=now, cancel_requested_at=now)
    other = make(status=JobStatus.RUNNING, lease_until=now)
    assert Job.objects.all().requeue(now=now) == 2
    asked.refresh_from_db()
    other.refresh_from_db()
    assert (asked.status, asked.finished_at) == (JobStatus.CANCELLED, now)
    assert (other.status, other.finished_at) == (JobStatus.QUEUED, None)
