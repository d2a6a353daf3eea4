"""A deck of cards is drawn while its workers are killed again and again."""

import random
import signal
import time
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection

from gallery import orphans
from gallery.models import Album, Image
from imagineer.jobs.models import JobStatus
from templates_app import ordering
from templates_app.models import BatchGenerationRun, BatchTemplate
from tests.clusters import kill_group, wait_until, with_no_complaint

pytestmark = pytest.mark.slow

KILLS = 20


def start_deck(site, settings, tiny_folder, **options) -> BatchGenerationRun:
    site.environment["IMAGINEER_MODEL"] = settings.MODEL = str(tiny_folder)
    call_command("seed_templates", verbosity=0)
    deck = BatchTemplate.objects.select_related("current").get(name="Playing Card Deck")
    return ordering.start_run(
        deck, album_name="Deck", user_theme="brass gears", seed=100, width=64, height=96, **options
    )


def settled(run) -> int:
    run.job.refresh_from_db()
    return run.job.done + run.job.failed


def assert_each_row_once(run, rows: int):
    """Exactly one picture for each row, no orphan file after the sweep, the album whole, the status true."""
    run = BatchGenerationRun.objects.for_lists().get(pk=run.pk)
    assert (run.job.status, run.job.done, run.job.failed) == (JobStatus.COMPLETED, rows, 0), run.job.error
    items = list(run.items.order_by("position").select_related("image"))
    assert [item.position for item in items] == list(range(1, rows + 1))
    assert all(item.status == JobStatus.COMPLETED and item.image_id for item in items)
    assert Image.objects.count() == len({item.image_id for item in items}) == rows
    assert Album.objects.get() == run.album
    assert [image.pk for image in Image.objects.in_album_order(run.album)] == [
        item.image_id for item in items
    ]
    assert run.album.image_count == rows
    orphans.sweep(older_than=timedelta(0))
    findings = orphans.find_orphans(older_than=timedelta(0))
    assert not findings.without_row
    assert not findings.without_file
    for item in items:
        assert default_storage.size(item.image.file.name) == item.image.file_size


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_twenty_kills_of_any_process_leave_exactly_one_picture_a_row(
    site_on, settings, tiny_folder, database
):
    site = site_on(database, lease=6)
    dice = random.Random(20)
    run = start_deck(site, settings, tiny_folder, steps=150)
    cluster = site.start("gpu")
    kills, last = [], 0
    while len(kills) < KILLS and run.job.is_active:
        # wider apart than a worker's warm-up; and five deaths without a picture would rightly fail the run
        wait_until(lambda: run.items.filter(status=JobStatus.RUNNING).exists(), "it draws", timeout=180)
        if len(kills) >= 2 and kills[-2] == last:
            wait_until(lambda last=last: settled(run) > last, "something has been drawn", timeout=180)
        time.sleep(dice.uniform(0, 3))
        last = settled(run)
        with_no_complaint(dice.choice(cluster.processes()).kill)
        kills.append(last)
        assert cluster.wait() != 0, "the death of any part ends the whole cluster with an error"
        cluster = site.start("gpu")  # as a service manager does
    wait_until(lambda: settled(run) and not run.job.is_active, "the run has ended", timeout=600)
    assert len(kills) == KILLS, f"the run ended after {len(kills)} kills"
    assert_each_row_once(run, 54)
    assert cluster.terminate() == 0
    assert not site.processes()


@pytest.mark.timeout(600)
def test_a_stop_of_the_whole_group_in_the_middle_puts_the_run_back_without_a_strike(
    site, settings, tiny_folder
):
    run = start_deck(site, settings, tiny_folder, steps=150, row_selection="1-6")
    cluster = site.start("gpu")
    wait_until(lambda: run.items.filter(status=JobStatus.RUNNING).exists(), "it draws", timeout=180)
    kill_group(cluster, signal.SIGTERM)
    assert cluster.wait() == 0
    run.job.refresh_from_db()
    assert (run.job.status, run.job.crashes) == (JobStatus.QUEUED, 0)
    assert set(run.items.values_list("strikes", "is_alone")) == {(0, False)}
    assert not run.items.filter(status=JobStatus.RUNNING).exists()
    site.start("gpu")
    wait_until(lambda: settled(run) == 6 and not run.job.is_active, "the run has ended", timeout=300)
    assert_each_row_once(run, 6)


@pytest.mark.timeout(900)
def test_an_item_that_kills_its_worker_fails_after_three_deaths_alone_and_the_others_are_drawn(
    site, settings, tiny_folder
):
    run = start_deck(site, settings, tiny_folder, steps=60, row_selection="1-6")
    poison = run.items.get(position=3)
    cluster = site.start("gpu")
    deaths = []
    while run.job.is_active:
        run.job.refresh_from_db()
        poison.refresh_from_db()
        judged = (poison.is_alone, poison.strikes)  # changes when the next worker has judged the last death
        if poison.status == JobStatus.RUNNING and judged not in deaths:
            deaths.append(judged)
            with_no_complaint(cluster.workers[0].kill)
            cluster.wait()
            cluster = site.start("gpu")
        time.sleep(0.02)
    assert (poison.status, poison.strikes) == (JobStatus.FAILED, 3)
    assert deaths == [(False, 0), (True, 0), (True, 1), (True, 2)], "one death in company is nobody's strike"
    assert "died 3 times" in poison.error
    assert (run.job.status, run.job.done, run.job.failed) == (JobStatus.COMPLETED, 5, 1)
    assert set(run.items.exclude(pk=poison.pk).values_list("strikes", flat=True)) == {0}


@pytest.mark.timeout(600)
def test_a_database_file_that_is_gone_for_a_while_fails_no_picture(site, settings, tiny_folder):
    """Who opens it meanwhile gets an empty one, which SQLite makes."""
    run = start_deck(site, settings, tiny_folder, steps=60, row_selection="1-8")
    site.start("gpu")
    wait_until(lambda: run.items.filter(status=JobStatus.RUNNING).exists(), "it draws")
    files = list(site.directory.glob("site.sqlite3*"))
    connection.close()
    for path in files:
        path.rename(path.with_name(f"away-{path.name}"))
    time.sleep(8)
    for path in site.directory.glob("site.sqlite3*"):
        path.unlink()
    for path in files:
        path.with_name(f"away-{path.name}").rename(path)
    wait_until(lambda: settled(run) == 8 and not run.job.is_active, "the run has ended", timeout=300)
    assert_each_row_once(run, 8)


@pytest.mark.timeout(600)
def test_two_workers_at_once_draw_one_run_once(site, settings, tiny_folder):
    run = start_deck(site, settings, tiny_folder, steps=30, row_selection="1-12")
    site.start("gpu", wait=False)
    site.start("gpu", wait=False)
    wait_until(lambda: settled(run) == 12 and not run.job.is_active, "the run has ended", timeout=300)
    assert_each_row_once(run, 12)
