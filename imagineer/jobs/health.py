"""How the work is doing, in words; for ``/api/health``, the dashboard and ``manage.py doctor``."""

from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min
from django.utils import timezone

from imagineer.jobs.doorbell import QUEUES
from imagineer.jobs.models import ACTIVE, Job, JobStatus, Worker


def describe_health() -> dict:
    """The state of the work. Never raises; knows no names, paths or prompts, so everybody may read it.

    :returns: ``status``: ``ok``, ``degraded`` (work waits for a person) or ``unavailable`` (nothing can be
        served) · ``database``: ``ok`` or a sentence · ``queue``: queued and running jobs by queue · ``workers``:
        living clusters by queue · ``gpu``: the device that drawing runs on, None until one is open ·
        ``problems``: sentences that say what is wrong and what to do.
    """
    try:
        return _describe()
    except DatabaseError:
        sentence = "The database does not answer. Is it running, and migrated?"
        return {
            "status": "unavailable",
            "database": sentence,
            "queue": {},
            "workers": {},
            "gpu": None,
            "problems": [sentence],
        }


def _describe() -> dict:
    now = timezone.now()
    patience = timedelta(seconds=settings.JOB_LEASE)
    living = list(Worker.objects.seen_since(now - patience).values_list("queue", "device"))
    workers = {queue: sum(name == queue for name, _device in living) for queue in QUEUES}
    queue = {name: {status.value: 0 for status in ACTIVE} for name in QUEUES}
    oldest = {}
    rows = (
        Job.objects.active().values("queue", "status").annotate(count=Count("pk"), oldest=Min("created_at"))
    )
    for row in rows.order_by():
        queue.setdefault(row["queue"], {})[row["status"]] = row["count"]
        if row["status"] == JobStatus.QUEUED:
            oldest[row["queue"]] = row["oldest"]
    problems = []
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
    return {
        "status": "degraded" if problems else "ok",
        "database": "ok",
        "queue": queue,
        "workers": workers,
        "gpu": next((device for name, device in living if name == "gpu" and device), None),
        "problems": problems,
    }
