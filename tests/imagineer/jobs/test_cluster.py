"""Real clusters on a real database, and every way to end one of their processes."""

import signal

import pytest

from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.runner import request_cancel
from tests.clusters import freeze, kill_group, thaw, wait_until
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


@pytest.mark.parametrize("victim", ["worker", "monitor", "pusher", "sentinel", "main"])
def test_any_process_of_an_idle_cluster_can_be_killed(site, victim):
    cluster = site.start("gpu")
    process = {
        "worker": lambda: cluster.workers[0],
        "monitor": lambda: cluster.monitor,
        "pusher": lambda: cluster.pusher,
        "sentinel": lambda: cluster.sentinel,
        "main": lambda: cluster.main,
    }[victim]()
    process.kill()
    assert cluster.wait() in (1, -signal.SIGKILL)
    wait_until(lambda: not site.processes(), "no process outlives its cluster")
    site.start("gpu")
    assert_every_item_once(wait_for(submit_items(3, kind="drawing")))
