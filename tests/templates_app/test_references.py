"""Runs that start from a picture (image to image), with the real network on a tiny model."""

import io
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.management import call_command
from PIL import Image as Pillow

from gallery.ingest import ingest_image
from gallery.models import Image, Rating
from gallery.services import add_images, create_album, restore_image, retract_image, trash_image
from gallery.trash import purge_from_trash
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering
from templates_app.models import BatchGenerationRun, RunItem
from tests.factories import make_template, start_run
from tests.gallery.pictures import png
from tests.templates_app.test_drawing import again, assert_whole, at_pass, draw

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def picture(db):
    return ingest_image(png(1), source_type="manual", rating=Rating.SAFE).image


def publish(image):
    add_images(create_album(name="Shown"), [image])


def test_every_picture_of_the_run_starts_from_the_reference_and_says_so(tiny, picture):
    template = make_template()
    plain = draw(start_run(template))
    run = draw(start_run(template, reference_image_id=picture.pk, strength=0.5))
    assert_whole(run)
    assert (run.reference_image, run.reference_sha256, run.strength) == (picture, picture.sha256, 0.5)
    for item, other in zip(run.items.all(), plain.items.all(), strict=True):
        image = item.image
        assert image.reference_image == picture
        assert image.sha256 != other.image.sha256
        assert image.generation_params["reference_sha256"] == picture.sha256
        assert image.generation_params["strength"] == 0.5
        with default_storage.open(image.file.name) as file:
            chunks = Pillow.open(file).text
        assert "Denoising strength: 0.5" in chunks["parameters"]
        recipe = json.loads(chunks["imagineer"])
        assert recipe["reference_sha256"] == picture.sha256
        assert not {"reference_image_id", "reference_image", "path"} & set(recipe)


def test_the_same_order_from_the_same_picture_gives_the_same_bytes(tiny, picture):
    template = make_template()
    runs = [draw(start_run(template, reference_image_id=picture.pk)) for _ in range(2)]
    first, second = ([item.image.sha256 for item in run.items.all()] for run in runs)
    assert first == second


def test_without_a_strength_it_is_the_usual_one(picture):
    assert start_run(reference_image_id=picture.pk).strength == ordering.DEFAULT_STRENGTH == 0.6


@pytest.mark.parametrize("strength", [0.05, 1.0])
def test_a_strength_at_its_edge_is_drawn(tiny, picture, strength):
    assert_whole(draw(start_run(reference_image_id=picture.pk, strength=strength, row_selection="1")))


@pytest.mark.parametrize("strength", [0, 0.04, 1.01, -1, float("nan")])
def test_a_strength_past_its_edge_is_refused(picture, strength):
    with pytest.raises(ValidationError) as caught:
        start_run(reference_image_id=picture.pk, strength=strength)
    assert "strength" in caught.value.message_dict
    assert not Job.objects.exists()


def test_a_strength_without_a_reference_is_refused():
    with pytest.raises(ValidationError) as caught:
        start_run(strength=0.5)
    assert "name one" in caught.value.message_dict["strength"][0]


@pytest.mark.parametrize("state", ["missing", "trashed", "retracted"])
def test_a_picture_that_may_not_be_used_starts_nothing(picture, state):
    act = {"missing": Image.delete, "trashed": trash_image, "retracted": retract_image}[state]
    image_id = picture.pk
    act(picture)
    for order in (start_run, lambda **options: ordering.start_single("a crab", **options)):
        with pytest.raises(ValidationError) as caught:
            order(reference_image_id=image_id)
        assert "no picture" in caught.value.message_dict["reference_image_id"][0]
    assert not Job.objects.exists()


def test_a_reference_that_is_trashed_while_the_run_goes_on_stays_its_reference(tiny, picture):
    run = start_run(reference_image_id=picture.pk, variants=6)
    with at_pass(1, lambda: trash_image(picture)):
        run = draw(run)
    assert_whole(run)
    assert {item.image.reference_image_id for item in run.items.all()} == {picture.pk}


def test_a_reference_that_lies_in_the_trash_still_serves_a_run_that_was_ordered_before(tiny, picture):
    run = start_run(reference_image_id=picture.pk)
    trash_image(picture)
    assert_whole(draw(run))


def test_a_reference_that_was_purged_fails_the_run_with_a_sentence(tiny, picture):
    run = start_run(reference_image_id=picture.pk)
    picture.delete()
    run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert "reference picture was deleted" in run.job.error
    assert run.reference_sha256, "what it was to be drawn from stays known"


def purge_image(image):
    assert purge_from_trash(trash_image(image))


@pytest.mark.parametrize("act", [purge_image, retract_image])
def test_a_reference_that_goes_for_good_in_the_middle_stops_the_run_and_nothing_is_called_safe(
    tiny, picture, act
):
    run = start_run(reference_image_id=picture.pk, variants=8)
    with at_pass(3, lambda: act(picture)):
        run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert "deleted or withdrawn" in run.job.error
    assert not run.items.filter(status=JobStatus.RUNNING).exists()
    assert run.items.filter(status=JobStatus.COMPLETED).count() == run.job.done < run.job.total


def test_a_lost_file_fails_the_run_and_a_retry_after_putting_it_back_draws_it(tiny, picture):
    run = start_run(reference_image_id=picture.pk)
    with picture.file.open() as file:
        data = file.read()
    default_storage.delete(picture.file.name)
    run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert f"reference picture {picture.pk} is lost or damaged" in run.job.error
    default_storage.save(picture.file.name, io.BytesIO(data))
    assert_whole(draw(ordering.retry_run(run)))


def test_a_run_whose_reference_lies_on_a_disk_that_is_away_waits_for_it(tiny, picture, unmounted):
    run = start_run(reference_image_id=picture.pk)
    with unmounted():
        run = draw(run)
    assert (run.job.status, run.job.error) == (JobStatus.QUEUED, "")
    assert run.job.not_before and "cannot be read now" in run.job.message
    Job.objects.update(not_before=None)
    assert_whole(draw(run))


def test_a_file_that_is_another_one_is_not_drawn_from(tiny, picture):
    run = start_run(reference_image_id=picture.pk)
    default_storage.delete(picture.file.name)
    default_storage.save(picture.file.name, io.BytesIO(png(2)))
    run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert "lost or damaged" in run.job.error
    assert not Image.objects.filter(source_type="batch_generation").exists()


def test_a_trusted_model_that_was_shown_an_unsafe_picture_is_not_taken_at_its_word(tiny, picture, settings):
    run = start_run(reference_image_id=picture.pk)
    settings.TRUSTED_SAFE_SOURCES = (run.model.name,)
    Image.objects.filter(pk=picture.pk).update(rating=Rating.EXPLICIT)
    assert again(run).coming_rating == Rating.UNRATED
    run = draw(run)
    assert {item.image.rating for item in run.items.all()} == {Rating.UNRATED}


def test_a_run_from_a_picture_with_transparency_and_another_shape(tiny):
    buffer = io.BytesIO()
    Pillow.new("RGBA", (400, 40), (255, 0, 0, 100)).save(buffer, "PNG")
    image = ingest_image(buffer.getvalue(), source_type="manual").image
    run = draw(start_run(reference_image_id=image.pk))
    assert_whole(run)
    assert (run.items.first().image.width, run.items.first().image.height) == (64, 96)


# ---- The ways to order it


def test_the_api_takes_and_tells_the_reference(admin_api, api, picture):
    template = make_template()
    order = {"album_name": "A", "user_theme": "t", "reference_image_id": picture.pk, "strength": 0.3}
    answer = admin_api.post(f"/api/batch-templates/{template.pk}/generate", order)
    assert answer.status_code == 202
    run = answer.json()["run"]
    assert (run["reference_image_id"], run["strength"]) == (picture.pk, 0.3)
    for_all = api.get(f"/api/runs/{run['id']}").json()
    assert for_all["reference_image_id"] is None, "a private picture is not named"
    publish(picture)
    BatchGenerationRun.objects.update(rating=Rating.SAFE)
    assert api.get(f"/api/runs/{run['id']}").json()["reference_image_id"] == picture.pk


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_image_id": 10**30},
        {"reference_image_id": "x"},
        {"reference_image_id": 0},
        {"reference_image_id": 4711},
        {"strength": 0.5},
        {"strength": "far"},
    ],
)
def test_a_wrong_reference_is_400_with_its_field(admin_api, wrong):
    template = make_template()
    answer = admin_api.post(
        f"/api/batch-templates/{template.pk}/generate", {"album_name": "A", "user_theme": "t"} | wrong
    )
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == set(wrong)


def test_a_visitor_starts_only_from_what_the_public_sees(api, picture, settings):
    settings.PUBLIC_GENERATION = True
    address = f"/api/batch-templates/{make_template().pk}/generate"
    order = {"album_name": "A", "user_theme": "t"}
    hidden = api.post(address, order | {"reference_image_id": picture.pk})
    missing = api.post(address, order | {"reference_image_id": picture.pk + 1000})
    assert hidden.status_code == missing.status_code == 400
    assert hidden.json()["error"].replace(str(picture.pk), "") == missing.json()["error"].replace(
        str(picture.pk + 1000), ""
    ), "the answer does not tell whether it exists"
    publish(picture)
    assert api.post(address, order | {"reference_image_id": picture.pk}).status_code == 202
    Image.objects.update(rating=Rating.EXPLICIT)
    assert api.post(address, order | {"reference_image_id": picture.pk}).status_code == 400


def test_the_commands_take_a_reference(tiny, picture, capsys):
    make_template()
    options = {"reference": picture.pk, "strength": 0.4, "steps": 2, "inline": True, "json": True}
    call_command("generate_batch", "Skies", album="A", theme="t", rows="1", **options)
    call_command("generate", "a crab", width=64, height=64, **options)
    assert [image.reference_image_id for image in Image.objects.filter(source_type="batch_generation")] == [
        picture.pk
    ] * 2
    assert set(BatchGenerationRun.objects.values_list("strength", flat=True)) == {0.4}


def test_restored_from_the_trash_it_can_be_ordered_from_again(picture):
    trash_image(picture)
    restore_image(picture)
    assert start_run(reference_image_id=picture.pk).reference_image == picture
    assert RunItem.objects.count() == 3
    assert runner.claim("gpu") is not None
