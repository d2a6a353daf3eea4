import pytest

from imagineer.jobs.models import JobStatus
from imagineer.jobs.runner import run_inline
from tests.jobs_app.models import Result
from tests.jobs_app.tasks import submit_items


@pytest.mark.django_db(transaction=True)
def test_a_job_run_inline_does_every_item_once():
    job = run_inline(submit_items(5))
    assert (job.status, job.done, job.failed, job.total) == (JobStatus.COMPLETED, 5, 0, 5)
    assert Result.objects.count() == 5
    assert job.lease_until is None and job.owner is None and job.finished_at >= job.started_at
