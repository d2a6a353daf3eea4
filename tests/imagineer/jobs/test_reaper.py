import os
import subprocess
import sys
import time
from datetime import timedelta

import psutil
import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django_q.models import Failure, OrmQ

from imagineer.jobs import doorbell, processes, reaper, workers
from imagineer.jobs.cluster import Patrol
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.runner import claim, request_cancel, submit

pytestmark = pytest.mark.django_db


def running(*, lease_over: bool = True, **fields) -> Job:
    lease = timezone.now() + timedelta(seconds=-1 if lease_over else 60)
    return Job.objects.create(
        **(
            {
                "kind": "errand",
                "queue": "default",
                "status": JobStatus.RUNNING,
                "lease_until": lease,
                "epoch": 3,
            }
            | fields
        )
    )


def worker_of(pid: int, **fields) -> Worker:
    return Worker.objects.create(
        **{
            "host": processes.host_name(),
            "queue": "gpu",
            "pid": pid,
            "boot": processes.boot_id(),
            "process_started": processes.start_time(pid) or 0,
        }
        | fields
    )


@pytest.fixture
def living():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def test_a_job_whose_lease_ran_out_is_queued_again_with_a_strike_and_rung_for():
    job = running(total=9, done=4)
    untouched = running(lease_over=False)
    reaper.tick()
    job.refresh_from_db()
    untouched.refresh_from_db()
    assert (job.status, job.epoch, job.crashes, job.done, job.not_before) == (JobStatus.QUEUED, 4, 1, 4, None)
    assert job.owner is None and job.lease_until is None
    assert untouched.status == JobStatus.RUNNING
    assert OrmQ.objects.count() == 1


def test_a_lease_that_was_renewed_meanwhile_is_left_alone():
    job = running()
    Job.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
    assert reaper.put_back(job, now=timezone.now()) == 0


def test_a_job_that_keeps_killing_its_worker_comes_back_ever_more_slowly_and_then_fails_with_a_reason():
    job = running(message="item 7")
    waits = []
    for _ in range(reaper.CRASH_LIMIT):
        now = timezone.now()
        reaper.tick()
        job.refresh_from_db()
        if job.status == JobStatus.FAILED:
            break
        waits.append(((job.not_before or now) - now).total_seconds())
        Job.objects.filter(pk=job.pk).update(status=JobStatus.RUNNING, lease_until=now)
    assert job.status == JobStatus.FAILED and len(waits) == reaper.CRASH_LIMIT - 1
    assert waits == sorted(waits) and waits[0] == 0 and waits[-1] > waits[1] > 0
    assert "died 5 times without finishing anything" in job.error
    assert "“item 7”" in job.error


def test_a_stranded_job_that_was_to_be_cancelled_is_cancelled():
    job = running(crashes=4)
    request_cancel(job)
    reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED and job.finished_at


def test_the_jobs_of_a_dead_process_do_not_wait_for_their_lease(living):
    dead = worker_of(living.pid)
    alive = worker_of(os.getpid())
    theirs, other = running(owner=dead, lease_over=False), running(owner=alive, lease_over=False)
    reaper.tick()
    assert Worker.objects.count() == 2, "it lives"
    living.kill()
    living.wait()
    reaper.tick()
    theirs.refresh_from_db()
    other.refresh_from_db()
    assert theirs.status == JobStatus.QUEUED and other.status == JobStatus.RUNNING
    assert list(Worker.objects.all()) == [alive]


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it():
    impostor = worker_of(os.getpid(), process_started=processes.start_time(os.getpid()) - 1)
    job = running(owner=impostor, lease_over=False)
    reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert not Worker.objects.exists()


@pytest.mark.parametrize(("silent", "is_buried"), [(1, False), (60, True)])
def test_a_worker_from_before_the_machine_restarted_is_gone_once_it_is_silent(silent, is_buried):
    worker_of(1, boot="another start", seen_at=timezone.now() - timedelta(seconds=silent))
    reaper.tick()
    assert Worker.objects.exists() is not is_buried


def test_what_was_last_seen_before_this_start_of_the_machine_is_put_back_at_once(monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(psutil, "boot_time", lambda: (now - timedelta(seconds=5)).timestamp())
    before = worker_of(1, boot="an earlier start", seen_at=now - timedelta(seconds=8))
    namesake = worker_of(2, boot="another machine's start", seen_at=now - timedelta(seconds=2))
    stranded, other = running(owner=before, lease_over=False), running(owner=namesake, lease_over=False)
    reaper.tick()
    stranded.refresh_from_db()
    other.refresh_from_db()
    assert (stranded.status, stranded.owner) == (JobStatus.QUEUED, None)
    assert (other.status, other.owner) == (JobStatus.RUNNING, namesake)
    assert list(Worker.objects.all()) == [namesake]


def test_a_card_of_an_earlier_start_of_the_machine_is_free_at_once(monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(psutil, "boot_time", lambda: (now - timedelta(seconds=5)).timestamp())
    worker_of(1, boot="an earlier start", device="GPU-1", seen_at=now - timedelta(seconds=8))
    workers.register_worker("gpu")
    try:
        assert workers.hold_device("GPU-1") is None
    finally:
        workers.unregister_worker()


def test_a_worker_of_another_host_is_judged_by_its_lease_alone():
    there = worker_of(1, host="elsewhere", seen_at=timezone.now() - timedelta(minutes=5))
    job = running(owner=there, lease_over=False)
    reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    there.seen_at = timezone.now() - timedelta(days=1)
    there.save()
    reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING, "however long its owner was silent"
    Job.objects.running().finish(JobStatus.COMPLETED, now=timezone.now())
    reaper.tick()
    assert not Worker.objects.exists()


def test_a_forgotten_doorbell_is_rung_again_and_not_over_and_over(settings):
    Job.objects.create(kind="errand", queue="default", rung_at=None)
    Job.objects.create(
        kind="errand", queue="gpu", rung_at=timezone.now() - timedelta(seconds=settings.JOB_LEASE)
    )
    reaper.tick()
    reaper.tick()
    assert sorted(OrmQ.objects.values_list("key", flat=True)) == ["default", "gpu"]


def test_a_queue_that_nobody_serves_does_not_fill_with_messages():
    Job.objects.bulk_create(Job(kind="errand", queue="gpu") for _ in range(50))
    for _ in range(10):
        Job.objects.update(rung_at=None)
        reaper.tick()
    assert OrmQ.objects.count() <= reaper.DOORBELLS_AT_ONCE


def test_a_job_that_was_just_rung_for_or_has_to_wait_is_not_rung_for_again():
    now = timezone.now()
    Job.objects.create(kind="errand", queue="gpu", rung_at=now)
    Job.objects.create(kind="errand", queue="default", not_before=now + timedelta(seconds=30))
    reaper.tick()
    assert not OrmQ.objects.exists()


def test_what_django_q2_keeps_for_ever_is_swept(settings):
    now = timezone.now()
    taken = now + timedelta(seconds=settings.Q_CLUSTER["retry"])
    for lock in (now, taken, taken - timedelta(hours=2)):
        OrmQ.objects.create(key="gpu", payload="x", lock=lock)
    for days in (1, 8):
        stopped = now - timedelta(days=days)
        Failure.objects.create(
            id=f"{days:032}", name="n", func="f", started=stopped, stopped=stopped, success=False
        )
    assert doorbell.sweep() == 2
    assert OrmQ.objects.count() == 2 and Failure.objects.count() == 1


def test_what_a_job_said_is_forgotten_long_after_its_end_and_its_error_is_kept():
    now = timezone.now()

    def ended(days: int) -> Job:
        return Job.objects.create(
            kind="errand",
            queue="default",
            status=JobStatus.FAILED,
            finished_at=now - timedelta(days=days),
            log_tail="drew a crab",
            error="No crab.",
        )

    old, young, at_work = ended(31), ended(29), running(lease_over=False, log_tail="draws a crab")
    report = reaper.tick()
    assert report == {"reaper.prune_logs": 1}
    assert reaper.tick() == {}
    for job, log in ((old, ""), (young, "drew a crab"), (at_work, "draws a crab")):
        job.refresh_from_db()
        assert job.log_tail == log
    assert old.error == "No crab."


def test_sessions_that_have_run_out_are_forgotten():
    now = timezone.now()
    for name, minutes in (("over", -1), ("valid", 1)):
        Session.objects.create(
            session_key=name, session_data="x", expire_date=now + timedelta(minutes=minutes)
        )
    assert reaper.tick() == {"apps.forget_expired_sessions": 1}
    assert Session.objects.get().session_key == "valid"


def test_the_tick_calls_the_hooks_of_the_upper_apps_and_outlives_their_errors(monkeypatch):
    calls = []

    def broken():
        raise RuntimeError("no such folder")

    def sweep_files():
        calls.append(1)
        return 3

    monkeypatch.setattr(reaper, "_hooks", [])
    reaper.on_tick(broken)
    reaper.on_tick(sweep_files)
    report = reaper.tick()
    assert calls == [1]
    assert report == {"test_reaper.sweep_files": 3}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError("no route"), InterfaceError("connection already closed")])
def test_a_tick_that_the_database_was_away_from_takes_no_job_from_the_living(error):
    """Back for the next step, it was away for them as well: they could not renew their leases."""
    outages = iter([error])

    def away_once(execute, sql, *arguments):
        if outage := next(outages, None):
            raise outage
        return execute(sql, *arguments)

    job = running()
    with connection.execute_wrapper(away_once):
        assert reaper.tick() == {}
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED, "the next one takes it"


def test_a_tick_that_hung_takes_no_job_from_the_living(settings):
    settings.JOB_LEASE = 3

    def slow_once(execute, sql, *arguments):
        if not slept:
            slept.append(time.sleep(1.1))
        return execute(sql, *arguments)

    slept = []
    job = running()
    with connection.execute_wrapper(slow_once):
        reaper.tick()
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING


def test_the_command_says_what_it_put_right(capsys):
    call_command("reap_jobs")
    assert "Nothing was stranded" in capsys.readouterr().out
    running()
    call_command("reap_jobs", "--json")
    assert '"reaper.reap_expired": 1' in capsys.readouterr().out


def test_a_reaped_job_is_claimed_under_a_new_epoch():
    submit(kind="errand")
    first = claim("default")
    Job.objects.update(lease_until=timezone.now())
    reaper.tick()
    assert claim("default").epoch > first.epoch + 1


# ---- A clock that jumps


def test_a_job_that_waits_is_due_although_the_clock_was_put_back(settings):
    now = timezone.now()
    job = submit(kind="errand")
    for wait, is_due in ((settings.JOB_LEASE / 3, False), (2 * settings.JOB_LEASE, False), (3600, True)):
        Job.objects.filter(pk=job.pk).update(not_before=now + timedelta(seconds=wait))
        assert Job.objects.claimable("default", now).exists() == is_due


def test_a_doorbell_that_was_rung_before_the_clock_was_put_back_is_rung_again(settings):
    """The broker holds such a message back until the clock has caught up."""
    job = submit(kind="errand")
    later = timezone.now() + timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(rung_at=later)
    OrmQ.objects.create(key="default", payload="held back", lock=later)
    assert reaper.ring_forgotten() == 1
    job.refresh_from_db()
    assert job.rung_at <= timezone.now()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError("no route"), InterfaceError("connection already closed")])
def test_after_an_outage_the_living_have_time_to_renew_their_leases(settings, error):
    def away(*_):
        raise error

    settings.JOB_LEASE = 9
    workers.register_worker("gpu")
    try:
        patrol, job = Patrol("gpu"), running()
        with connection.execute_wrapper(away), pytest.raises(type(error)):
            patrol.pulse()
        patrol.tick()
        assert Job.objects.running().filter(pk=job.pk).exists(), "nobody is taken for dead"
    finally:
        workers.unregister_worker()


def test_after_a_jump_of_the_clock_the_living_have_time_to_renew_their_leases(settings, monkeypatch):
    settings.JOB_LEASE = 9  # a third of it is time enough for a tick on a machine with much to do
    patrol, job, clock = Patrol("gpu"), running(), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    patrol.tick()
    assert Job.objects.running().filter(pk=job.pk).exists(), "nobody is taken for dead"
    time.sleep(settings.JOB_LEASE / 3)
    patrol.tick()
    assert Job.objects.queued().filter(pk=job.pk).exists(), "who has not renewed it by then is dead"
