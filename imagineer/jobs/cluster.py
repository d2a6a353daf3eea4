"""A crash-only cluster over django-q2 (1.11.1, pinned: this leans on its sentinel).

::

    main ── sentinel ─┬─ worker(s)   run the jobs
      │               ├─ pusher      broker → workers
      │               └─ monitor     acknowledges
      └─ threads: pulse, tick

django-q2 replaces a child that died and goes on; but a child that was killed may have held the lock of a queue, and
then nobody ever takes work again. So here an unexpected death ends everything with an error, whatever starts the
cluster starts it anew, and its jobs go on from the row ledger. No process outlives its parent.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.db import Error, close_old_connections, connection, connections
from django.utils import timezone
from django_q.cluster import Sentinel
from django_q.conf import Conf
from django_q.signals import post_spawn

from imagineer.jobs import doorbell, processes, reaper, workers
from imagineer.jobs.models import Job
from imagineer.jobs.progress import drain

logger = logging.getLogger(__name__)

DRAIN_TIME = 7  # seconds from the signal to stop until what is left is killed
SURVIVORS_TIME = 3  # seconds that the jobs beside a dead worker have to go back to the queue
LEAVE_TIME = 2  # seconds for the last words to the database
STUCK_TIME = 10  # seconds that a dead child may stay unnoticed by the sentinel
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """Stands in for the sentinel's shared event: a killed process cannot take a plain attribute's lock along."""

    def __init__(self):
        self._is_set = False

    def set(self, *_) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not self._is_set and time.monotonic() < end:
            time.sleep(0.05)
        return self._is_set


class CrashOnlySentinel(Sentinel):
    def __init__(self, main_pid: int):
        processes.die_with(main_pid)
        super().__init__(StopFlag(), threading.Event(), uuid.uuid4())

    def start(self):
        # Pusher and monitor inherit this and stay until they are told; workers set their own.
        for number in STOP_SIGNALS:
            signal.signal(number, self.stop_event.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        processes.bind_forks()
        super().start()

    def reincarnate(self, process):
        """Called by the guard for a child that is no more."""
        if self.stop_event.is_set():
            return
        if process not in self.pool and process.exitcode >= 0:
            # Pusher and monitor give up in order, holding nothing, when the broker or the database is away.
            super().reincarnate(process)
            return
        logger.critical(
            "process %d of the cluster died (%d); ending all of it", process.pid, process.exitcode
        )
        self._stop_workers(within=SURVIVORS_TIME)
        os._exit(1)

    def stop(self):
        self._stop_workers(within=2 * DRAIN_TIME)
        # It may wait for room in a queue that nobody reads any more; what it holds is rung for again.
        self.pusher.kill()
        self.result_queue.put("STOP")
        self.monitor.join()

    def _stop_workers(self, *, within: float) -> None:
        end = time.monotonic() + within
        while (alive := [worker for worker in self.pool if worker.is_alive()]) and time.monotonic() < end:
            for worker in alive:  # again and again: a signal is lost on a worker that has just been forked
                os.kill(worker.pid, signal.SIGTERM)
            alive[0].join(0.3)


def _worker_stops_in_order(**_) -> None:
    """In a new worker: a signal to stop drains it. One that is idle ends where it stands."""

    def stop(*_):
        drain.is_wanted = True
        if not drain.is_busy:
            raise SystemExit(0)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)


post_spawn.connect(_worker_stops_in_order, dispatch_uid="imagineer.jobs.cluster")


class Every(threading.Thread):
    """Calls something at once and then every so many seconds, with a database connection of its own."""

    def __init__(self, seconds: float, action: Callable[[], None]):
        super().__init__(name=action.__name__, daemon=True)
        self.seconds, self.action = seconds, action
        self._end = threading.Event()

    def run(self) -> None:
        wait = 0.0
        while not self._end.wait(wait):
            wait = self.seconds
            try:
                close_old_connections()
                self.action()
            except Exception as error:  # noqa: BLE001  as a rule the database is away, and comes back
                logger.warning("%s failed, trying again: %s", self.name, error)
        connection.close()

    def stop(self) -> None:
        self._end.set()


class Patrol:
    """What a main process does beside watching its children."""

    def __init__(self, queue: str):
        self.queue = queue
        self._is_new = True
        self._quiet_until = 0.0
        self._lead = clock_lead()

    def pulse(self) -> None:
        self._sign()
        if not self._is_quiet():
            # more often than the tick: a container that was restarted is known to be another one after seconds
            reaper.bury_workers()

    def tick(self) -> None:
        self._sign()
        if self._is_quiet():
            return
        reaper.tick()
        if self._is_new:
            # doorbells that the cluster before this one had taken are gone with it
            reaper.wake(self.queue)
            self._is_new = False

    def _sign(self) -> None:
        """A sign of life. Where the database is away or locked, the living cannot renew their leases either."""
        began = time.monotonic()
        try:
            workers.pulse()
        except Error:
            self._keep_quiet()
            raise
        if time.monotonic() - began > settings.JOB_LEASE / 3:
            self._keep_quiet()

    def _is_quiet(self) -> bool:
        lead = clock_lead()
        if abs(lead - self._lead) > settings.JOB_LEASE / 6:
            # it was set, or the machine slept: leases seem older than the living behind them
            logger.warning("the clock has jumped by %d seconds", lead - self._lead)
            self._keep_quiet()
        self._lead = lead
        return time.monotonic() < self._quiet_until

    def _keep_quiet(self) -> None:
        """After an outage the living must have time to renew their leases before any is taken for dead."""
        self._quiet_until = time.monotonic() + settings.JOB_LEASE / 3


def clock_lead() -> float:
    """Seconds from the clock that only runs to the one that people set; constant until somebody sets it."""
    return time.time() - time.monotonic()


def run_cluster(queue: str) -> int:
    """Be the main process of a cluster of this queue until it is told to stop (SIGTERM, Ctrl-C) or a part of it dies.

    :returns: the exit status: 0 when it was told to stop, whatever was left to kill; 1 after an unexpected death.
    """
    stop = StopFlag()
    for number in STOP_SIGNALS:
        signal.signal(number, stop.set)
    processes.adopt_orphans()
    worker = workers.register_worker(queue)
    connections.close_all()  # open across a fork, two processes would speak on one socket
    context = multiprocessing.get_context("fork")
    sentinel = context.Process(target=CrashOnlySentinel, args=[os.getpid()], name="sentinel")
    # What arrives before the child has its own handlers waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    sentinel.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    patrol = Patrol(queue)
    threads = [Every(workers.PULSE, patrol.pulse), Every(settings.TICK_INTERVAL, patrol.tick)]
    for thread in threads:
        thread.start()
    logger.info("working", extra={"fields": {"queue": queue, "worker": worker.pk, "processes": Conf.WORKERS}})
    is_orderly = _supervise(sentinel, stop)
    for thread in threads:
        thread.stop()
    processes.kill_descendants()
    leaving = threading.Thread(target=_leave, args=[is_orderly], daemon=True)
    leaving.start()
    leaving.join(LEAVE_TIME)  # with the database away, the next cluster of this host does it
    logger.info("ended", extra={"fields": {"queue": queue, "orderly": is_orderly}})
    return 0 if is_orderly else 1


def _supervise(sentinel, stop: StopFlag) -> bool:
    """Wait for the sentinel's end; whether it was asked for."""
    deadline = unnoticed_since = None
    look_at = 0.0
    while sentinel.is_alive():
        sentinel.join(0.1)
        now = time.monotonic()
        if stop.is_set() and deadline is None:
            deadline = now + DRAIN_TIME
            sentinel.terminate()
        if deadline is not None:
            if now > deadline:
                logger.warning("some work did not reach a checkpoint in %d seconds and is killed", DRAIN_TIME)
                return True
        elif now > look_at:
            # A worker that was killed while it held the lock that its guard needs blocks the sentinel for good.
            look_at = now + 2
            unnoticed_since = (unnoticed_since or now) if processes.has_dead_child(sentinel.pid) else None
            if unnoticed_since is not None and now - unnoticed_since > STUCK_TIME:
                logger.critical("the sentinel does not notice that a process died; ending all of it")
                return False
    return stop.is_set()


def _leave(is_orderly: bool) -> None:
    """Put back what was killed here, now and not when its lease runs out. After an orderly stop it is no strike."""
    try:
        for job in Job.objects.running().filter(owner=workers.my_id()):
            if is_orderly:
                Job.objects.held(job.pk, job.epoch).requeue(now=timezone.now())
                doorbell.ring(job.queue, job.pk)
            else:
                reaper.put_back(job)
        workers.unregister_worker()
    except Error as error:
        logger.warning("could not say good-bye, the next cluster of this host will do it: %s", error)
    finally:
        connection.close()
