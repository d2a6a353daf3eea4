"""Who works here: this process's row among the workers, and which rows have lost their process."""

import logging
import os
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from imagineer.jobs import processes
from imagineer.jobs.models import Worker

logger = logging.getLogger(__name__)

PULSE = 5  # seconds between two signs of life
SILENCE = 3 * PULSE  # seconds without one, after which something is wrong

# The row under which this process works; a cluster's main process sets it before it forks the others.
_mine: Worker | None = None


def register_worker(queue: str = "") -> Worker:
    """Write the row of this process; ``queue`` is empty for one that works inline."""
    global _mine
    pid = os.getpid()
    _mine = Worker.objects.create(
        host=processes.host_name(),
        queue=queue,
        pid=pid,
        boot=processes.boot_id(),
        process_started=processes.start_time(pid),
    )
    return _mine


def waiting_migrations() -> list:
    """What `migrate` would do to the database. Nobody works before it is done.

    :raises django.db.Error: it does not answer.
    """
    executor = MigrationExecutor(connection)
    return executor.migration_plan(executor.loader.graph.leaf_nodes())


def my_id() -> int | None:
    return _mine.pk if _mine else None


def is_inline() -> bool:
    """Whether this process works for itself, beside all clusters."""
    return _mine is not None and not _mine.queue


def pulse() -> None:
    """A sign of life. A row that somebody took away meanwhile (frozen for long, say) is written again."""
    if (worker := _mine) is None:
        return
    worker.seen_at, worker.memory = timezone.now(), processes.resident_memory()
    if not Worker.objects.filter(pk=worker.pk).update(seen_at=worker.seen_at, memory=worker.memory):
        worker.save(force_insert=True)


def pulse_inline() -> None:
    """The sign of life of a process that works inline, which has no main process beside it to give one."""
    if is_inline() and timezone.now() - _mine.seen_at > timedelta(seconds=PULSE):
        pulse()


def unregister_worker() -> None:
    global _mine
    if _mine:
        Worker.objects.filter(pk=_mine.pk).delete()
        _mine = None


def living_workers() -> list[Worker]:
    """Those that gave a sign of life within a lease (or three pulses, if that is more) and are not seen to be dead."""
    patience = max(settings.JOB_LEASE, SILENCE)
    since = silent_since()
    lately = Worker.objects.seen_since(timezone.now() - timedelta(seconds=patience))
    return [worker for worker in lately if not worker.is_gone(silent_since=since)]


def gone_workers() -> list[Worker]:
    """Rows of this host whose process is certainly dead, and rows elsewhere that have long been silent and idle."""
    forgotten_since = timezone.now() - timedelta(seconds=max(3600, 10 * settings.JOB_LEASE))
    return [
        worker
        for worker in Worker.objects.exclude(pk=my_id())
        if worker.is_gone(silent_since=silent_since())
        or (worker.seen_at < forgotten_since and not worker.jobs.running().exists())
    ]


def hold_device(device: str, *, model: str = "") -> Worker | None:
    """Enter this process as the owner of a card; the living one who already owns it is returned instead."""
    for _attempt in range(2):
        try:
            with transaction.atomic():
                Worker.objects.filter(pk=my_id()).update(device=device, model=model)
            return None
        except IntegrityError:
            holder = Worker.objects.filter(host=processes.host_name(), device=device).first()
            if holder and not holder.is_gone(silent_since=silent_since()):
                return holder
            # A restart must not wait for the tick that buries the dead one.
            Worker.objects.filter(host=processes.host_name(), device=device).update(device="")
    return holder


def silent_since() -> datetime:
    return timezone.now() - timedelta(seconds=SILENCE)
