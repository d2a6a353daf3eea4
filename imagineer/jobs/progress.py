"""What the body of a job holds in its hands: checkpoints, commits that hold only under a valid lease, and the beat."""

import faulthandler
import logging
import os
import threading
import time
from collections import deque
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import Error, close_old_connections, connection, transaction
from django.db.models import F
from django.utils import timezone

from imagineer.jobs import workers
from imagineer.jobs.models import Job
from imagineer.logs import current_job, redact

logger = logging.getLogger(__name__)

MESSAGE_LENGTH = Job._meta.get_field("message").max_length
LOG_LINES = 100
LOG_LINE_LENGTH = 300


class JobFailed(Exception):
    """Raised by a body: the whole job fails with this sentence for the user."""


class JobWaits(Exception):
    """Raised by a body: it cannot go on now, and nothing is wrong with it. Back to the queue, tried again later."""


class JobInterrupted(BaseException):
    """The body has to stop at once. No ``Exception``, so that the error handling around an item lets it through."""


class JobCancelled(JobInterrupted):
    """Somebody has cancelled the job."""


class JobDrained(JobInterrupted):
    """This process is stopping; the job goes back to the queue as it is."""


class JobYielded(JobInterrupted):
    """Something more urgent is due; the job goes back to the queue as it is and is taken up again by itself."""


class LeaseLost(JobInterrupted):
    """The job belongs to somebody else by now. Write nothing, delete nothing."""


class _Drain:
    """Set by signal handlers, so a plain attribute: an Event's lock could be held by the code they interrupt."""

    is_wanted = False
    is_busy = False  # a worker that is not may end where it stands


drain = _Drain()


class Progress:
    """One claim of a job, from the side of its body. Safe to use from several threads of the body.

    ``epoch`` is the fencing number of this claim.
    """

    def __init__(self, job: Job):
        self.job = job
        self.epoch = job.epoch
        self.message = job.message
        self._lines = deque(job.log_tail.splitlines(), maxlen=LOG_LINES)
        self.is_lost = self.is_cancelled = False
        self._main_thread = threading.get_ident()
        self._ticked = time.monotonic()

    def checkpoint(self, message: str | None = None) -> None:
        """Say that the work moves, and stop it where it must stop. Costs microseconds: call it at every step.

        :raises JobCancelled, JobDrained, LeaseLost: leave at once, through ``finally`` clauses only.
        """
        self.tick()
        if message is not None:
            self.message = message[:MESSAGE_LENGTH]
        if self.is_lost:
            raise LeaseLost
        if self.is_cancelled:
            raise JobCancelled
        if drain.is_wanted:
            raise JobDrained

    def give_way(self) -> None:
        """Call between two batches, with nothing in hand: stops here when something more urgent is due in the queue.

        Jobs of equal priority never give way to each other, and this one, being older, is taken up again before
        those. A process that works inline gives way to nobody, as nobody would take its job up again.

        :raises JobYielded: leave at once, through ``finally`` clauses only.
        """
        if workers.is_inline():
            return
        job = self.job
        if Job.objects.claimable(job.queue, timezone.now()).filter(priority__gt=job.priority).exists():
            raise JobYielded

    def tick(self) -> None:
        """Only the body's own thread proves that the body moves; its helpers may go on while it hangs."""
        if threading.get_ident() == self._main_thread:
            self._ticked = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since the body's thread was last heard of."""
        return time.monotonic() - self._ticked

    @contextmanager
    def commit(self, *, done: int = 0, failed: int = 0):
        """One short transaction that holds only if this claim is still the valid one, and counts what it finished.

        The fence comes first: on PostgreSQL its row lock, on SQLite the write lock of IMMEDIATE, keeps everybody
        else from taking the job before the block's own writes are in.

        :raises LeaseLost: nothing of the block was written.
        """
        with transaction.atomic(durable=True):
            counts = {"done": F("done") + done, "failed": F("failed") + failed}
            if done or failed:
                counts["crashes"] = 0
            if not Job.objects.held(self.job.pk, self.epoch).update(**counts):
                self.is_lost = True
                raise LeaseLost
            yield
        self.tick()

    def set_total(self, total: int) -> None:
        """Tell how many items there are, where that was not known at submission.

        :raises LeaseLost: somebody else has the job.
        """
        if not Job.objects.held(self.job.pk, self.epoch).update(total=total):
            self.is_lost = True
            raise LeaseLost

    def log(self, line: str) -> None:
        """A line for whoever looks at the job; the last 100 are kept. Secrets are blacked out."""
        stamp = timezone.now().strftime("%H:%M:%S")
        self._lines.append(f"{stamp} {redact(' '.join(line.split()))[:LOG_LINE_LENGTH]}")

    def hold_device(self, device: str, *, model: str = "") -> None:
        """Say which card this process works on. One card of a host has one owner.

        Name the card so that all who see it agree (``cuda:0`` means another card under another
        ``CUDA_VISIBLE_DEVICES``: its UUID does not); ``cpu`` may be shared.

        :raises JobWaits: another living process holds it.
        """
        holder = workers.hold_device(device, model=model)
        if holder:
            raise JobWaits(f"{device} is held by process {holder.pid} ({holder}); waiting until it is free.")

    def shown(self) -> dict:
        """The fields that people watch."""
        return {"message": self.message, "log_tail": "\n".join(self._lines)}


class Beat(threading.Thread):
    """Keeps one claim alive while its body moves, shows its progress, and hears that it was cancelled or lost.

    It reads the row every second (or sixth of a lease): generation must stop within two seconds of a cancel. It
    writes when a sixth of the lease has passed or there is something new to show, so at most once a second.
    """

    def __init__(self, progress: Progress):
        super().__init__(name=f"beat of job {progress.job.pk}", daemon=True)
        self.progress = progress
        self.lease = settings.JOB_LEASE
        self.stall = settings.JOB_STALL
        self._end = threading.Event()
        self._written_at = time.monotonic()
        self._shown = progress.shown()

    def start(self) -> None:
        self._watch()  # a body may hang before this thread has its first turn
        super().start()

    def run(self) -> None:
        current_job.set(str(self.progress.job.pk))
        try:
            while not self.progress.is_lost and not self._end.wait(min(1, self.lease / 6)):
                self._watch()
                try:
                    self._beat()
                except Error as error:
                    # Away or locked: the lease has room for it, and an outcome is written only under the fence.
                    logger.warning("beat failed, trying again: %s", error)
                    close_old_connections()
        finally:
            connection.close()

    def stop(self) -> None:
        self._end.set()
        self.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        """End the process when the body hangs: nobody can free a thread from a call that does not return.

        The timer of faulthandler needs no interpreter lock, so it also ends a call that never gives that back,
        under which this thread stands still.
        """
        left = self.stall - self.progress.silent_for
        if left <= 0:
            logger.error(
                "no checkpoint for %d seconds; ending this process, the job will be tried again", self.stall
            )
            faulthandler.dump_traceback(file=2)
            os._exit(1)
        faulthandler.dump_traceback_later(left + 2, exit=True, file=2)

    def _beat(self) -> None:
        progress = self.progress
        workers.pulse_inline()
        held = Job.objects.held(progress.job.pk, progress.epoch)
        row = held.values_list("cancel_requested_at").first()
        if row is None:
            progress.is_lost = True
            return
        progress.is_cancelled = row[0] is not None
        shown = progress.shown()
        now = time.monotonic()
        if shown == self._shown and now - self._written_at < self.lease / 6:
            return
        if not held.update(lease_until=timezone.now() + timedelta(seconds=self.lease), **shown):
            progress.is_lost = True
            return
        self._shown, self._written_at = shown, now
