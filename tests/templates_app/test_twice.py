"""What is asked twice happens once, and what others hang on is not deleted under them."""

import pytest
from django.db.models import ProtectedError

from gallery.ingest import ingest_image
from gallery.models import Image
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering
from tests.factories import start_run
from tests.gallery.pictures import png
from tests.templates_app.test_drawing import again, assert_whole, at_pass, draw

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_that_is_done_is_not_drawn_again(tiny):
    run = draw(start_run())
    with pytest.raises(runner.JobConflict, match="completed already"):
        runner.run_inline(run.job)
    with pytest.raises(runner.JobConflict, match="nothing to try again"):
        ordering.retry_run(run)
    assert_whole(again(run))


def test_a_run_that_is_being_drawn_is_not_started_beside_it(tiny):
    run = start_run()
    refusals = []

    def start_again():
        with pytest.raises(runner.JobConflict, match="running already"):
            runner.run_inline(Job.objects.get(pk=run.pk))
        refusals.append(runner.claim("gpu"))

    with at_pass(1, start_again):
        run = draw(run)
    assert refusals == [None]
    assert_whole(run)


def test_of_two_cancels_the_second_finds_it_cancelled():
    run = start_run()
    runner.request_cancel(run.job)
    with pytest.raises(runner.JobConflict, match="cancelled already"):
        runner.request_cancel(run.job)


def test_two_retries_queue_it_once(tiny):
    run = start_run()
    runner.request_cancel(run.job)
    ordering.retry_run(run)
    with pytest.raises(runner.JobConflict, match="is queued"):
        ordering.retry_run(run)
    assert_whole(draw(again(run)))


def test_cancel_and_retry_at_every_state_end_with_each_picture_once(tiny):
    """Cancelled while it waits, while it loads, in a batch, and in its last one; retried each time."""
    run = start_run(variants=6)
    runner.request_cancel(run.job)
    for number in (1, 2, 4, 5):
        ordering.retry_run(again(run))
        with at_pass(number, lambda pk=run.pk: runner.request_cancel(Job.objects.get(pk=pk))):
            run = draw(again(run))
        assert run.job.status in (JobStatus.CANCELLED, JobStatus.COMPLETED)
        if run.job.status == JobStatus.COMPLETED:
            break
        assert not run.items.filter(status=JobStatus.RUNNING).exists()
        assert run.items.filter(status=JobStatus.COMPLETED).count() == run.job.done
    else:
        ordering.retry_run(again(run))
        run = draw(again(run))
    assert_whole(run)


def test_neither_template_version_nor_model_is_deleted_under_a_run():
    run = start_run()
    with pytest.raises(ProtectedError):
        run.template_version.template.delete()
    with pytest.raises(ProtectedError):
        run.template_version.delete()
    with pytest.raises(ProtectedError):
        run.model.delete()
    assert again(run).template_version is not None


def test_a_picture_of_a_run_is_not_deleted_under_its_item(tiny):
    run = draw(start_run(row_selection="1"))
    with pytest.raises(ProtectedError):
        run.items.get().image.delete()


def test_a_reference_picture_may_go_and_what_was_drawn_from_it_stays(tiny):
    reference = ingest_image(png(1), source_type="manual").image
    run = draw(start_run(reference_image_id=reference.pk))
    digest = reference.sha256
    reference.delete()
    run = again(run)
    assert (run.reference_image, run.reference_sha256) == (None, digest)
    assert_whole(run)
    drawn = Image.objects.filter(source_id=run.pk)
    assert {image.reference_image for image in drawn} == {None}
    assert {image.generation_params["reference_sha256"] for image in drawn} == {digest}
