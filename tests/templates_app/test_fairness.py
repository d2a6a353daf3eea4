"""Somebody who waits for one picture does not wait for a set."""

import pytest

from gallery.models import Image
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering
from tests.factories import make_template, start_run
from tests.templates_app.test_drawing import again, assert_whole, at_pass

pytestmark = pytest.mark.django_db(transaction=True)


def sources_in_order() -> list[int]:
    drawn = list(Image.objects.order_by("pk").values_list("source_id", flat=True))
    return [source for at, source in enumerate(drawn) if at == 0 or drawn[at - 1] != source]


def test_a_set_gives_way_to_a_single_picture_at_its_next_batch_and_keeps_what_is_drawn(tiny):
    run = start_run(make_template(), variants=8)
    singles = []

    def order():
        singles.append(ordering.start_single("a crab", steps=2, width=64, height=64))

    with at_pass(1, order):
        runner.run_jobs("gpu")
    [single] = singles
    assert sources_in_order() == [run.pk, single.pk, run.pk]
    assert_whole(again(run))
    assert_whole(again(single))
    job = Job.objects.get(pk=run.pk)
    assert (job.epoch, job.crashes) == (2, 0)
    assert set(run.items.values_list("tries", "strikes", "is_alone")) == {(0, 0, False)}


def test_a_set_does_not_give_way_to_another_set(tiny):
    template = make_template()
    run = start_run(template, variants=8)
    with at_pass(1, lambda: start_run(template)):
        runner.run_jobs("gpu")
    assert Job.objects.get(pk=run.pk).epoch == 1
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.COMPLETED}


def test_a_command_that_draws_inline_gives_way_to_nobody(tiny):
    run = start_run(make_template(), variants=8, inline=True)
    ordering.start_single("a crab", steps=2)
    assert runner.run_inline(run.job).status == JobStatus.COMPLETED
