"""A run from its ledger to its album, with the real network on a tiny model."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager

import pytest
import torch
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models.signals import post_save
from PIL import Image as Pillow

from gallery.models import Album, DiffusionModel, Image, Lora, Rating, SourceType
from gallery.orphans import find_orphans
from gallery.services import delete_album
from imagineer.accounts.models import User
from imagineer.engine import warm
from imagineer.engine.lora_file import inspect_lora
from imagineer.engine.pipeline import DiffusionEngine
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import LeaseLost, Progress
from templates_app import drawing, ordering
from templates_app.models import BatchGenerationRun, RunItem
from tests.clusters import wait_until
from tests.factories import make_template, start_run
from tests.imagineer.engine.tiny_model import build_tiny_lora

pytestmark = pytest.mark.django_db(transaction=True)


def draw(run) -> BatchGenerationRun:
    runner.run_inline(run.job)
    return again(run)


def again(run) -> BatchGenerationRun:
    return BatchGenerationRun.objects.for_lists().get(pk=run.pk)


def assert_whole(run):
    """One picture for each item, in row order, each with its file, and no file without a row."""
    items = list(run.items.select_related("image"))
    assert [item.status for item in items] == [JobStatus.COMPLETED] * len(items)
    assert Image.objects.filter(source_id=run.pk).count() == len(items)
    in_album = Image.objects.in_album_order(run.album)
    assert [image.pk for image in in_album] == [item.image_id for item in items]
    assert run.album.image_count == len(items)
    for item in items:
        with default_storage.open(item.image.file.name) as file:
            assert len(file.read()) == item.image.file_size
    findings = find_orphans()
    assert not findings.without_file
    assert (run.job.status, run.job.done, run.job.failed) == (JobStatus.COMPLETED, len(items), 0)


def test_a_run_becomes_a_public_album_in_row_order(tiny):
    run = draw(start_run())
    assert_whole(run)
    album = run.album
    assert (album.name, album.source_type, album.source_id) == ("Skies", SourceType.BATCH_GENERATION, run.pk)
    assert album.is_public
    assert album.cover == run.items.get(position=1).image
    image = run.items.get(position=1).image
    assert image.is_public
    assert image.filename == "The_Sun.png"
    assert image.prompt == run.items.get(position=1).prompt
    assert image.model == run.model


def test_each_picture_carries_its_recipe_and_nothing_of_the_run(tiny):
    run = draw(start_run())
    item = run.items.select_related("image").get(position=2)
    with default_storage.open(item.image.file.name) as file:
        chunks = Pillow.open(file).text
    assert item.prompt in chunks["parameters"]
    recipe = json.loads(chunks["imagineer"])
    assert recipe["seed"] == item.seed
    assert (recipe["asked_width"], recipe["asked_height"]) == (64, 96)
    assert not {"run", "run_id", "id", "created_at", "date"} & set(recipe)


def test_the_same_order_gives_the_same_bytes_again(tiny):
    template = make_template()
    first, second = draw(start_run(template)), draw(start_run(template))

    def hashes(run):
        return list(run.items.order_by("position").values_list("image__sha256", flat=True))

    assert hashes(first) == hashes(second)
    assert len(set(hashes(first))) == 3
    assert first.album_id != second.album_id, "every run has an album of its own"
    assert Image.objects.count() == 6, "a generated item always has an image of its own"


def test_a_private_run_makes_a_private_album(tiny):
    run = draw(start_run(is_public=False))
    assert not run.album.is_public
    assert not Image.objects.filter(is_public=True).exists()


def test_pictures_of_a_run_without_an_album_of_its_own_are_private(tiny):
    run = start_run()
    BatchGenerationRun.objects.filter(pk=run.pk).update(has_own_album=False)
    run = draw(run)
    assert run.job.status == JobStatus.COMPLETED
    assert run.album is None
    assert not Image.objects.filter(source_id=run.pk, is_public=True).exists()
    assert Image.objects.filter(source_id=run.pk).count() == run.items.count()
    assert not run.album_is_public


def test_what_a_curator_declares_is_the_rating_of_every_picture(tiny):
    run = draw(start_run(rating=Rating.SUGGESTIVE))
    assert set(Image.objects.values_list("rating", flat=True)) == {Rating.SUGGESTIVE}
    assert_whole(run)


def test_the_output_of_an_unknown_model_is_unrated(tiny):
    draw(start_run())
    assert set(Image.objects.values_list("rating", flat=True)) == {Rating.UNRATED}


def test_a_run_whose_owner_is_deleted_goes_on_and_is_nobody_s(tiny, ada):
    run = start_run(created_by=ada)

    def delete_owner(**_):
        User.objects.filter(pk=ada.pk).delete()

    post_save.connect(delete_owner, sender=Image)  # with the first picture
    try:
        run = draw(run)
    finally:
        post_save.disconnect(delete_owner, sender=Image)
    assert_whole(run)
    assert not User.objects.filter(pk=ada.pk).exists() and run.album.created_by is None


def test_a_run_draws_only_what_it_lacks(tiny):
    run = draw(start_run())
    kept = run.items.get(position=1).image_id
    lost = run.items.get(position=2)
    RunItem.objects.filter(pk=lost.pk).update(status=JobStatus.FAILED, image=None, error="for the test")
    Job.objects.filter(pk=run.pk).update(done=2, failed=1)
    Image.objects.filter(pk=lost.image_id).delete()
    run = draw(ordering.retry_run(again(run)))
    assert run.items.get(position=1).image_id == kept
    assert run.job.status == JobStatus.COMPLETED
    assert run.items.filter(status=JobStatus.COMPLETED).count() == 3


@pytest.fixture
def model_copy(tiny, tmp_path, settings):
    """What IMAGINEER_MODEL names is a folder that may be broken."""
    settings.MODEL = str(tmp_path / "copied")
    return shutil.copytree(tiny, tmp_path / "copied")


def test_a_run_waits_for_a_model_whose_folder_is_gone_and_goes_on_when_it_is_back(model_copy, tmp_path):
    run = start_run()
    model_copy.rename(tmp_path / "elsewhere")
    run = draw(run)
    assert (run.job.status, run.job.crashes) == (JobStatus.QUEUED, 0)
    assert "Waiting for the model copied. There is no model folder" in run.job.message
    assert run.job.not_before is not None
    assert not Album.objects.exists()
    (tmp_path / "elsewhere").rename(model_copy)
    Job.objects.update(not_before=None)
    assert_whole(draw(run))


def test_a_run_waits_while_its_model_is_being_copied(model_copy):
    run = start_run()
    weights = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    for so_far in (b"", whole[:4], whole[:1000], whole[:-1]):
        weights.write_bytes(so_far)
        run = draw(again(run))
        assert run.job.status == JobStatus.QUEUED
        assert "Copy it again" in run.job.message
        Job.objects.update(not_before=None)
    weights.write_bytes(whole)
    assert_whole(draw(again(run)))


def test_a_broken_model_fails_the_run_and_a_retry_after_mending_draws_it(model_copy):
    run = start_run()
    weights = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:8] + b"x" + whole[9:])
    run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert run.model.name in run.job.error
    weights.write_bytes(whole)
    assert_whole(draw(ordering.retry_run(run)))


def test_a_device_that_is_not_there_fails_the_run_with_a_sentence(tiny, settings):
    settings.DEVICE = "cuda:99"
    run = draw(start_run())
    assert run.job.status == JobStatus.FAILED
    assert "cannot be used" in run.job.error
    assert "unexpected" not in run.job.error


def test_cancelled_in_the_middle_it_keeps_what_is_done_and_a_retry_makes_the_rest(tiny):
    run = start_run(steps=30)
    with at_pass(3, lambda: runner.request_cancel(run.job)), slowly():
        run = draw(run)
    assert run.job.status == JobStatus.CANCELLED
    assert not run.items.filter(status=JobStatus.RUNNING).exists()
    run = draw(ordering.retry_run(run))
    assert_whole(run)


def test_a_stopping_worker_puts_everything_back_without_blame(tiny):
    run = start_run(steps=30)

    with at_pass(3, ask_to_stop):
        run = draw(run)
    assert run.job.status == JobStatus.QUEUED
    assert run.job.crashes == 0
    assert set(run.items.values_list("status", "strikes", "is_alone")) == {(JobStatus.QUEUED, 0, False)}
    Job.objects.update(not_before=None)
    assert_whole(draw(run))


def test_an_item_that_fails_three_times_fails_alone(tiny):
    run = start_run()
    bad = run.items.get(position=2)
    RunItem.objects.filter(pk=bad.pk).update(scheduler="magic")
    run = draw(run)
    bad.refresh_from_db()
    assert (bad.status, bad.tries) == (JobStatus.FAILED, 3)
    assert "magic" in bad.error
    assert (run.job.status, run.job.done, run.job.failed) == (JobStatus.COMPLETED, 2, 1)
    RunItem.objects.filter(pk=bad.pk).update(scheduler="euler")
    assert_whole(draw(ordering.retry_run(run)))


def test_an_error_in_a_batch_blames_nobody_and_each_is_tried_alone(tiny):
    run = start_run()

    def refuse_company(sample):
        if sample.shape[0] > 2:  # guidance doubles one picture
            raise ValueError("not together")

    with at_each_pass(refuse_company):
        run = draw(run)
    assert set(run.items.values_list("is_alone", "tries")) == {(True, 0)}
    assert_whole(run)


def test_items_that_a_dead_worker_left_are_drawn_alone_and_only_a_death_alone_is_a_strike(tiny):
    run = start_run()
    run.items.filter(position=1).update(status=JobStatus.RUNNING)
    run.items.filter(position=2).update(status=JobStatus.RUNNING, is_alone=True, strikes=1)
    run.items.filter(position=3).update(status=JobStatus.RUNNING, is_alone=True, strikes=2)
    run = draw(run)
    in_company, alone, poison = run.items.all()
    assert (in_company.status, in_company.strikes, in_company.is_alone) == (JobStatus.COMPLETED, 0, True)
    assert (alone.status, alone.strikes) == (JobStatus.COMPLETED, 2)
    assert (poison.status, poison.strikes) == (JobStatus.FAILED, 3)
    assert "died 3 times" in poison.error
    assert (run.job.done, run.job.failed) == (2, 1)


def test_a_save_that_fails_stops_nobody_and_is_tried_again(tiny, tmp_path):
    run, blockade = start_blocked_run(tmp_path)
    with at_pass(3, lambda: clear_away(blockade)):  # the first try of the batch has two passes
        run = draw(run)
    assert_whole(run)
    assert list(run.items.values_list("tries", flat=True)) == [0, 1, 0]


def test_what_cannot_be_saved_fails_alone_and_a_retry_makes_only_it(tiny, tmp_path):
    run, blockade = start_blocked_run(tmp_path)
    run = draw(run)
    assert (run.job.status, run.job.done, run.job.failed) == (JobStatus.COMPLETED, 2, 1)
    lost = run.items.get(position=2)
    assert (lost.status, lost.tries, lost.image) == (JobStatus.FAILED, 3, None)
    assert "Error" in lost.error
    assert str(tmp_path) not in lost.error
    kept = list(run.items.exclude(pk=lost.pk).values_list("image", flat=True))
    clear_away(blockade)
    run = draw(ordering.retry_run(run))
    assert_whole(run)
    assert list(run.items.exclude(pk=lost.pk).values_list("image", flat=True)) == kept


def test_an_album_that_is_deleted_while_it_fills_comes_back_whole_and_private(tiny):
    run = start_run(variants=8)
    with at_pass(5, lambda: delete_album(wait_until(Album.objects.first, "its first picture is there"))):
        run = draw(run)
    assert_whole(run)
    assert not run.album.is_public
    assert list(Image.objects.in_album_order(run.album_id)) == [
        item.image for item in run.items.order_by("position", "variant")
    ]


def test_each_item_remembers_how_long_it_was_drawn(tiny):
    run = draw(start_run())
    assert all(seconds > 0 for seconds in run.items.values_list("seconds", flat=True))


def test_a_full_disk_makes_the_run_wait_and_leaves_nothing_half_written(tiny, full_disk):
    run = draw(start_run())
    assert run.job.status == JobStatus.QUEUED
    assert run.job.not_before is not None
    assert not run.items.filter(status=JobStatus.RUNNING).exists()
    assert not Image.objects.exists()
    assert [path for path in full_disk.parent.rglob("*") if path.is_file()] == [full_disk]
    full_disk.unlink()
    Job.objects.update(not_before=None)
    assert_whole(draw(run))


@pytest.mark.parametrize("fault", ["unmounted", "locked"])
def test_a_folder_of_pictures_that_takes_nothing_makes_the_run_wait_and_gets_nothing(tiny, fault, request):
    take_away = request.getfixturevalue(fault)
    template = make_template()
    draw(start_run(template))
    run = start_run(template, seed=8)
    with take_away():
        run = draw(run)
    assert (run.job.status, run.job.failed) == (JobStatus.QUEUED, 0)
    assert run.job.not_before and "the place of the pictures" in run.job.message
    assert not run.items.exclude(status=JobStatus.QUEUED).exists()
    Job.objects.update(not_before=None)
    assert_whole(draw(run))


def test_a_worker_that_lost_its_lease_writes_doubles_and_deletes_nothing(tiny):
    """The loser has drawn the same picture under the same file name as the winner."""
    run = start_run()
    loser = runner.claim("gpu")
    loser_progress = Progress(loser)
    item = run.items.get(position=1)
    with DiffusionEngine(tiny, device="cpu", threads=1) as engine:
        late = drawing.Drawing(again(run), loser_progress, engine, ())
        [picture] = engine.draw([late._request(item)])
        Job.objects.filter(pk=loser.pk).requeue(now=loser.started_at)
        winner = draw(again(run))
        assert_whole(winner)
        with pytest.raises(LeaseLost):
            late._save(item, picture)
        with pytest.raises(LeaseLost):
            late._release()
    assert_whole(again(run))


def test_a_run_with_a_lora_draws_other_pictures_and_records_its_hash(tiny, tmp_path):
    info = inspect_lora(build_tiny_lora(tmp_path / "ink.safetensors", tiny))
    key = default_storage.save(
        "loras/ink.safetensors", ContentFile((tmp_path / "ink.safetensors").read_bytes())
    )
    lora = Lora.objects.create(name="ink", file=key, sha256=info.sha256, family=info.family)
    template = make_template()
    plain = draw(start_run(template))
    inked = draw(start_run(template, loras=[{"lora": lora.pk, "weight": 0.8}]))
    assert_whole(inked)
    recipe = inked.items.first().image.generation_params
    assert [(used["name"], used["weight"], used["sha256"]) for used in recipe["loras"]] == [
        ("ink", 0.8, info.sha256)
    ]
    assert plain.items.first().image.sha256 != inked.items.first().image.sha256
    again = draw(start_run(template))
    assert plain.items.first().image.sha256 == again.items.first().image.sha256, "nothing of it stays behind"


def test_a_lora_that_is_gone_fails_the_run_with_its_name(tiny):
    run = start_run()
    BatchGenerationRun.objects.update(loras=[{"lora": "ink", "weight": 1.0}])
    run = draw(run)
    assert run.job.status == JobStatus.FAILED
    assert "ink" in run.job.error


def test_the_model_stays_warm_between_runs(tiny):
    draw(start_run())
    engine = warm._engine
    draw(start_run(make_template(name="Another")))
    assert warm._engine is engine


def test_a_picture_larger_than_the_model_draws_is_scaled_and_both_sizes_are_recorded(db):
    """The starter model is asked for a playing card."""
    run = draw(start_run(width=512, height=720, row_selection="1", steps=2))
    assert_whole(run)
    image = run.items.get().image
    recipe = image.generation_params
    assert (recipe["asked_width"], recipe["asked_height"]) == (512, 720)
    assert (recipe["width"], recipe["height"]) == (image.width, image.height)
    assert max(image.width, image.height) <= 192
    assert abs(image.width / image.height - 512 / 720) < 0.05
    assert image.rating == Rating.SAFE, "the starter's output is declared safe"
    assert DiffusionModel.objects.get().name == "starter"


# ---- Ways to make the real thing misbehave


@contextmanager
def at_each_pass(call):
    """Call back with the sample at each pass through any UNet of this process."""
    from diffusers import UNet2DConditionModel

    def hook(module, args):
        if isinstance(module, UNet2DConditionModel):
            call(args[0])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def ask_to_stop():
    """As a service manager does."""
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def slowly():
    """Each pass takes a moment, so that a beat comes between two of them."""
    with at_each_pass(lambda _sample: time.sleep(0.2)):
        yield


@contextmanager
def at_pass(number: int, act):
    """Act once, at this pass through the UNet."""
    passes = iter(range(1, 10**6))

    def count(_sample):
        if next(passes) == number:
            act()

    with at_each_pass(count):
        yield


def start_blocked_run(tmp_path):
    """A run whose second picture has no folder to lie in, drawn in the batch or alone: files are in the way."""
    template = make_template()
    together, alone = draw(start_run(template)), draw(start_run(template, row_selection="2"))
    first, second, third = together.items.values_list("image__sha256", flat=True)
    blocked = {second[:2], alone.items.get().image.sha256[:2]}
    assert not blocked & {first[:2], third[:2]}
    Job.objects.all().delete()
    Image.objects.all().delete()
    blockade = [tmp_path / "media" / "originals" / name for name in blocked]
    for folder in blockade:
        shutil.rmtree(folder)
        folder.write_text("in the way")
    return start_run(template), blockade


def clear_away(blockade):
    for file in blockade:
        file.unlink()
