import threading
import time
from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from imagineer.jobs import workers
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import (
    Beat,
    JobCancelled,
    JobDrained,
    JobInterrupted,
    JobWaits,
    LeaseLost,
    Progress,
    drain,
)
from imagineer.jobs.runner import claim, request_cancel, submit
from tests.clusters import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def progress(settings):
    settings.JOB_LEASE = 1
    submit(kind="errand", total=5)
    return Progress(claim("default"))


@pytest.fixture
def beat(progress):
    beat = Beat(progress)
    beat.start()
    yield beat
    beat.stop()


def read(progress) -> Job:
    return Job.objects.get(pk=progress.job.pk)


def test_a_commit_counts_and_clears_the_crashes(progress):
    Job.objects.update(crashes=3)
    with progress.commit():
        pass
    assert read(progress).crashes == 3, "nothing was finished"
    with progress.commit(done=2, failed=1):
        pass
    job = read(progress)
    assert (job.done, job.failed, job.crashes) == (2, 1, 0)


def test_a_commit_under_a_lost_lease_writes_nothing_and_ends_the_body(progress):
    Job.objects.update(epoch=9)
    with pytest.raises(LeaseLost), progress.commit(done=1):
        pytest.fail("the block must not run")
    assert read(progress).done == 0
    with pytest.raises(LeaseLost):
        progress.checkpoint()


def test_a_commit_whose_block_fails_counts_nothing(progress):
    with pytest.raises(ValueError), progress.commit(done=1):
        raise ValueError
    assert read(progress).done == 0


def test_threads_of_a_body_commit_at_once_without_losing_a_count(progress):
    def save():
        with progress.commit(done=1):
            pass
        connection.close()

    threads = [threading.Thread(target=save) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(progress).done == 5


def test_the_beat_renews_the_lease_and_shows_message_and_log(progress, beat):
    first = progress.job.lease_until
    progress.checkpoint("drawing the Tower")
    progress.log("sent with token=abcdefghijklmnop\nand a second line")
    wait_until(lambda: read(progress).lease_until > first + timedelta(seconds=1), "the lease is renewed")
    job = read(progress)
    assert job.message == "drawing the Tower"
    assert "abcdefgh" not in job.log_tail and len(job.log_tail.splitlines()) == 1


@pytest.mark.parametrize("error", [OperationalError("no route"), InterfaceError("connection already closed")])
def test_the_beat_outlives_a_database_that_is_away(progress, beat, monkeypatch, error):
    execute, told = CursorWrapper.execute, []

    def away_once(cursor, sql, params=None):
        if threading.current_thread() is beat and not told:
            told.append(error)
            raise error
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", away_once)
    wait_until(lambda: told, "the database was away")
    progress.checkpoint("goes on")
    wait_until(lambda: Job.objects.get().message == "goes on", "the beat shows it")


def test_the_log_keeps_its_last_lines(progress, beat):
    for number in range(500):
        progress.log(f"line {number}")
    wait_until(lambda: "line 499" in read(progress).log_tail, "the log is written")
    assert len(read(progress).log_tail.splitlines()) == 100


@pytest.mark.parametrize(
    ("happens", "signal"),
    [
        (lambda job: request_cancel(job), JobCancelled),
        (lambda job: Job.objects.update(epoch=9), LeaseLost),
        (lambda job: Job.objects.update(status=JobStatus.QUEUED, lease_until=None), LeaseLost),
    ],
    ids=["cancelled", "taken over", "taken away"],
)
def test_a_body_hears_at_a_checkpoint_what_happened(progress, beat, happens, signal):
    progress.checkpoint()
    happens(progress.job)

    def is_told():
        try:
            progress.checkpoint()
        except signal:
            return True

    wait_until(is_told, "the checkpoint raises")


def test_a_body_that_is_to_drain_stops_at_its_next_checkpoint(progress, monkeypatch):
    monkeypatch.setattr(drain, "is_wanted", True)
    with pytest.raises(JobDrained):
        progress.checkpoint()


def test_the_care_for_a_failing_item_does_not_swallow_an_interruption():
    assert not issubclass(JobInterrupted, Exception)


def test_a_checkpoint_costs_no_query(progress, django_assert_num_queries):
    with django_assert_num_queries(0):
        for _ in range(100):
            progress.checkpoint("step")


def test_the_beat_ends_with_its_job_and_a_lost_lease_is_not_renewed(progress, beat):
    Job.objects.update(epoch=9)
    wait_until(lambda: not beat.is_alive(), "the beat has nothing to do any more")
    lease = read(progress).lease_until
    time.sleep(0.5)
    assert read(progress).lease_until == lease


def test_only_the_bodys_own_thread_proves_that_it_moves(progress):
    progress._ticked -= 100
    helper = threading.Thread(target=progress.checkpoint)
    helper.start()
    helper.join()
    assert progress.silent_for > 99
    progress.checkpoint()
    assert progress.silent_for < 99


def test_a_card_that_another_process_holds_makes_the_job_wait(progress, monkeypatch):
    monkeypatch.setattr(workers, "_mine", None)
    holder = workers.register_worker("gpu")
    assert workers.hold_device("GPU-1") is None
    workers.register_worker()
    with pytest.raises(JobWaits, match="GPU-1 is held by process"):
        progress.hold_device("GPU-1")
    progress.hold_device("GPU-2", model="starter")
    holder.process_started -= 1  # its number now belongs to another process
    holder.save()
    progress.hold_device("GPU-1")
    workers.unregister_worker()


def test_the_total_can_be_told_later(progress):
    progress.set_total(12)
    assert read(progress).total == 12
    Job.objects.update(epoch=9)
    with pytest.raises(LeaseLost):
        progress.set_total(13)


def test_a_lease_is_counted_from_the_beat(progress, beat, settings):
    wait_until(lambda: read(progress).lease_until > progress.job.lease_until, "it is renewed")
    assert read(progress).lease_until <= timezone.now() + timedelta(seconds=settings.JOB_LEASE)
