"""Who waits for what, and about how long."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils import timezone

from imagineer.jobs import kinds, waiting
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.runner import submit
from imagineer.jobs.waiting import describe_line, places, say
from imagineer.jobs.workers import register_worker, unregister_worker

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def request_of_anybody():
    request = RequestFactory().get("/queue")
    request.user, request.session = AnonymousUser(), {}
    return request


@pytest.fixture
def worker(db):
    """One pair of hands in the queue gpu."""
    yield register_worker("gpu")
    unregister_worker()


def finished(*, items: int, seconds: float) -> Job:
    """A job of the past that took so long for each item."""
    end = timezone.now() - HOUR
    return Job.objects.create(
        kind="drawing",
        queue="gpu",
        total=items,
        done=items,
        status=JobStatus.COMPLETED,
        started_at=end - timedelta(seconds=items * seconds),
        finished_at=end,
    )


def running(*, done: int, total: int, since: float, **fields) -> Job:
    now = timezone.now()
    return Job.objects.create(
        kind="drawing",
        queue="gpu",
        done=done,
        total=total,
        status=JobStatus.RUNNING,
        epoch=1,
        lease_until=now + HOUR,
        started_at=now - timedelta(seconds=since),
        **fields,
    )


def test_places_are_counted_in_each_queue_by_priority_and_age():
    first, second, urgent = (submit(kind="drawing", priority=priority) for priority in (0, 0, 10))
    light = submit(kind="errand")
    jobs = [first, second, urgent, light, running(done=0, total=1, since=1)]
    assert places(jobs) == {urgent.pk: 1, first.pk: 2, second.pk: 3, light.pk: 1}


def test_what_waits_starts_when_what_is_before_it_is_done(request_of_anybody, worker):
    for seconds in (2, 2, 2, 2):
        finished(items=10, seconds=seconds)
    running(done=50, total=100, since=100)  # two seconds each, so about a hundred to go
    submit(kind="drawing", total=30), submit(kind="drawing", total=5)
    line = describe_line("gpu", request_of_anybody)
    first, second = line.waiting
    assert [entry.place for entry in line.waiting] == [1, 2]
    assert line.running[0].takes == pytest.approx((80, 125), rel=0.1)
    assert first.starts_in == line.running[0].takes
    assert first.takes == pytest.approx((60, 60))
    assert second.starts_in == pytest.approx((140, 185), rel=0.1)


def test_a_job_that_was_interrupted_is_judged_by_its_like(request_of_anybody, worker):
    finished(items=10, seconds=2)
    job = running(done=1, total=11, since=3600)
    Job.objects.filter(pk=job.pk).update(epoch=2)
    assert describe_line("gpu", request_of_anybody).running[0].takes == pytest.approx((20, 20))


def test_a_kind_that_knows_better_is_asked_first(request_of_anybody, worker, monkeypatch):
    finished(items=10, seconds=2)
    job = submit(kind="drawing", total=3)
    kind = kinds._kinds["drawing"]
    monkeypatch.setitem(kinds._kinds, "drawing", replace(kind, lasts=lambda jobs: {job.pk: (7.0, 9.0)}))
    assert describe_line("gpu", request_of_anybody).waiting[0].takes == (7, 9)


def test_what_is_more_urgent_than_the_running_set_does_not_wait_for_its_end(request_of_anybody, worker):
    running(done=1, total=1000, since=100)
    submit(kind="drawing", priority=10, total=1)
    [urgent] = describe_line("gpu", request_of_anybody).waiting
    assert urgent.starts_in == (0, 0)


def test_without_history_or_worker_nobody_can_say(request_of_anybody):
    submit(kind="drawing", total=3), submit(kind="drawing", total=3)
    line = describe_line("gpu", request_of_anybody)
    assert line.workers == []
    assert [(entry.starts_in, entry.takes) for entry in line.waiting] == [(None, None)] * 2


def test_behind_a_job_of_which_nobody_can_say_how_long_it_takes_nobody_can_say_when(
    request_of_anybody, worker
):
    submit(kind="drawing", total=3), submit(kind="drawing", total=3)
    first, second = describe_line("gpu", request_of_anybody).waiting
    assert first.starts_in == (0, 0)
    assert second.starts_in is None


def test_a_job_that_is_not_due_starts_no_sooner_than_that(request_of_anybody, worker):
    job = submit(kind="drawing", total=3)
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now() + HOUR)
    [entry] = describe_line("gpu", request_of_anybody).waiting
    assert entry.starts_in[0] > 3000


def test_a_long_queue_is_cut_and_says_how_much_is_left_out(request_of_anybody, django_assert_max_num_queries):
    for _ in range(waiting.SHOWN + 7):
        submit(kind="drawing")
    with django_assert_max_num_queries(6):
        line = describe_line("gpu", request_of_anybody)
    assert (len(line.waiting), line.more) == (waiting.SHOWN, 7)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (None, ""),
        ((0, 20), "less than a minute"),
        ((40, 70), "about 1 minute"),
        ((100, 110), "about 2 minutes"),
        ((100, 300), "2–5 minutes"),
        ((3600, 7200), "1–2 hours"),
        ((86400, 86400), "about 24 hours"),
    ],
)
def test_a_span_is_said_in_words(span, words):
    assert say(span) == words
