import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from imagineer.jobs import kinds, runner
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.progress import LeaseLost, drain
from imagineer.jobs.runner import (
    JobConflict,
    answer_doorbell,
    claim,
    request_cancel,
    retry,
    run_inline,
    run_jobs,
    submit,
)
from tests.jobs_app.models import Result
from tests.jobs_app.tasks import submit_items

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def body(monkeypatch):
    """``body(function)`` makes it the body of the kind ``errand``."""

    def replace(function):
        kind = kinds.Kind("errand", "default", function)
        monkeypatch.setitem(kinds._kinds, "errand", kind)

    return replace


def run(job: Job) -> Job:
    run_jobs(job.queue)
    job.refresh_from_db()
    return job


def test_a_job_run_inline_does_every_item_once():
    job = run_inline(submit_items(5, inline=True))
    assert (job.status, job.done, job.failed, job.total) == (JobStatus.COMPLETED, 5, 0, 5)
    assert Result.objects.count() == 5
    assert job.lease_until is None and job.owner is None and job.finished_at >= job.started_at
    assert not Worker.objects.exists()


def test_submitting_rings_only_when_the_transaction_holds():
    with pytest.raises(RuntimeError), transaction.atomic():
        submit(kind="errand")
        raise RuntimeError
    assert not Job.objects.exists() and not OrmQ.objects.exists()
    with transaction.atomic():
        job = submit(kind="errand")
        assert not OrmQ.objects.exists()
    message = OrmQ.objects.get()
    assert message.key == "default"
    assert message.task["func"] == "imagineer.jobs.runner.answer_doorbell"
    assert message.task["args"] == ("default", job.pk)


def test_each_queue_has_its_own_bell_from_any_process():
    submit(kind="drawing")
    assert OrmQ.objects.get().key == "gpu"


def test_a_broker_that_is_away_does_not_stop_a_submission(monkeypatch):
    def away(*args, **kwargs):
        raise ConnectionError("no broker")

    monkeypatch.setattr("django_q.brokers.orm.ORM.enqueue", away)
    assert submit(kind="errand").status == JobStatus.QUEUED


def test_an_inline_job_is_left_alone_by_workers():
    job = submit_items(2, inline=True)
    assert claim("default") is None
    assert not OrmQ.objects.exists()
    assert run_inline(job).status == JobStatus.COMPLETED


def test_of_many_claims_at_once_each_job_goes_to_one():
    jobs = [submit(kind="errand") for _ in range(40)]
    start = threading.Barrier(4)

    def take_all(_):
        start.wait()
        mine = []
        while job := claim("default"):
            mine.append(job.pk)
        connection.close()
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = [pk for mine in pool.map(take_all, range(4)) for pk in mine]
    assert sorted(taken) == [job.pk for job in jobs]
    assert set(Job.objects.values_list("epoch", flat=True)) == {1}


def test_a_claim_on_an_old_sight_of_the_row_fails():
    seen = submit(kind="errand")
    claim("default")
    Job.objects.all().requeue(now=timezone.now())  # queued again, as it was when it was seen
    assert runner._take(seen) is None
    assert claim("default").epoch == 2


def test_work_refuses_to_run_inside_a_transaction():
    job = submit_items(1)
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        run_inline(job)


def test_an_item_that_fails_is_counted_and_the_others_go_on():
    job = run(submit_items(4, fail_at=2))
    assert (job.status, job.done, job.failed) == (JobStatus.COMPLETED, 3, 1)


def test_a_job_of_which_nothing_could_be_done_has_failed():
    job = run(submit_items(1, fail_at=1))
    assert (job.status, job.failed) == (JobStatus.FAILED, 1)
    assert "None of the 1 items" in job.error


def test_a_job_fails_with_the_sentence_of_its_body():
    job = run(submit_items(3, job_fails_at=2))
    assert (job.status, job.error, job.done) == (JobStatus.FAILED, "The model is missing. Add one.", 1)


@pytest.mark.parametrize(("how", "name"), [("raise_at", "ValueError"), ("exit_at", "SystemExit")])
def test_an_unexpected_error_names_its_class_and_keeps_its_secrets_for_the_log(how, name):
    job = run(submit_items(3, **{how: 2}))
    assert job.status == JobStatus.FAILED
    assert name in job.error and "hunter2" not in job.error
    assert job.done == 1


@pytest.mark.parametrize(
    ("kind", "params", "unknown"),
    [
        ("knitting", {}, "knitting jobs"),
        ("errand", {"seconds": 0, "wool": "red"}, "errand jobs with wool"),
    ],
)
def test_what_only_a_newer_release_can_do_waits_for_it_with_a_sentence(kind, params, unknown):
    job = Job.objects.create(kind=kind, queue="default", params=params)
    job = run(job)
    assert (job.status, job.crashes, job.error) == (JobStatus.QUEUED, 0, "")
    assert job.not_before > timezone.now()
    assert job.message == (
        f"Waits for a newer release: this worker's knows no {unknown}. Upgrade it, or cancel this job."
    )
    assert request_cancel(job).status == JobStatus.CANCELLED


def test_a_job_is_not_submitted_with_params_that_its_kind_does_not_name():
    with pytest.raises(ValueError, match="kind errand understands no wool"):
        submit(kind="errand", params={"wool": "red"})
    assert not Job.objects.exists()


def test_a_message_of_a_newer_release_may_say_more():
    job = submit_items(1)
    answer_doorbell("default", job.pk, "something new")
    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("database is locked"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.EPERM, "Operation not permitted"),
    ],
    ids=["database", "disk", "quota", "folder", "locked"],
)
def test_what_passes_by_itself_puts_the_job_back_without_a_strike(body, error):
    def fail(job, progress):
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("could not store the picture") from cause

    body(fail)
    job = run(submit_items(2))
    assert (job.status, job.crashes, job.error) == (JobStatus.QUEUED, 0, "")
    assert job.not_before > timezone.now()
    assert job.message.startswith("Waiting")


def test_a_redis_that_is_away_puts_the_job_back(body):
    from redis.exceptions import ConnectionError as RedisAway

    def fail(job, progress):
        raise RedisAway("Connection refused")

    body(fail)
    assert run(submit_items(1)).status == JobStatus.QUEUED


def test_a_mistake_in_our_own_sql_is_no_outage(body):
    def fail(job, progress):
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    body(fail)
    assert run(submit_items(1)).status == JobStatus.FAILED


@pytest.mark.parametrize(
    "cause",
    [psycopg.errors.ProgramLimitExceeded(), psycopg.errors.StatementTooComplex()],
    ids=["limit", "stack"],
)
def test_a_statement_that_no_server_will_ever_take_is_no_outage(body, cause):
    def fail(job, progress):
        raise OperationalError(str(cause)) from cause

    body(fail)
    assert run(submit_items(1)).status == JobStatus.FAILED


def test_a_file_of_others_that_is_denied_is_a_mistake_and_one_of_the_library_is_not(body, settings):
    def denied(path):
        def fail(job, progress):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        return fail

    for path, status in (
        ("/opt/somebody/cache", JobStatus.FAILED),
        (settings.DATA_DIR / "media" / "originals", JobStatus.QUEUED),
        (settings.MODELS_DIR / "fox", JobStatus.QUEUED),
    ):
        body(denied(path))
        assert run(submit_items(1)).status == status, path


def test_a_connection_that_was_closed_neither_loses_the_doorbell_nor_the_outcome():
    """Django calls that an InterfaceError, which is no DatabaseError."""
    is_away = iter([True, False, True, False])

    def away_at_times(execute, sql, *arguments):
        if sql.startswith('UPDATE "jobs_job" SET "status"') and next(is_away):
            raise InterfaceError("connection already closed")
        return execute(sql, *arguments)

    job = submit_items(2)
    with connection.execute_wrapper(away_at_times):
        run(job)
    assert (job.status, job.epoch, job.crashes) == (JobStatus.COMPLETED, 1, 0)
    assert next(is_away, "") == "", "it was taken up and ended at the second try each"


def test_an_order_is_taken_although_the_connection_is_lost_while_its_doorbell_is_rung():
    def away(execute, sql, *arguments):
        if "django_q" in sql or ("rung_at" in sql.partition("WHERE")[0] and sql.startswith("UPDATE")):
            raise InterfaceError("connection already closed")
        return execute(sql, *arguments)

    with connection.execute_wrapper(away):
        job = submit(kind="errand")
    assert job.status == JobStatus.QUEUED


def test_a_job_that_waits_says_why_and_comes_back_later():
    job = run(submit_items(3, wait_at=2))
    assert (job.status, job.message, job.done, job.crashes) == (
        JobStatus.QUEUED,
        "The service is busy.",
        1,
        0,
    )
    assert claim("default") is None
    Job.objects.update(not_before=None, params={})
    assert run(job).status == JobStatus.COMPLETED
    assert Result.objects.count() == 3


def test_an_outcome_is_written_when_the_database_is_back(body, monkeypatch):
    finish = type(Job.objects.all()).finish
    outages = iter([True, False])

    def away_once(self, *args, **kwargs):
        if next(outages):
            raise OperationalError("server closed the connection")
        return finish(self, *args, **kwargs)

    monkeypatch.setattr(type(Job.objects.all()), "finish", away_once)
    job = run(submit_items(2))
    assert (job.status, job.epoch, job.crashes) == (JobStatus.COMPLETED, 1, 0)


def test_who_lost_the_lease_touches_nothing(body):
    def lose(job, progress):
        Job.objects.filter(pk=job.pk).update(epoch=7, message="of the winner")
        with progress.commit(done=1):
            Result.objects.create(item=job.items.first(), epoch=progress.epoch, pid=0)

    body(lose)
    job = run(submit_items(2))
    assert (job.status, job.epoch, job.done, job.message) == (JobStatus.RUNNING, 7, 0, "of the winner")
    assert not Result.objects.exists()


def test_a_drained_job_goes_back_without_a_strike_and_is_rung_for(body, monkeypatch):
    def stop_here(job, progress):
        monkeypatch.setattr(drain, "is_wanted", True)
        progress.checkpoint()

    body(stop_here)
    job = submit_items(2)
    OrmQ.objects.all().delete()
    run(job)
    assert (job.status, job.crashes, job.not_before) == (JobStatus.QUEUED, 0, None)
    assert OrmQ.objects.count() == 1


def test_ctrl_c_inline_puts_the_job_back(body):
    def interrupt(job, progress):
        raise KeyboardInterrupt

    body(interrupt)
    job = submit_items(2, inline=True)
    with pytest.raises(KeyboardInterrupt):
        run_inline(job)
    job.refresh_from_db()
    assert (job.status, job.crashes) == (JobStatus.QUEUED, 0)


def test_a_queued_job_is_cancelled_at_once_and_never_runs():
    job = request_cancel(submit_items(2))
    assert job.status == JobStatus.CANCELLED and job.finished_at
    run_jobs("default")
    assert not Result.objects.exists()


def test_a_running_job_is_asked_to_stop(body):
    def ask(job, progress):
        assert request_cancel(job).status == JobStatus.RUNNING
        while True:
            progress.checkpoint()

    body(ask)
    assert run(submit_items(2)).status == JobStatus.CANCELLED


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_has_ended_cannot_be_cancelled(status):
    job = Job.objects.create(kind="errand", queue="default", status=status, finished_at=timezone.now())
    with pytest.raises(JobConflict, match=f"is {status} already"):
        request_cancel(job)


def test_a_retry_does_only_what_failed():
    job = run(submit_items(4, fail_at=2))
    Job.objects.update(params={})
    retry(job)
    assert (job.status, job.failed, job.done) == (JobStatus.QUEUED, 0, 3)
    run(job)
    assert (job.status, job.done, job.failed, job.epoch) == (JobStatus.COMPLETED, 4, 0, 2)
    assert Result.objects.count() == 4


@pytest.mark.parametrize("fields", [{"done": 2}, {"status": JobStatus.QUEUED}], ids=["complete", "queued"])
def test_what_is_complete_or_under_way_cannot_be_retried(fields):
    ended = {"status": JobStatus.COMPLETED, "finished_at": timezone.now()}
    job = Job.objects.create(kind="errand", queue="default", **(ended if "done" in fields else {}), **fields)
    with pytest.raises(JobConflict, match="nothing to try again"):
        retry(job)


def test_a_retry_whose_hook_fails_changes_nothing(monkeypatch):
    job = run(submit_items(2, job_fails_at=1))

    def fail(job):
        raise ValueError

    monkeypatch.setitem(kinds._kinds, "errand", kinds.Kind("errand", "default", lambda *_: None, fail))
    with pytest.raises(ValueError):
        retry(job)
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED


def test_a_job_that_runs_elsewhere_is_not_started_here():
    job = submit_items(1)
    claim("default")
    with pytest.raises(JobConflict, match="is running already"):
        run_inline(job)


def test_a_claim_sets_a_lease_and_an_ended_job_has_none():
    job = submit_items(1)
    before = timezone.now()
    claimed = claim("default")
    assert before + timedelta(seconds=80) < claimed.lease_until
    assert claimed.epoch == job.epoch + 1
    with pytest.raises(LeaseLost):
        Job.objects.update(epoch=9)
        with runner.Progress(claimed).commit(done=1):
            pass
