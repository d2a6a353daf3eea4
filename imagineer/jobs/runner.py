"""Running jobs: how they come in, who takes them, how they end."""

import logging
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import Error, close_old_connections, connection, transaction
from django.db.models import Max
from django.utils import timezone

from imagineer.jobs import doorbell, workers
from imagineer.jobs.kinds import _kinds
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import (
    Beat,
    JobCancelled,
    JobDrained,
    JobFailed,
    JobWaits,
    JobYielded,
    LeaseLost,
    Progress,
    drain,
)
from imagineer.logs import current_job, redact
from imagineer.outages import Outage, find_outage

logger = logging.getLogger(__name__)


WAITING = {
    Outage.DATABASE: "Waiting: the database does not answer.",
    Outage.BROKER: "Waiting: the broker does not answer.",
    Outage.DISK: "Waiting: the disk is full. Make room; the job then goes on by itself.",
    Outage.STORAGE: "Waiting: the place of the pictures cannot be read or written. Look at its disk or bucket.",
}
URGENT = 10  # from this priority on somebody sits before the screen and waits


class JobConflict(Exception):
    """What was asked clashes with the state of the job; the sentence says how."""


# ---- What people ask for


def submit(
    *, kind: str, total: int = 0, priority: int = 0, params=None, created_by=None, inline=False
) -> Job:
    """Queue a job, in the caller's transaction together with its items; its worker is rung on commit.

    :param total: how many items there are, 0 while nobody knows.
    :param inline: this process is going to ``run_inline`` it; for one lease no worker takes it away.
    """
    queue = _kinds[kind].queue
    if unknown := set(params or ()) - _kinds[kind].params:
        raise ValueError(
            f"A job of the kind {kind} understands no {', '.join(sorted(unknown))}: its @job_task does not name it."
        )
    now = timezone.now()
    job = Job.objects.create(
        kind=kind,
        queue=queue,
        total=total,
        priority=priority,
        params=params or {},
        created_by=created_by,
        created_at=now,
        not_before=now + timedelta(seconds=settings.JOB_LEASE) if inline else None,
        rung_at=None if inline else now,
    )
    if not inline:
        transaction.on_commit(lambda: doorbell.ring(queue, job.pk))
    return job


def request_cancel(job: Job) -> Job:
    """A queued job is cancelled at once; a running one stops at its next checkpoint and keeps what is done.

    :raises JobConflict: it has ended already.
    """
    if not Job.objects.filter(pk=job.pk).cancel(now=timezone.now()):
        job.refresh_from_db()
        raise JobConflict(f"This job is {job.status} already, so it cannot be cancelled.")
    job.refresh_from_db()
    return job


def move_to_front(job: Job) -> Job:
    """A queued job before all others of its queue that wait, but never from below URGENT to above it: who sits
    before the screen waits for no set. A running job below it gives way at its next batch.

    :raises JobConflict: it does not wait.
    """
    waiting = Job.objects.queued().filter(queue=job.queue).exclude(pk=job.pk)
    if job.priority < URGENT:
        waiting = waiting.filter(priority__lt=URGENT)
    best = max(
        [job.priority, *waiting.order_by().aggregate(best=Max("priority", default=job.priority)).values()]
    )
    front = best + 1 if job.priority >= URGENT else min(best + 1, URGENT - 1)
    if not Job.objects.queued().filter(pk=job.pk).update(priority=front):
        job.refresh_from_db()
        raise JobConflict(f"This job is {job.status}, so it has no place in the queue.")
    job.refresh_from_db()
    transaction.on_commit(lambda: doorbell.ring(job.queue, job.pk))
    return job


def retry(job: Job) -> Job:
    """Queue a job again that failed, was cancelled, or has failed items; what is done stays.

    :raises JobConflict: there is nothing to try again.
    """
    with transaction.atomic():
        changed = Job.objects.filter(pk=job.pk).revive(now=timezone.now())
        job.refresh_from_db()
        if not changed:
            why = "is complete" if job.status == JobStatus.COMPLETED else f"is {job.status}"
            raise JobConflict(f"This job {why}, so there is nothing to try again.")
        if job.kind in _kinds and _kinds[job.kind].on_retry:
            _kinds[job.kind].on_retry(job)
        transaction.on_commit(lambda: doorbell.ring(job.queue, job.pk))
    return job


# ---- Who takes them


def claim(queue: str) -> Job | None:
    """Take the best due job of a queue, or None. Of all who try at one moment, one gets it."""
    while candidate := Job.objects.claimable(queue, timezone.now()).first():
        if job := _take(candidate):
            return job
    return None


def _take(job: Job) -> Job | None:
    now = timezone.now()
    seen = Job.objects.filter(pk=job.pk, epoch=job.epoch)
    if not seen.take(
        owner_id=workers.my_id(), now=now, lease_until=now + timedelta(seconds=settings.JOB_LEASE)
    ):
        return None
    epoch = job.epoch + 1
    job.refresh_from_db()
    job.epoch = epoch  # mine, even if the row has moved on since: the fence then tells
    return job


def answer_doorbell(queue: str, *_job_id) -> None:
    """What a message does, of any release: this name and its first word stay as they are.

    A worker that is asked to stop ends here, so that its cluster does not wait for it.
    """
    drain.is_busy = True
    try:
        run_jobs(queue)
    finally:
        drain.is_busy = False
    if drain.is_wanted:
        raise SystemExit(0)


def run_jobs(queue: str) -> None:
    """Take and run the best job of the queue again and again, until none is left."""
    _refuse_inside_a_transaction()
    while not drain.is_wanted:
        close_old_connections()
        try:
            job = claim(queue)
        except Error as error:
            # Gone away now, the doorbell would be lost, and the next ring for it is a lease away.
            logger.warning("could not look for work, trying again: %s", error)
            time.sleep(1)
            continue
        if job is None:
            return
        run_claimed(job)


def run_inline(job: Job) -> Job:
    """Run exactly this job in this process, and return it as it ended: also failed, or queued again after Ctrl-C.

    :raises JobConflict: it runs elsewhere, or has ended.
    """
    _refuse_inside_a_transaction()
    worker = workers.register_worker() if workers.my_id() is None else None
    try:
        job.refresh_from_db()
        claimed = _take(job)
        if claimed is None:
            job.refresh_from_db()
            raise JobConflict(f"This job is {job.status} already, so it cannot be started here.")
        with _stop_signals_drain():
            run_claimed(claimed)
    finally:
        if worker:
            workers.unregister_worker()
    job.refresh_from_db()
    return job


def _refuse_inside_a_transaction() -> None:
    if connection.in_atomic_block:
        raise RuntimeError(
            "Work cannot run inside a transaction: it would stay open across all of it, and nobody could see "
            "the lease. In a test, mark it django_db(transaction=True)."
        )


@contextmanager
def _stop_signals_drain():
    """The first Ctrl-C (or SIGTERM) puts the job back at its next checkpoint; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(signum, _frame):
        if drain.is_wanted:
            raise KeyboardInterrupt
        drain.is_wanted = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        drain.is_wanted = False


# ---- How they end


@dataclass(frozen=True)
class Outcome:
    status: JobStatus  # queued: back for another try, without a strike
    error: str = ""
    message: str | None = None
    waits: bool = False


def run_claimed(job: Job) -> None:
    """Run a job that this process holds, and write down how it ended."""
    token = current_job.set(str(job.pk))
    progress = Progress(job)
    beat = Beat(progress)
    beat.start()
    logger.info("started", extra={"fields": {"kind": job.kind, "epoch": job.epoch}})
    try:
        outcome = _work(job, progress)
        _record(progress, outcome)
    except KeyboardInterrupt:
        _record(progress, Outcome(JobStatus.QUEUED))
        raise
    finally:
        beat.stop()
        current_job.reset(token)


def _work(job: Job, progress: Progress) -> Outcome | None:
    """Run the body; None when the job is no longer ours."""
    if unknown := _unknown_to_this_release(job):
        return Outcome(
            JobStatus.QUEUED,
            message=f"Waits for a newer release: this worker's knows no {unknown}. Upgrade it, or cancel this job.",
            waits=True,
        )
    try:
        _kinds[job.kind].body(job, progress)
    except LeaseLost:
        return None
    except JobCancelled:
        return Outcome(JobStatus.CANCELLED, message="")
    except JobDrained:
        return Outcome(JobStatus.QUEUED, message="")
    except JobYielded:
        return Outcome(JobStatus.QUEUED, message="Goes on when something more urgent is done.")
    except JobWaits as reason:
        return Outcome(JobStatus.QUEUED, message=str(reason), waits=True)
    except JobFailed as reason:
        return Outcome(JobStatus.FAILED, error=str(reason), message="")
    except (Exception, SystemExit) as error:
        if outage := describe_outage(error):
            logger.warning("put back: %s (%s)", outage, error)
            return Outcome(JobStatus.QUEUED, message=outage, waits=True)
        logger.exception("failed with an unexpected error")
        name = type(error).__name__
        return Outcome(
            JobStatus.FAILED,
            error=f"An unexpected error stopped it ({name}). The worker's log has the details.",
        )
    return Outcome(JobStatus.COMPLETED)


def _unknown_to_this_release(job: Job) -> str:
    """What of it only another release can do, as after a step back, or while the hosts are upgraded one by one."""
    if job.kind not in _kinds:
        return f"{job.kind} jobs"
    unknown = sorted(job.params.keys() - _kinds[job.kind].params)
    return f"{job.kind} jobs with {', '.join(unknown)}" if unknown else ""


def describe_outage(error: BaseException | None) -> str:
    """A sentence when something is away that comes back, which never fails a job; else ""."""
    return WAITING.get(find_outage(error), "")


def _record(progress: Progress, outcome: Outcome | None) -> None:
    """Write the outcome under the fence. While the database is away the beat goes on, and so does the trying:
    left to its lease, the job would look like a crash, and five outages like five crashes."""
    while outcome and not progress.is_lost:
        try:
            if not _write(progress, outcome):
                break
            logger.info("ended", extra={"fields": {"status": outcome.status}})
            return
        except Error as error:
            logger.warning("could not write the outcome, trying again: %s", error)
            close_old_connections()
            if drain.is_wanted:
                return
            progress.tick()
            time.sleep(1)
    logger.warning("the lease was lost; nothing more is written")


def _write(progress: Progress, outcome: Outcome) -> int:
    now = timezone.now()
    held = Job.objects.held(progress.job.pk, progress.epoch)
    shown = progress.shown()
    if outcome.message is not None:
        shown["message"] = outcome.message[: Job._meta.get_field("message").max_length]
    if outcome.status == JobStatus.QUEUED:
        wait = timedelta(seconds=settings.JOB_LEASE / 3)
        changed = held.requeue(now=now, not_before=now + wait if outcome.waits else None, **shown)
        if changed and not outcome.waits:
            doorbell.ring(progress.job.queue, progress.job.pk)  # another host may be free
        return changed
    status, error = outcome.status, outcome.error
    if status == JobStatus.COMPLETED:
        counts = held.values("total", "done", "failed").first()
        if counts and counts["total"] and not counts["done"] and counts["failed"]:
            status = JobStatus.FAILED
            error = f"None of the {counts['failed']} items could be done; each item says why."
    return held.finish(status, now=now, error=redact(error), **shown)
