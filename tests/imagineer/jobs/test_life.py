"""Any sequence of what people, workers and the reaper can do to a job."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imagineer.jobs import reaper, runner
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import LeaseLost, Progress
from imagineer.jobs.runner import JobConflict, Outcome

TOTAL = 4
ALLOWED = {
    (JobStatus.QUEUED, JobStatus.RUNNING),
    (JobStatus.QUEUED, JobStatus.CANCELLED),
    (JobStatus.RUNNING, JobStatus.QUEUED),
    (JobStatus.RUNNING, JobStatus.COMPLETED),
    (JobStatus.RUNNING, JobStatus.FAILED),
    (JobStatus.RUNNING, JobStatus.CANCELLED),
}


class LifeOfAJob(RuleBasedStateMachine):
    """Two workers that may die, freeze and wake; a person; and the reaper."""

    def __init__(self):
        super().__init__()
        self.job = runner.submit(kind="errand", total=TOTAL)
        self.claims = {"A": None, "B": None}
        self.status, self.epoch, self.written = JobStatus.QUEUED, 0, 0
        self.retried = False

    workers = st.sampled_from(["A", "B"])

    def now(self) -> Job:
        return Job.objects.get(pk=self.job.pk)

    @rule(worker=workers)
    def claims_it(self, worker):
        Job.objects.update(not_before=None)
        job = runner.claim("default")
        if job:
            self.claims[worker] = Progress(job)

    @precondition(lambda self: any(self.claims.values()))
    @rule(worker=workers, is_good=st.booleans())
    def commits_an_item(self, worker, is_good):
        progress = self.claims[worker]
        row = self.now()
        if progress is None or row.done + row.failed == TOTAL:
            return
        is_holder = row.status == JobStatus.RUNNING and row.epoch == progress.epoch
        try:
            with progress.commit(done=int(is_good), failed=int(not is_good)):
                pass
        except LeaseLost:
            assert not is_holder
        else:
            assert is_holder, "only the holder may write"

    @precondition(lambda self: any(self.claims.values()))
    @rule(
        worker=workers,
        outcome=st.sampled_from(
            [Outcome(status) for status in (*JobStatus,) if status != JobStatus.RUNNING]
            + [Outcome(JobStatus.QUEUED, waits=True)]
        ),
    )
    def ends_its_work(self, worker, outcome):
        progress, self.claims[worker] = self.claims[worker], None
        if progress is None:
            return
        before = self.now()
        is_holder = before.status == JobStatus.RUNNING and before.epoch == progress.epoch
        runner._record(progress, outcome)
        assert is_holder or self.now().status == before.status

    @rule(is_lease_over=st.booleans())
    def the_reaper_comes(self, is_lease_over):
        if is_lease_over:
            Job.objects.running().update(lease_until=timezone.now() - timedelta(seconds=1))
        reaper.tick()

    @rule()
    def somebody_cancels(self):
        was_active = self.now().is_active
        try:
            runner.request_cancel(self.now())
        except JobConflict:
            assert not was_active
        else:
            assert was_active

    @rule()
    def somebody_retries(self):
        before = self.now()
        try:
            runner.retry(self.now())
        except JobConflict:
            assert not before.can_retry
        else:
            assert before.can_retry
            self.retried = True

    @invariant()
    def only_allowed_steps_are_made(self):
        row = self.now()
        step = (self.status, row.status)
        if self.retried:
            assert row.status == JobStatus.QUEUED
        elif step[0] != step[1]:
            assert step in ALLOWED, f"{step[0]} became {step[1]}"
        assert row.epoch >= self.epoch, "an epoch never comes back"
        assert (row.status == JobStatus.RUNNING) == (row.lease_until is not None)
        assert row.is_active == (row.finished_at is None)
        self.status, self.epoch, self.retried = row.status, row.epoch, False

    def teardown(self):
        Job.objects.all().delete()


@pytest.mark.django_db
def test_terminal_states_are_final_and_only_the_holder_writes():
    run_state_machine_as_test(
        LifeOfAJob,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
