"""Real clusters on a real database, and every way to end one of their processes."""

import random
import signal
import sqlite3
import time

import pytest
from django.db import connection

from imagineer.jobs import doorbell, processes, reaper
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.runner import request_cancel
from tests.clusters import freeze, kill_group, thaw, wait_until, with_no_complaint
from tests.jobs_app.models import Item, Result
from tests.jobs_app.tasks import submit_items


def status(job: Job) -> str:
    job.refresh_from_db()
    return job.status


def wait_for(job: Job, wanted: str = JobStatus.COMPLETED) -> Job:
    wait_until(lambda: status(job) == wanted, f"the job is {wanted}")
    return job


def wait_for_items(job: Job, count: int) -> None:
    wait_until(lambda: Result.objects.filter(item__job=job).count() >= count, f"{count} items are done")


def assert_every_item_once(job: Job) -> None:
    results = list(Result.objects.filter(item__job=job).values_list("item__position", flat=True))
    assert sorted(results) == list(range(1, job.total + 1))
    assert job.done == job.total
    assert job.failed == 0


def test_a_job_is_done_by_a_worker(site):
    site.start()
    job = wait_for(submit_items(5))
    assert_every_item_once(job)
    assert job.crashes == 0 and job.epoch == 1
    assert not Item.objects.filter(job=job, is_done=False).exists()


def test_a_stopped_cluster_leaves_no_process_and_no_row(site):
    cluster = site.start("gpu")
    assert Worker.objects.get().queue == "gpu"
    assert cluster.terminate() == 0
    assert site.processes() == []
    assert not Worker.objects.exists()


PROCESSES = {
    "worker": lambda cluster: cluster.workers[0],
    "monitor": lambda cluster: cluster.monitor,
    "pusher": lambda cluster: cluster.pusher,
    "sentinel": lambda cluster: cluster.sentinel,
    "main": lambda cluster: cluster.main,
}
on_both_databases = pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
on_both_if_slow = pytest.mark.parametrize(
    "backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)


@pytest.mark.parametrize("victim", ["worker", "monitor", "pusher"])
def test_any_part_of_an_idle_cluster_can_be_killed(site, victim):
    cluster = site.start("gpu")
    PROCESSES[victim](cluster).kill()
    assert cluster.wait() == 1
    wait_until(lambda: not site.processes(), "no process outlives its cluster")
    site.start("gpu")
    assert_every_item_once(wait_for(submit_items(3, kind="drawing")))


@on_both_if_slow
@pytest.mark.parametrize("victim", PROCESSES)
def test_any_process_of_a_busy_cluster_can_be_killed(site_on, tmp_path, backend, victim):
    site = site_on(backend, lease=120)  # so long that only a restart, which knows the dead, can be the rescue
    cluster = site.start("gpu")
    job = submit_items(8, kind="drawing", seconds=0.1, events=str(tmp_path / "events"))
    wait_for_items(job, 3)
    PROCESSES[victim](cluster).kill()
    assert cluster.wait() == (-signal.SIGKILL if victim == "main" else 1)
    wait_until(lambda: not site.processes(), "no process outlives its cluster")
    site.start("gpu")
    assert_every_item_once(wait_for(job))
    starts = [line for line in (tmp_path / "events").read_text().splitlines() if line.startswith("start")]
    assert len(starts) <= job.total + 1, "at most the item in hand was begun again"


@on_both_if_slow
def test_a_container_that_is_started_again_gets_its_job_back_long_before_the_lease(site_on, backend):
    site = site_on(backend, lease=600)  # so long that a tick comes after the test has given up
    cluster = site.start("gpu")
    job = submit_items(8, kind="drawing", seconds=0.1)
    wait_for_items(job, 3)
    for process in cluster.processes():
        with_no_complaint(process.kill)
    # the processes of the container before cannot be looked up from this one
    Worker.objects.update(boot=processes.boot_id().replace("pid:", "pid:other "))
    site.start("gpu")
    assert_every_item_once(wait_for(job))
    assert job.crashes == 0, "forgiven with the next item"


@on_both_if_slow
@pytest.mark.parametrize("reach", ["main", "group"])
def test_a_signal_to_stop_puts_the_job_back_without_a_strike(site_on, backend, reach):
    site = site_on(backend, lease=120)
    cluster = site.start("gpu")
    job = submit_items(200, kind="drawing", seconds=0.05)
    waiting = submit_items(2, kind="drawing")
    wait_for_items(job, 2)
    if reach == "main":
        cluster.popen.terminate()
    else:
        kill_group(cluster, signal.SIGTERM)
    assert cluster.wait() == 0
    assert "is killed" not in cluster.log
    assert site.processes() == []
    assert status(job) == JobStatus.QUEUED
    assert job.crashes == 0 and 2 <= job.done < 200
    assert job.lease_until is None and job.owner is None
    assert status(waiting) == JobStatus.QUEUED
    Job.objects.filter(pk=job.pk).update(params={})  # the rest without its pauses
    site.start("gpu")
    assert_every_item_once(wait_for(job))
    assert_every_item_once(wait_for(waiting))


@pytest.mark.slow
def test_work_that_reaches_no_checkpoint_is_killed_at_a_stop_and_put_back_without_a_strike(site_on):
    site = site_on("sqlite", lease=120)
    cluster = site.start("gpu")
    job = submit_items(3, kind="drawing", hang_at=2)
    wait_for_items(job, 1)
    assert cluster.terminate() == 0
    assert site.processes() == []
    assert status(job) == JobStatus.QUEUED
    assert job.crashes == 0 and job.done == 1


@on_both_if_slow
def test_a_frozen_worker_that_wakes_after_another_took_over_writes_nothing(site_on, backend):
    site = site_on(backend, lease=3)
    sleeper = site.start("gpu")
    job = submit_items(30, kind="drawing", seconds=0.1)
    wait_for_items(job, 3)
    asleep = sleeper.processes()
    for process in asleep:
        freeze(process)
    site.start("gpu")
    wait_until(
        lambda: Result.objects.filter(item__job=job).values("pid").distinct().count() == 2, "it is taken over"
    )
    job.refresh_from_db()
    epoch = job.epoch
    for process in asleep:
        thaw(process)
    wait_until(lambda: "the lease was lost" in sleeper.log, "the frozen one notices")
    assert_every_item_once(wait_for(job))
    assert job.epoch == epoch
    frozen_worker = asleep[2].pid
    assert not Result.objects.filter(item__job=job, pid=frozen_worker, epoch=epoch).exists()


@pytest.mark.parametrize("how", ["hang_at", "freeze_at"])
def test_a_hung_body_is_ended_even_if_it_never_gives_the_interpreter_back(site_on, how):
    site = site_on("sqlite", lease=30)
    cluster = site.start("gpu", IMAGINEER_JOB_STALL="2")
    job = submit_items(3, kind="drawing", **{how: 2})
    assert cluster.wait() == 1
    wait_until(lambda: not site.processes(), "no process outlives its cluster")
    assert status(job) == JobStatus.QUEUED
    assert (job.crashes, job.done) == (1, 1)
    assert "misbehave" in cluster.log, "the log shows where it hung"
    Job.objects.filter(pk=job.pk).update(params={})  # what it hung on is over
    site.start("gpu")
    assert_every_item_once(wait_for(job))


def test_cancelling_stops_a_running_job_and_keeps_what_is_done(site):
    site.start("gpu")
    job = submit_items(500, kind="drawing", seconds=0.05)
    after = submit_items(2, kind="drawing")
    wait_for_items(job, 2)
    assert request_cancel(job).status == JobStatus.RUNNING
    wait_for(job, JobStatus.CANCELLED)
    wait_for(after)
    job.refresh_from_db()
    assert 2 <= job.done == Result.objects.filter(item__job=job).count() < 500
    assert job.status == JobStatus.CANCELLED


def test_a_worker_stays_warm_and_takes_the_most_urgent_job_first(site):
    low, high = (submit_items(1, kind="drawing", priority=priority) for priority in (0, 5))
    site.start("gpu")
    wait_for(low), wait_for(high)
    assert high.started_at < low.started_at
    assert Result.objects.values("pid").distinct().count() == 1


@on_both_databases
def test_a_lost_doubled_or_shuffled_message_changes_nothing(site_on, monkeypatch, backend):
    site = site_on(backend, lease=1)
    site.start()
    rings = []
    monkeypatch.setattr(doorbell, "ring", lambda *message: rings.append(message))
    jobs = [submit_items(2) for _ in range(6)]
    monkeypatch.undo()
    assert len(rings) == 6
    for message in [*reversed(rings[3:])] * 7:  # the first three are never rung for
        doorbell.ring(*message)
    for job in jobs:
        assert_every_item_once(wait_for(job))
        assert job.epoch == 1

    monkeypatch.setattr(doorbell, "ring", lambda *message: None)
    lost = submit_items(2)
    monkeypatch.undo()
    assert_every_item_once(wait_for(lost))


def test_jobs_run_with_redis_as_the_broker_and_outlive_its_memory(site_on, redis_server):
    site = site_on("redis", lease=1)
    site.start()
    assert_every_item_once(wait_for(submit_items(3)))
    waiting = submit_items(3, kind="drawing")
    redis_server.client.flushall()
    cluster = site.start("gpu")
    assert_every_item_once(wait_for(waiting))
    running = submit_items(20, kind="drawing", seconds=0.05)
    wait_for_items(running, 2)
    cluster.workers[0].kill()
    assert cluster.wait() == 1
    site.start("gpu")
    assert_every_item_once(wait_for(running))


def test_a_doorbell_that_a_broker_did_not_take_is_rung_by_the_next_tick(site_on, redis_server):
    site_on("redis")
    redis_server.stop()
    job = submit_items(1)
    job.refresh_from_db()
    assert job.rung_at is None
    reaper.tick()
    job.refresh_from_db()
    assert job.rung_at is None, "it still does not take any"
    redis_server.start()
    assert reaper.tick()["reaper.ring_forgotten"] == 1
    job.refresh_from_db()
    assert job.rung_at is not None and doorbell.is_ringing("default")


@pytest.mark.slow
def test_a_broker_that_is_away_stops_no_running_job_and_loses_none(site_on, redis_server):
    site = site_on("redis", lease=2)
    cluster = site.start("gpu")
    running = submit_items(30, kind="drawing", seconds=0.1)
    wait_for_items(running, 2)
    redis_server.stop()
    unheard = submit_items(3, kind="drawing")
    waiting = submit_items(3, kind="errand")
    assert_every_item_once(wait_for(running))
    assert_every_item_once(wait_for(unheard))
    time.sleep(11)  # so long that the pusher gives up
    redis_server.start()
    assert cluster.popen.poll() is None, "the cluster lives on"
    assert_every_item_once(wait_for(submit_items(3, kind="drawing")))
    site.start()
    assert_every_item_once(wait_for(waiting))
    assert running.crashes == 0


@pytest.mark.slow
def test_a_database_that_is_away_fails_no_job(site_on, postgres):
    site = site_on("postgresql", lease=3)
    name = connection.settings_dict["NAME"]
    site.start("gpu")
    job = submit_items(40, kind="drawing", seconds=0.1)
    for outage in (1, 2):
        wait_for_items(job, 5 * outage)
        connection.close()
        postgres(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        for _ in range(20):
            postgres(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            time.sleep(0.1)
        postgres(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    restart_until(site, "gpu", lambda: status(job) == JobStatus.COMPLETED)
    assert_every_item_once(job)


def test_a_locked_database_fails_no_job(site_on):
    site = site_on("sqlite", lease=15)  # a third of it is time enough for a beat on a machine with much to do
    site.start("gpu")
    job = submit_items(20, kind="drawing", seconds=0.1)
    wait_for_items(job, 3)
    with sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(site.lease + 5)
        other.execute("ROLLBACK")
    other.close()
    assert_every_item_once(wait_for(job))
    assert job.epoch == 1, "its worker could not renew the lease, and was not taken for dead"


def restart_until(site, queue: str, condition) -> None:
    """What a service manager does: start the cluster again whenever it has ended."""

    def is_met():
        if site.clusters[-1].popen.poll() is not None:
            site.start(queue, wait=False)
        return condition()

    wait_until(is_met, "the work is done", timeout=240)


@pytest.mark.slow
def test_a_job_that_kills_its_workers_fails_with_a_reason_and_the_others_finish(site_on):
    site = site_on("sqlite", lease=1)
    deadly = submit_items(3, kind="drawing", die_at=1)
    harmless = submit_items(3, kind="drawing")
    site.start("gpu", wait=False)
    restart_until(
        site, "gpu", lambda: status(deadly) == JobStatus.FAILED and status(harmless) == JobStatus.COMPLETED
    )
    assert "died 5 times without finishing anything" in deadly.error
    assert deadly.done == 0
    assert_every_item_once(harmless)


@pytest.mark.slow
@on_both_databases
def test_random_kills_of_any_process_lose_and_double_nothing(site_on, tmp_path, backend):
    site = site_on(backend, lease=3)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    jobs = [submit_items(25, kind="drawing", seconds=0.1, events=str(tmp_path / "events")) for _ in range(6)]
    site.start("gpu")
    kills = 0
    while kills < 20:
        time.sleep(dice.uniform(0.2, 1.5))
        alive = site.processes()
        if site.clusters[-1].popen.poll() is None and alive:
            with_no_complaint(dice.choice(alive).kill)
            kills += 1
        if site.clusters[-1].popen.poll() is not None:
            site.start("gpu", wait=False)
    restart_until(site, "gpu", lambda: not Job.objects.active().exists())
    for job in jobs:
        assert status(job) == JobStatus.COMPLETED
        assert_every_item_once(job)
    starts = [line for line in (tmp_path / "events").read_text().splitlines() if line.startswith("start")]
    assert len(starts) <= 6 * 25 + kills
