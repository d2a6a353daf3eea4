"""How the work is doing, in words; for ``/api/health``, the dashboard and ``manage.py doctor``."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from imagineer.jobs import doorbell
from imagineer.jobs.doorbell import QUEUES
from imagineer.jobs.models import ACTIVE, Job, JobStatus
from imagineer.jobs.workers import living_workers, silent_since

LOCK_PATIENCE = 2  # seconds; our own writers hold the lock of SQLite for milliseconds
DATABASE_AWAY = "The database does not answer. Is it running, and migrated? Jobs wait for it and then go on."


def describe_health() -> dict:
    """The state of the work. Never raises; knows no names, paths or prompts, so everybody may read it.

    :returns: ``status``: ``ok``, ``degraded`` (work waits for a person) or ``unavailable`` (nothing can be
        served) · ``database``: ``ok`` or a sentence · ``queue``: queued and running jobs by queue · ``workers``:
        living clusters by queue · ``gpu``: the device that drawing runs on, None until one is open ·
        ``problems``: sentences that say what is wrong and what to do.
    """
    try:
        return _describe()
    except Error:
        return {
            "status": "unavailable",
            "database": DATABASE_AWAY,
            "queue": {},
            "workers": {},
            "gpu": None,
            "problems": [DATABASE_AWAY],
        }


def _describe() -> dict:
    now = timezone.now()
    patience = timedelta(seconds=settings.JOB_LEASE)
    living = [(worker.queue, worker.device, worker.seen_at) for worker in living_workers()]
    workers = {queue: sum(name == queue for name, *_ in living) for queue in QUEUES}
    queue = {name: {status.value: 0 for status in ACTIVE} for name in QUEUES}
    oldest, held = {}, {}
    # a job that was put back to wait is due anew from then on, and what it waits for stands in its message until it is
    # taken up again, which may be long after that moment
    puts_off = Q(not_before__isnull=False, crashes=0) & ~Q(message="")
    rows = (
        Job.objects.active()
        .values("queue", "status")
        .annotate(
            count=Count("pk"),
            oldest=Min(Coalesce("not_before", "created_at")),
            held=Count("pk", filter=puts_off),
        )
    )
    for row in rows.order_by():
        queue.setdefault(row["queue"], {})[row["status"]] = row["count"]
        if row["status"] == JobStatus.QUEUED:
            oldest[row["queue"]], held[row["queue"]] = row["oldest"], row["held"]
    # who has just given a sign of life has written it to the database; only without one is it worth a trial
    just_now = silent_since()
    lock = "" if any(seen_at >= just_now for *_, seen_at in living) else describe_lock()
    problems = [sentence for sentence in (lock, doorbell.describe_silence()) if sentence]
    for name in QUEUES:
        waiting, running = queue[name][JobStatus.QUEUED], queue[name][JobStatus.RUNNING]
        if not workers[name]:
            waits = f", and {waiting} job{'s wait' if waiting > 1 else ' waits'} for it" if waiting else ""
            problems.append(
                f"No worker of the queue {name} is running{waits}. Start one with `manage.py work {name}`."
            )
        elif waiting and not running and now - oldest[name] > 3 * patience:
            problems.append(
                f"A job of the queue {name} has waited since {oldest[name]:%Y-%m-%d %H:%M} UTC and nothing runs there. "
                "Look into the log of its worker, and restart it."
            )
        if count := held.get(name):
            jobs = (
                f"{count} jobs of the queue {name} wait" if count > 1 else f"A job of the queue {name} waits"
            )
            problems.append(f"{jobs} for something that is away; the admin's list of jobs says for what.")
    return {
        "status": "degraded" if problems else "ok",
        "database": lock or "ok",
        "queue": queue,
        "workers": workers,
        "gpu": next((device for name, device, _ in living if name == "gpu" and device), None),
        "problems": problems,
    }


def describe_lock() -> str:
    """A sentence when SQLite can be read and not written to, as while another program holds its lock; else "".

    It waits for two seconds before it says so. A caller who is inside a transaction holds the lock itself.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return ""
    address = f"{Path(connection.settings_dict['NAME']).absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=LOCK_PATIENCE)) as probe:
            probe.execute("BEGIN IMMEDIATE")
            probe.rollback()
    except sqlite3.Error as error:
        return (
            f"The database can be read and not written to ({error}), so nothing can be changed and jobs wait. "
            "End the program that holds it, such as a shell or a copy of the file, or give its file and folder back "
            "to the user that runs Imagineer."
        )
    return ""
