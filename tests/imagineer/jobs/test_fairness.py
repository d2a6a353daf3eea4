"""Who goes first, and who makes room."""

from datetime import timedelta

import pytest
from django.utils import timezone

from imagineer.jobs import kinds, runner
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import JobYielded, Progress
from imagineer.jobs.runner import JobConflict, claim, move_to_front, run_inline, run_jobs, submit
from tests.clusters import wait_until
from tests.imagineer.jobs.test_cluster import assert_every_item_once, wait_for, wait_for_items
from tests.jobs_app.models import Result
from tests.jobs_app.tasks import do_items, submit_items

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def meanwhile(monkeypatch):
    """``meanwhile(2, act)``: act once, when the second item of anything is done."""

    def arrange(number: int, act):
        waiting = [act]

        def before_done(item):
            if waiting and Result.objects.count() == number:
                waiting.pop()()

        def body(job, progress):
            do_items(job, progress, before_done)

        monkeypatch.setitem(kinds._kinds, "errand", kinds.Kind("errand", "default", body))

    return arrange


def order_of_work() -> list[tuple[int, int]]:
    """(job, position) of every item in the order in which they were done."""
    return list(Result.objects.order_by("pk").values_list("item__job", "item__position"))


def test_a_set_gives_way_at_its_next_item_and_goes_on_by_itself(meanwhile):
    urgent = []
    running = submit_items(4)
    younger = submit_items(1)
    meanwhile(1, lambda: urgent.append(submit_items(2, priority=10)))
    run_jobs("default")
    [urgent] = urgent
    assert order_of_work() == [
        (running.pk, 1),
        (running.pk, 2),
        (urgent.pk, 1),
        (urgent.pk, 2),
        (running.pk, 3),
        (running.pk, 4),
        (younger.pk, 1),
    ], "what has given way goes on before younger jobs of its priority"
    running.refresh_from_db()
    assert (running.status, running.crashes, running.epoch) == (JobStatus.COMPLETED, 0, 2)
    assert_every_item_once(running)


def test_equal_jobs_never_give_way_to_each_other(meanwhile):
    first = submit_items(3)
    meanwhile(1, lambda: submit_items(3))
    run_jobs("default")
    first.refresh_from_db()
    assert first.epoch == 1
    assert set(Job.objects.values_list("epoch", flat=True)) == {1}


@pytest.mark.parametrize(
    "other",
    [
        {"priority": -10},
        {"priority": 0},
        {"priority": 10, "kind": "drawing"},  # waits in another queue
        {"priority": 10, "inline": True},  # somebody is about to do it
    ],
)
def test_nothing_else_makes_a_job_give_way(other):
    submit_items(1)
    progress = Progress(claim("default"))
    submit_items(1, **other)
    progress.give_way()


def test_an_urgent_job_that_is_not_due_yet_makes_nobody_wait():
    submit_items(1)
    progress = Progress(claim("default"))
    urgent = submit_items(1, priority=10)
    Job.objects.filter(pk=urgent.pk).update(not_before=timezone.now() + timedelta(minutes=1))
    progress.give_way()
    Job.objects.filter(pk=urgent.pk).update(not_before=timezone.now() - timedelta(minutes=1))
    with pytest.raises(JobYielded):
        progress.give_way()


def test_a_job_that_is_done_inline_gives_way_to_nobody():
    job = submit_items(2, inline=True)
    submit_items(1, priority=10)
    assert run_inline(job).status == JobStatus.COMPLETED


def test_what_has_given_way_can_be_cancelled_while_it_waits(meanwhile):
    running = submit_items(3)

    def act():
        submit_items(1, priority=10)
        runner.request_cancel(running)

    meanwhile(1, act)
    run_jobs("default")
    running.refresh_from_db()
    assert running.status == JobStatus.CANCELLED
    assert running.done == 2


def test_what_is_cancelled_while_it_waits_no_longer_says_what_it_waited_for():
    job = submit_items(1)
    Job.objects.filter(pk=job.pk).update(message="Goes on when something more urgent is done.")
    assert runner.request_cancel(job).message == ""


def test_looking_for_something_more_urgent_is_one_statement(django_assert_num_queries):
    submit_items(1)
    progress = Progress(claim("default"))
    with django_assert_num_queries(1):
        progress.give_way()


def claimed_in_order() -> list[int]:
    taken = []
    while job := claim("default"):
        taken.append(job.pk)
    return taken


def test_a_job_moved_to_the_front_is_next_and_what_is_urgent_stays_before_it():
    first, second, third = (submit(kind="errand") for _ in range(3))
    urgent = submit(kind="errand", priority=runner.URGENT)
    move_to_front(third)
    assert move_to_front(second).priority < runner.URGENT
    assert claimed_in_order() == [urgent.pk, second.pk, third.pk, first.pk]


def test_a_running_set_makes_room_for_what_was_moved_to_the_front():
    submit_items(1)
    progress = Progress(claim("default"))
    chosen = submit_items(1)
    progress.give_way()
    move_to_front(chosen)
    with pytest.raises(JobYielded):
        progress.give_way()


def test_among_urgent_ones_the_front_is_the_front_too():
    first, second = (submit(kind="errand", priority=runner.URGENT) for _ in range(2))
    move_to_front(second)
    assert claimed_in_order() == [second.pk, first.pk]


def test_a_visitors_job_moved_to_the_front_of_visitors_stays_behind_an_admins():
    first, second = (submit(kind="errand", priority=-10) for _ in range(2))
    move_to_front(second)
    job = submit(kind="errand")
    assert claimed_in_order() == [job.pk, second.pk, first.pk]


def test_the_front_is_for_jobs_that_wait():
    submit(kind="errand")
    job = claim("default")
    with pytest.raises(JobConflict, match="is running"):
        move_to_front(job)


def test_a_real_worker_lets_the_urgent_job_through_and_loses_nothing(site):
    site.start("gpu")
    long = submit_items(40, kind="drawing", seconds=0.1)
    wait_for_items(long, 3)
    urgent = wait_for(submit_items(2, kind="drawing", priority=10))
    long.refresh_from_db()
    assert long.is_active, "the set waited for it, and not the other way round"
    assert 3 <= long.done < 40
    wait_until(lambda: wait_for(long), "the set goes on by itself")
    assert_every_item_once(long)
    assert_every_item_once(urgent)
    assert (long.crashes, long.epoch) == (0, 2)
    assert Result.objects.values("pid").distinct().count() == 1
