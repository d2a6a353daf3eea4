"""What puts stranded work right again: the tick of every cluster's main process, and ``manage.py reap_jobs``."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import Error, close_old_connections
from django.db.models import F, Q
from django.utils import timezone

from imagineer.jobs import doorbell, workers
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.outages import find_outage

logger = logging.getLogger(__name__)

CRASH_LIMIT = 5
LOGS_KEPT = timedelta(days=30)  # after the end of a job; its error stays
DOORBELLS_AT_ONCE = 4  # for one queue; each worker goes on until nothing is left, so more would only pile up

_hooks: list[Callable[[], int | None]] = []


def on_tick(hook: Callable[[], int | None]) -> Callable[[], int | None]:
    """Register a sweep of an upper app. It may return how many things it put right; what it raises is logged."""
    _hooks.append(hook)
    return hook


def tick() -> dict[str, int]:
    """Put right what is stranded, and say what and how much. Never raises; a database that is away ends it."""
    report = {}
    steps = [bury_workers, reap_expired, ring_forgotten, doorbell.sweep, prune_logs, *_hooks]
    began = time.monotonic()
    for step in steps:
        if step is reap_expired and time.monotonic() - began > settings.JOB_LEASE / 3:
            continue  # where the database was as slow for the living, they could not renew their leases
        name = f"{step.__module__.rpartition('.')[2]}.{step.__name__}"
        try:
            if count := step():
                report[name] = count
        except Error as error:
            logger.warning("tick: %s did not get through: %s", name, error)
            close_old_connections()
            if find_outage(error):
                break  # back for the next step, it was away for the living too: their leases may have run out
        except Exception:
            logger.exception("tick: %s failed", name)
    if report:
        logger.info("tick", extra={"fields": report})
    return report


def bury_workers() -> int:
    return sum(bury(worker) for worker in workers.gone_workers())


def bury(worker: Worker) -> int:
    """Put the jobs of a dead worker back at once, without waiting for their leases, and forget it."""
    for job in worker.jobs.running():
        put_back(job)
    worker.delete()
    return 1


def reap_expired() -> int:
    now = timezone.now()
    return sum(put_back(job, now=now) for job in Job.objects.expired(now))


def put_back(job: Job, *, now=None) -> int:
    """Take a job from a holder that died: to the queue, or to failed when that keeps happening.

    With ``now``, only if its lease has still run out: the beat may have renewed it since the row was read.
    """
    held = Job.objects.held(job.pk, job.epoch)
    if now:
        held = held.expired(now)
    now = now or timezone.now()
    crashes = job.crashes + 1
    fields = {"crashes": crashes, "epoch": F("epoch") + 1}
    if crashes >= CRASH_LIMIT and not job.cancel_requested_at:
        last = f" The last thing it said was “{job.message}”." if job.message else ""
        error = (
            f"Its worker died {crashes} times without finishing anything.{last} Look into the worker's log, "
            "often its memory had run out, and then retry."
        )
        changed = held.filter(cancel_requested_at=None).finish(
            JobStatus.FAILED, now=now, error=error, **fields
        )
    else:
        # The first death is as a rule nobody's fault; a job that kills its workers comes back ever more slowly.
        wait = settings.JOB_LEASE / 9 * 4 ** (crashes - 2) if crashes > 1 else 0
        changed = held.requeue(now=now, not_before=now + timedelta(seconds=wait) if wait else None, **fields)
        if changed and not wait:
            doorbell.ring(job.queue, job.pk)
    if changed:
        logger.warning("taken from a dead worker", extra={"fields": {"job": job.pk, "crashes": crashes}})
    return changed


def ring_forgotten() -> int:
    """Ring again for due jobs that nobody was told of (they waited), or that were told of long ago."""
    now = timezone.now()
    patience = timedelta(seconds=settings.JOB_LEASE)
    # a moment to come was written before the clock was put back, and the broker holds that message back until then
    forgotten = Q(rung_at=None) | Q(rung_at__lt=now - patience) | Q(rung_at__gt=now + patience)
    rung = 0
    for queue in doorbell.QUEUES:
        jobs = Job.objects.claimable(queue, now).filter(forgotten)
        best = list(jobs.values_list("pk", flat=True)[:DOORBELLS_AT_ONCE])
        if not best or doorbell.is_ringing(queue):
            continue
        jobs.order_by().update(rung_at=now)
        for job_id in best:  # last: where the broker is away they are to be rung for again
            doorbell.ring(queue, job_id)
        rung += len(best)
    return rung


def prune_logs() -> int:
    """A job may keep 30 kB of what it said; of those that ended long ago nobody reads it any more."""
    return (
        Job.objects.filter(finished_at__lt=timezone.now() - LOGS_KEPT)
        .exclude(log_tail="")
        .update(log_tail="")
    )


def wake(queue: str) -> None:
    """Ring for whatever is due in a queue, whenever it was rung for last."""
    for job_id in Job.objects.claimable(queue, timezone.now()).values_list("pk", flat=True)[
        :DOORBELLS_AT_ONCE
    ]:
        doorbell.ring(queue, job_id)
