"""Rows drawn again, and which picture stands in a slot of the album; with the real network on a tiny model."""

import threading

import numpy
import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import connection
from PIL import Image as Pillow

from gallery.models import AlbumImage, Image
from gallery.services import (
    create_album,
    delete_album,
    remove_images,
    restore_image,
    retract_image,
    trash_image,
)
from gallery.trash import purge_from_trash
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering, slots
from templates_app.models import BatchGenerationRun, RunItem
from tests.factories import make_template, start_run
from tests.templates_app.test_drawing import assert_whole, draw

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(tiny):
    return draw(start_run())


def reroll(run, position=2, **options) -> BatchGenerationRun:
    return draw(slots.reroll_slot(run, position, **options))


def first_image(run) -> Image:
    return run.items.first().image


def in_album(run) -> list[int]:
    return list(Image.objects.in_album_order(run.album_id).values_list("pk", flat=True))


# ---- Drawing a row again


def test_a_reroll_draws_one_row_with_new_seeds_into_no_album(run):
    before = in_album(run)
    again = slots.reroll_slot(run, 2, variants=2)
    assert (again.parent, again.job.priority, again.job.total) == (run, ordering.INTERACTIVE, 2)
    again = draw(again)
    assert again.job.status == JobStatus.COMPLETED
    row = run.items.get(position=2)
    for item in again.items.all():
        assert (item.position, item.name, item.prompt) == (2, row.name, row.prompt)
        assert (item.width, item.height, item.steps, item.scheduler) == (64, 96, 2, row.scheduler)
        assert item.seed != row.seed
        assert not item.image.is_public
    assert again.album is None
    assert in_album(run) == before
    assert again not in BatchGenerationRun.objects.listed()


def test_a_reroll_with_the_rows_own_seed_draws_the_rows_own_picture(run):
    row = run.items.get(position=2)
    pixels = pixels_of(first_image(reroll(run, seed=row.seed)))
    assert abs(pixels - pixels_of(row.image)).max() <= 1


def test_variants_of_a_reroll_count_up_from_a_given_seed(run):
    again = slots.reroll_slot(run, 2, variants=3, seed=2**31 - 2)
    assert list(again.items.values_list("seed", flat=True)) == [2**31 - 2, 2**31 - 1, 0]


def test_another_prompt_and_other_options_stand_in_the_record_of_what_was_drawn(run):
    again = reroll(run, prompt="a green crab", negative_prompt="", steps=3, guidance_scale=0.0)
    item = again.items.get()
    assert (item.prompt, item.negative_prompt, item.steps, item.guidance_scale) == ("a green crab", "", 3, 0)
    assert item.image.prompt == "a green crab"
    assert item.image.generation_params["steps"] == 3


def test_a_row_is_drawn_again_as_it_was_after_its_template_has_changed(run):
    make_template(template=run.template_version.template, style_suffix="soft edges", width=128)
    item = slots.reroll_slot(run, 1).items.get()
    assert item.prompt.endswith("crisp lines")
    assert item.width == 64


def test_a_reroll_of_a_reroll_belongs_to_the_run(run):
    again = slots.reroll_slot(slots.reroll_slot(run, 2), 2)
    assert again.parent == run


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"variants": 0}, "variants"),
        ({"variants": 17}, "variants"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"steps": 151}, "steps"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"scheduler": "magic"}, "scheduler"),
        ({"strength": 0.5}, "strength"),
    ],
)
def test_a_wrong_reroll_is_refused_by_name_and_queues_nothing(db, options, field):
    run = start_run()
    with pytest.raises(ValidationError) as caught:
        slots.reroll_slot(run, 2, **options)
    assert field in caught.value.message_dict
    assert Job.objects.count() == 1


def test_a_row_that_the_run_does_not_draw_has_no_slot(db):
    run = start_run(row_selection="1-2")
    with pytest.raises(RunItem.DoesNotExist):
        slots.reroll_slot(run, 3)


def test_steps_of_a_session_have_no_slots(db):
    run = start_run()
    BatchGenerationRun.objects.update(has_own_album=False)
    run.refresh_from_db()
    with pytest.raises(slots.SlotConflict, match="session"):
        slots.reroll_slot(run, 1)


# ---- Choosing


def test_a_promoted_picture_takes_the_slot_and_the_other_stays_a_candidate(run):
    before = in_album(run)
    new = first_image(reroll(run))
    slot = slots.promote(run, 2, new)
    assert slot.chosen_image == new
    assert in_album(run) == [before[0], new.pk, before[2]]
    new.refresh_from_db()
    assert new.is_public
    old = Image.objects.get(pk=before[1])
    assert not old.is_public
    assert [item.image_id for item in slots.candidates(run, 2)] == [old.pk, new.pk]
    slots.promote(run, 2, old)
    assert in_album(run) == before
    assert run.items.get(position=2).chosen_image is None
    assert_whole(run)


def test_the_cover_follows_the_picture_that_takes_its_place(run):
    new = first_image(reroll(run, 1))
    slots.promote(run, 1, new)
    run.album.refresh_from_db()
    assert run.album.cover == new
    assert run.album.image_count == 3


def test_a_private_album_makes_nothing_public(tiny):
    run = draw(start_run(is_public=False))
    slots.promote(run, 2, first_image(reroll(run)))
    assert not Image.objects.filter(is_public=True).exists()


def test_a_place_that_a_curator_has_moved_is_kept(run):
    row = run.items.get(position=2)
    AlbumImage.objects.filter(album=run.album, image=row.image).update(position=99)
    new = first_image(reroll(run))
    slots.promote(run, 2, new)
    assert AlbumImage.objects.get(image=new).position == 99


def test_a_slot_that_a_curator_has_emptied_is_filled_at_its_row(run):
    remove_images(run.album, [run.items.get(position=2).image])
    new = first_image(reroll(run))
    slots.promote(run, 2, new)
    assert AlbumImage.objects.get(image=new).position == 2
    assert run.album.images.count() == 3


def test_each_variant_of_a_row_has_a_slot_of_its_own(tiny):
    run = draw(start_run(variants=2))
    before = in_album(run)
    new = first_image(reroll(run))
    slots.promote(run, 2, new, variant=2)
    assert in_album(run) == [*before[:3], new.pk, *before[4:]]
    with pytest.raises(slots.SlotConflict, match="in the album already"):
        slots.promote(run, 2, before[2], variant=2)


def test_a_failed_row_is_filled_by_a_reroll_and_a_retry_does_not_crowd_it(tiny):
    run = start_run()
    RunItem.objects.filter(run=run, position=2).update(scheduler="magic")
    run = draw(run)
    assert run.items.get(position=2).status == JobStatus.FAILED
    RunItem.objects.filter(run=run, position=2).update(scheduler="euler")
    new = first_image(reroll(run))
    slots.promote(run, 2, new)
    assert in_album(run)[1] == new.pk
    run = draw(ordering.retry_run(run))
    assert run.job.failed == 0
    assert len(in_album(run)) == 3
    assert in_album(run)[1] == new.pk
    assert [item.image_id is not None for item in slots.candidates(run, 2)] == [True, True]


def test_what_cannot_be_promoted_is_refused_with_its_reason(run):
    before = in_album(run)
    new, stranger = first_image(reroll(run, 2)), first_image(reroll(run, 3))

    def refused(words, image, **options):
        with pytest.raises(slots.SlotConflict, match=words):
            slots.promote(run, 2, image, **options)
        assert in_album(run) == before

    refused("not drawn for row 2", stranger)
    refused("not drawn for row 2", 10**9)
    refused("another picture there meanwhile", new, instead_of=new.pk)
    trash_image(new)
    refused("in the trash", new)
    retract_image(restore_image(new))
    refused("withdrawn", new)


def test_nothing_is_promoted_into_an_album_that_was_deleted(run):
    new = first_image(reroll(run))
    delete_album(run.album)
    with pytest.raises(slots.SlotConflict, match="has been deleted"):
        slots.promote(run, 2, new)


def test_of_two_who_promote_at_once_one_is_told_that_the_other_came_first(run):
    first, second = (item.image for item in reroll(run, variants=2).items.all())
    seen = run.items.get(position=2).image_id
    together, outcomes = threading.Barrier(2), []

    def choose(image):
        together.wait()
        try:
            outcomes.append(slots.promote(run, 2, image, instead_of=seen).chosen_image_id)
        except slots.SlotConflict as conflict:
            outcomes.append(str(conflict))
        finally:
            connection.close()

    threads = [threading.Thread(target=choose, args=[image]) for image in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert any("meanwhile" in str(outcome) for outcome in outcomes)
    assert in_album(run)[1] == winner
    assert len(in_album(run)) == 3


def test_slots_that_exchanged_their_pictures_know_what_stands_in_them_when_one_is_deleted_for_good(
    tiny, client, ada
):
    run = draw(start_run(variants=2))
    first, second = (item.image for item in run.items.filter(position=2).order_by("variant"))
    new, newer = (item.image for item in reroll(run, variants=2).items.order_by("variant"))
    slots.promote(run, 2, new)
    slots.promote(run, 2, first, variant=2)
    slots.promote(run, 2, second)
    before = in_album(run)
    assert before[2:4] == [second.pk, first.pk]
    assert purge_from_trash(trash_image(first))
    own = list(run.items.filter(position=2).order_by("variant"))
    assert list(slots.pictures_in(own).values()) == [second.pk, None]
    client.force_login(ada)
    for page in (f"/runs/{run.pk}", f"/runs/{run.pk}/slots/2"):
        assert client.get(page).status_code == 200
    with pytest.raises(slots.SlotConflict, match="Another slot has chosen"):
        slots.promote(run, 2, second, variant=2)
    slots.promote(run, 2, newer, variant=2)
    assert in_album(run) == [*before[:3], newer.pk, *before[4:]]


def test_a_picture_that_another_slot_has_chosen_is_refused_though_the_album_is_a_new_one(tiny):
    run = draw(start_run(variants=2))
    new = first_image(reroll(run))
    slots.promote(run, 2, new)
    delete_album(run.album)
    album = create_album(name="Again")
    BatchGenerationRun.objects.filter(pk=run.pk).update(album=album)
    with pytest.raises(slots.SlotConflict, match="Another slot has chosen"):
        slots.promote(run, 2, new, variant=2)
    slots.promote(run, 2, new)
    assert in_album(BatchGenerationRun.objects.get(pk=run.pk)) == [new.pk]


def test_a_picture_is_deleted_for_good_while_another_takes_its_slot(run, beside):
    new = first_image(reroll(run))
    old = run.items.get(position=2).image
    trash_image(old)
    with beside(lambda: purge_from_trash(old), at='UPDATE "gallery_albumimage"') as answers:
        slots.promote(run, 2, new)
    assert answers == [True]
    assert in_album(run)[1] == new.pk


def test_candidates_are_discarded_into_the_trash_but_not_what_stands_in_the_album(run):
    first, second = (item.image for item in reroll(run, variants=2).items.all())
    slots.promote(run, 2, first)
    before = in_album(run)
    assert slots.discard(run, 2, [second.pk, run.items.get(position=2).image_id]) == 2
    second.refresh_from_db()
    assert second.trashed_at is not None
    for words, images in (("stands in the album", [first.pk]), ("not drawn for row 2", [before[0]])):
        with pytest.raises(slots.SlotConflict, match=words):
            slots.discard(run, 2, images)
    assert in_album(run) == before


# ---- A whole deck


def test_of_54_cards_53_keep_their_bytes_and_a_card_alone_is_the_card_in_the_deck(tiny):
    deck = make_template(name="Deck", rows=[{"name": f"Card {n}", "text": f"card {n}"} for n in range(1, 55)])
    run = draw(start_run(deck, steps=1))
    before = hashes(run)
    assert len(before) == 54
    alone = draw(start_run(deck, steps=1, row_selection="17"))
    assert alone.items.get().seed == run.items.get(position=17).seed
    assert abs(pixels_of(first_image(alone)) - pixels_of(run.items.get(position=17).image)).max() <= 1
    slots.promote(run, 3, reroll(run, 3, variants=2).items.get(variant=2).image)
    after = hashes(run)
    assert [place for place in range(54) if before[place] != after[place]] == [2]
    run.album.refresh_from_db()
    assert (run.album.is_public, run.album.image_count) == (True, 54)


def hashes(run) -> list[str]:
    found = []
    for image in Image.objects.in_album_order(run.album_id):
        with default_storage.open(image.file.name) as file:
            found.append(hash(file.read()))
    return found


def pixels_of(image) -> numpy.ndarray:
    with default_storage.open(image.file.name) as file:
        return numpy.asarray(Pillow.open(file).convert("RGB"), numpy.int16)


# ---- Over HTTP


def call(client, run, position, what, **body):
    return client.post(f"/api/runs/{run.pk}/items/{position}/{what}", body, format="json")


def test_a_row_is_drawn_again_looked_at_promoted_and_discarded_over_http(run, api, admin_api):
    answer = call(admin_api, run, 2, "reroll", variants=2, seed=5)
    assert answer.status_code == 202
    again = BatchGenerationRun.objects.get(pk=answer.json()["id"])
    assert again.job.created_by.email == "ada@example.org"
    runner.run_inline(again.job)
    rows = admin_api.get(f"/api/runs/{run.pk}/items/2/candidates").json()
    assert [(row["run_id"], row["variant"], row["is_in_album"]) for row in rows["candidates"]] == [
        (run.pk, 1, True),
        (again.pk, 1, False),
        (again.pk, 2, False),
    ]
    assert [row["seed"] for row in rows["candidates"]] == [8, 5, 6]
    seen, _, wanted = (row["image_id"] for row in rows["candidates"])
    done = call(admin_api, run, 2, "promote", image_id=wanted, instead_of=seen)
    assert done.json() == {
        "success": True,
        "album_id": run.album_id,
        "position": 2,
        "variant": 1,
        "image_id": wanted,
    }
    item = api.get(f"/api/runs/{run.pk}/items").json()["items"][1]
    assert item["chosen_image_id"] == wanted
    assert item["image_id"] is None, "the public sees what stands in the album, and nothing beside it"
    assert [
        row["image_id"] for row in api.get(f"/api/runs/{run.pk}/items/2/candidates").json()["candidates"]
    ] == [
        None,
        None,
        wanted,
    ]
    late = call(admin_api, run, 2, "promote", image_id=seen, instead_of=seen)
    assert late.status_code == 409
    assert "meanwhile" in late.json()["error"]
    assert call(admin_api, run, 2, "discard", image_ids=[seen]).json() == {"success": True, "discarded": 1}
    assert call(admin_api, run, 2, "discard", image_ids=[wanted]).status_code == 409


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("reroll", {"steps": 151}, 400),
        ("reroll", {"unknown": 1}, 400),
        ("reroll", {"seed": "many"}, 400),
        ("promote", {}, 400),
        ("promote", {"image_id": 0}, 400),
        ("promote", {"image_id": 1, "variant": 17}, 400),
        ("promote", {"image_id": 1, "variant": 2}, 409),
        ("discard", {"image_ids": []}, 400),
        ("discard", {"image_ids": "all"}, 400),
    ],
)
def test_what_is_wrong_with_a_row_is_a_sentence(db, admin_api, what, body, status):
    answer = call(admin_api, start_run(), 2, what, **body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_rows_that_are_not_there_are_404(db, admin_api, api):
    run = start_run()
    assert call(admin_api, run, 4, "reroll").status_code == 404
    assert api.get(f"/api/runs/{run.pk}/items/4/candidates").status_code == 404
    assert admin_api.get("/api/runs?status=queued").json()["total"] == 1


def test_the_pictures_of_a_run_stand_in_row_order_with_those_of_its_rerolls(run, admin_api):
    again = reroll(run, 1)
    expected = [first_image(run).pk, first_image(again).pk, *in_album(run)[1:]]
    address = f"/api/images?run={run.pk}"
    assert [image["id"] for image in admin_api.get(address).json()["images"]] == expected
    seen, page = [], admin_api.get(f"{address}&per_page=1").json()
    while page:
        seen += [image["id"] for image in page["images"]]
        page = page["next"] and admin_api.get(page["next"]).json()
    assert seen == expected
    assert [
        image["id"] for image in admin_api.get(f"{address}&per_page=2&page=2").json()["images"]
    ] == expected[2:]


def test_a_reroll_stands_in_no_list_of_runs_and_answers_by_its_id(run, admin_api):
    again = slots.reroll_slot(run, 1)
    assert [row["id"] for row in admin_api.get("/api/runs").json()["runs"]] == [run.pk]
    assert admin_api.get(f"/api/runs/{again.pk}").status_code == 200
