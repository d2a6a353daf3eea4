"""Jobs that behave, and misbehave, as their params tell them.

``seconds`` an item takes · ``events``: a file that gets a line ``start|done position epoch pid time`` for each
item · ``die_at``, ``fail_at``, ``hang_at``, ``freeze_at``, ``raise_at``, ``exit_at``, ``wait_at``: a position.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from django.db import transaction

from imagineer.jobs.kinds import job_task
from imagineer.jobs.models import Job
from imagineer.jobs.progress import JobFailed, JobWaits
from imagineer.jobs.runner import submit
from tests.jobs_app.models import Item, Result

PARAMS = (
    "seconds",
    "events",
    "die_at",
    "fail_at",
    "hang_at",
    "freeze_at",
    "raise_at",
    "exit_at",
    "wait_at",
    "job_fails_at",
)


def submit_items(
    count: int, *, kind: str = "errand", priority: int = 0, inline: bool = False, **params
) -> Job:
    with transaction.atomic():
        job = submit(kind=kind, total=count, priority=priority, params=params, inline=inline)
        Item.objects.bulk_create(Item(job=job, position=position) for position in range(1, count + 1))
    return job


def put_failed_back(job: Job) -> None:
    job.items.filter(is_failed=True).update(is_failed=False)


def do_items(job: Job, progress, before_done=lambda item: None) -> None:
    params = job.params
    for item in job.items.filter(is_done=False, is_failed=False):
        progress.give_way()
        report(params, "start", item, progress)
        misbehave(params, item)
        until = time.monotonic() + params.get("seconds", 0)
        progress.checkpoint(f"item {item.position}")
        while time.monotonic() < until:
            progress.checkpoint()
            time.sleep(0.01)
        if item.position == params.get("fail_at"):
            with progress.commit(failed=1):
                Item.objects.filter(pk=item.pk).update(is_failed=True)
            continue
        before_done(item)
        with progress.commit(done=1):
            Item.objects.filter(pk=item.pk).update(is_done=True)
            Result.objects.create(item=item, epoch=progress.epoch, pid=os.getpid())
        report(params, "done", item, progress)


def misbehave(params: dict, item: Item) -> None:
    position = item.position
    if position == params.get("die_at"):
        os.kill(os.getpid(), signal.SIGKILL)
    if position == params.get("hang_at"):
        time.sleep(3600)
    if position == params.get("freeze_at"):
        ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock all the time
    if position == params.get("raise_at"):
        raise ValueError("a mistake in the body with a secret: password=hunter2hunter2")
    if position == params.get("exit_at"):
        raise SystemExit(3)
    if position == params.get("wait_at"):
        raise JobWaits("The service is busy.")
    if position == params.get("job_fails_at"):
        raise JobFailed("The model is missing. Add one.")


def report(params: dict, what: str, item: Item, progress) -> None:
    if "events" in params:
        with Path(params["events"]).open("a") as events:  # one short line at once: appended whole
            events.write(f"{what} {item.position} {progress.epoch} {os.getpid()} {time.time()}\n")


job_task("errand", params=PARAMS, on_retry=put_failed_back)(do_items)
job_task("drawing", queue="gpu", params=PARAMS, on_retry=put_failed_back)(do_items)


# ---- For measuring how long a doorbell takes


@job_task("instant", queue="gpu", params=("events",))
def do_nothing(job: Job, progress) -> None:
    note(job.params["events"])


def note(path: str) -> None:
    """Write the moment, on the clock that all processes of a machine share. Also called as a bare django-q2 task."""
    now = time.monotonic()
    with Path(path).open("a") as events:
        events.write(f"{now}\n")
