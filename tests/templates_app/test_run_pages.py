"""The pages of runs: one run with its slots, one slot, the history."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from gallery.ingest import ingest_image
from gallery.models import AlbumImage, Image, Lora, SourceType
from gallery.ratings import rate_images
from gallery.services import (
    add_images,
    create_album,
    delete_album,
    remove_images,
    retract_image,
    set_album_public,
    trash_image,
)
from gallery.trash import purge_from_trash
from imagineer.jobs import reaper, runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import slots
from templates_app.models import BatchGenerationRun, RunItem
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def text_of(client, address) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def finish(run, *, but=(), rating="safe"):
    """As if the run had been drawn, with a picture for each item but these positions, which failed."""
    album = run.album or create_album(
        name=run.album_name,
        source_type=SourceType.BATCH_GENERATION,
        source_id=run.pk,
        is_public=run.is_public,
    )
    for item in run.items.order_by("position", "variant"):
        if item.position in but:
            RunItem.objects.filter(pk=item.pk).update(status=JobStatus.FAILED, error="secret folder /data")
            continue
        image = ingest_image(
            png(item.pk), source_type=SourceType.BATCH_GENERATION, filename=f"{item.name}.png", rating=rating
        ).image
        Image.objects.filter(pk=image.pk).update(source_id=run.pk)
        if run.has_own_album:
            add_images(album, [image], positions=[(item.position - 1) * run.variants + item.variant])
        RunItem.objects.filter(pk=item.pk).update(status=JobStatus.COMPLETED, image=image, seconds=2)
    failed = len(but)
    Job.objects.filter(pk=run.pk).update(
        status=JobStatus.COMPLETED,
        done=run.job.total - failed,
        failed=failed,
        started_at=run.job.created_at,
        finished_at=run.job.created_at,
    )
    if run.has_own_album:
        BatchGenerationRun.objects.filter(pk=run.pk).update(album=album)
    return BatchGenerationRun.objects.for_lists().get(pk=run.pk)


# ---- The page of a run


def test_everybody_sees_the_slots_of_a_public_run(client):
    run = finish(start_run(), but=(2,))
    text = text_of(client, run.get_absolute_url())
    assert text.count('<li class="slot ') == 3
    assert '<span class="quiet">1</span> The Sun' in text
    assert '<span data-field="done">2</span> of 3 pictures' in text
    assert "1 failed" in text
    assert "secret folder" not in text
    assert f"/images/{run.items.get(position=1).image_id}?album={run.album_id}" in text
    assert "Retry" not in text
    assert "/slots/" not in text


def test_admins_see_why_a_slot_failed_and_what_can_be_done(desk):
    run = finish(start_run(), but=(2,))
    text = text_of(desk, run.get_absolute_url())
    assert "secret folder" in text
    assert "Retry what is missing" in text
    assert f"/runs/{run.pk}/slots/2" in text
    assert f"/templates/{run.template_version.template_id}/draw?run={run.pk}" in text


def test_a_private_run_shows_states_and_no_words(client):
    run = finish(start_run(is_public=False, album_name="Hidden", user_theme="hidden neon"), but=(2,))
    text = text_of(client, run.get_absolute_url())
    assert text.count('<li class="slot ') == 3
    for word in ("Hidden", "hidden neon", "The Sun", "/media/", "/images/", "secret", "Skies"):
        assert word not in text
    assert "A private run" in text


def test_a_restricted_picture_in_a_slot_is_blurred_and_nameless(client):
    run = finish(start_run(rating="safe"), rating="adult")
    text = text_of(client, run.get_absolute_url())
    assert "/blurred-" in text
    assert "/grid-" not in text
    assert "The Sun" not in text


@pytest.mark.parametrize("mode", ["hide", "blur"])
def test_a_slot_is_nameless_while_its_picture_is_hidden_trashed_withdrawn_or_deleted(client, mode):
    client.post("/content-filter", {"nsfw": mode})
    run = finish(start_run())
    sun, moon, star = (item.image for item in run.items.order_by("position"))
    rate_images(Image.objects.filter(pk=sun.pk), rating="explicit", source="person")
    trash_image(moon)
    for change in (lambda: None, lambda: purge_from_trash(moon)):
        change()
        text = text_of(client, run.get_absolute_url())
        assert "The Sun" not in text and "The Moon" not in text and "The Star" in text
        names = [item["name"] for item in client.get(f"/api/runs/{run.pk}/items").json()["items"]]
        assert names == [None, None, "The_Star"]
    retract_image(star)
    assert "The Star" not in text_of(client, run.get_absolute_url())


def test_the_words_of_a_run_go_with_the_last_picture_that_shows_them(client, desk):
    run = finish(start_run(album_name="Nude", user_theme="secret neon"))
    images = Image.objects.filter(source_id=run.pk)
    places = ("/runs", run.get_absolute_url(), "/api/runs", f"/api/jobs/{run.pk}")
    searches = ("/runs?theme=secret", "/api/runs?theme=secret")
    public = Client()

    def tells() -> set[bool]:
        found = {"secret neon" in text_of(public, place) for place in places}
        return (
            found
            | {f"/runs/{run.pk}" in text_of(public, searches[0])}
            | {bool(public.get(searches[1]).json()["runs"])}
        )

    assert tells() == {True}
    rate_images(images.filter(pk__lt=images.latest("pk").pk), rating="explicit", source="person")
    assert tells() == {True}
    rate_images(images, rating="explicit", source="person")
    assert tells() == {False}
    assert "secret neon" in text_of(desk, run.get_absolute_url())
    public.post("/age-confirmation")
    assert "secret neon" in text_of(public, run.get_absolute_url())
    for image in images:
        trash_image(image)
    assert "secret neon" not in text_of(public, run.get_absolute_url())


def test_a_run_that_was_chosen_anew_in_all_its_slots_keeps_its_words(client):
    run = finish(start_run(row_selection="1"))
    slots.promote(run, 1, finish(slots.reroll_slot(run, 1)).items.get().image)
    remove_images(run.album, [run.items.get().image])
    assert "neon" in text_of(client, run.get_absolute_url())


def test_nobody_learns_of_which_template_a_private_run_is(client, desk):
    template = make_template()
    run, private = start_run(template), start_run(template, is_public=False)
    again = slots.reroll_slot(finish(run), 2)
    public = Client()
    address = f"/api/batch-templates/{template.pk}/runs"
    assert [row["id"] for row in public.get(address).json()["runs"]] == [run.pk]
    assert [row["id"] for row in desk.get(address).json()["runs"]] == [private.pk, run.pk]
    assert f"/runs/{private.pk}" not in text_of(public, f"/templates/{template.pk}")
    assert f"/runs/{private.pk}" in text_of(desk, f"/templates/{template.pk}")
    assert "draws row" not in text_of(public, again.get_absolute_url())
    assert "draws row 2" in text_of(desk, again.get_absolute_url())


def test_what_was_chosen_anew_stands_in_its_slot(client, desk):
    run = finish(start_run())
    again = finish(slots.reroll_slot(run, 2))
    new = again.items.get().image
    slots.promote(run, 2, new)
    assert f"/images/{new.pk}?album=" in text_of(client, run.get_absolute_url())
    assert "chosen anew" in text_of(desk, run.get_absolute_url())
    assert "draws row 2 of" in text_of(desk, again.get_absolute_url())


def test_a_run_of_a_thousand_rows_is_paged_at_the_same_cost(desk, django_assert_max_num_queries):
    few = finish(start_run())
    many = make_template(name="Many", rows=[{"name": f"Row {n}", "text": "a star"} for n in range(1000)])
    run = start_run(many)
    desk.get(few.get_absolute_url())
    with django_assert_max_num_queries(25) as asked:
        desk.get(few.get_absolute_url())
    seen, address = [], run.get_absolute_url()
    while address:
        with django_assert_max_num_queries(
            len(asked) + 6
        ):  # what an active run has to tell of the time it takes
            text = text_of(desk, address)
        seen += re.findall(r"/slots/(\d+)\"", text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = following and run.get_absolute_url() + following[1].replace("&amp;", "&")
    assert [int(position) for position in seen] == list(range(1, 1001))


def test_a_run_without_a_template_has_its_page(desk):
    from templates_app import ordering

    run = ordering.start_single("a red crab", steps=2)
    assert "a red crab" in text_of(desk, run.get_absolute_url())


def test_a_run_is_cancelled_and_retried_from_its_page(desk):
    run = start_run()
    assert "Cancel" in text_of(desk, run.get_absolute_url())
    assert desk.post(f"/runs/{run.pk}/cancel").status_code == 302
    assert "cancelled already" in desk.post(f"/runs/{run.pk}/cancel", follow=True).content.decode()
    run.job.refresh_from_db()
    assert run.job.status == JobStatus.CANCELLED
    assert "Cancelled" in text_of(desk, run.get_absolute_url())
    desk.post(f"/runs/{run.pk}/retry")
    run.job.refresh_from_db()
    assert run.job.status == JobStatus.QUEUED
    assert "is queued" in desk.post(f"/runs/{run.pk}/retry", follow=True).content.decode()


def killed_while_drawing(run):
    """As a worker leaves it that was killed with the items of its batch in hand."""
    assert runner.claim("gpu").pk == run.pk
    run.items.filter(position__lt=3).update(status=JobStatus.RUNNING)
    run.job.refresh_from_db()


def told_of(run, client, admin_api) -> set:
    """What the items without a picture are called on the page of the run and in the API, which agree."""
    items = admin_api.get(f"/api/runs/{run.pk}/items").json()["items"]
    shown = re.findall(r'<li class="slot (\w+)', text_of(client, run.get_absolute_url()))
    assert shown == [item["status"] for item in items]
    return set(shown)


def test_nothing_is_being_drawn_once_the_worker_of_a_run_is_dead(desk, admin_api):
    run = start_run()
    killed_while_drawing(run)
    assert told_of(run, desk, admin_api) == {"running", "queued"}
    reaper.put_back(run.job)
    assert told_of(run, desk, admin_api) == {"queued"}
    runner.request_cancel(run.job)
    assert told_of(run, desk, admin_api) == {"cancelled"}
    slot = text_of(desk, f"{run.get_absolute_url()}/slots/1")
    assert "running" not in slot
    desk.post(f"/runs/{run.pk}/retry")
    assert told_of(run, desk, admin_api) == {"queued"}
    assert not run.items.exclude(status=JobStatus.QUEUED).exists(), "the retry draws them"


def test_a_run_that_was_asked_to_stop_before_its_worker_died_is_not_drawn_for_ever(desk, admin_api):
    run = start_run()
    killed_while_drawing(run)
    runner.request_cancel(run.job)
    run.job.refresh_from_db()
    reaper.put_back(run.job)
    assert told_of(run, desk, admin_api) == {"cancelled"}


def test_only_admins_act_on_runs_and_slots(client, stranger):
    run = finish(start_run())
    addresses = [f"/runs/{run.pk}/{what}" for what in ("cancel", "retry")]
    addresses += [f"/runs/{run.pk}/slots/1/{what}" for what in ("reroll", "promote", "discard")]
    for address in addresses:
        assert client.post(address).status_code == 302
        assert "/auth/login" in client.post(address)["Location"]
    assert client.get(f"/runs/{run.pk}/slots/1").status_code == 302
    client.force_login(stranger)
    for address in addresses:
        assert client.post(address).status_code == 403
    assert client.get(f"/runs/{run.pk}/slots/1").status_code == 403
    assert Job.objects.count() == 1


def test_several_rows_are_ticked_and_drawn_again_or_none_is(desk):
    run = finish(start_run())
    address = f"/runs/{run.pk}/reroll"
    assert 'form="again" name="position" value="3"' in text_of(desk, run.get_absolute_url())
    said = desk.post(address, {"position": ["1", "3"], "variants": "2"}, follow=True).content.decode()
    assert "4 pictures of 2 rows queued" in said
    assert [again.row_selection for again in run.rerolls.order_by("pk")] == ["1", "3"]
    assert "Tick the rows" in desk.post(address, {"variants": "2"}, follow=True).content.decode()
    for wrong in ("17", "", "x"):
        said = desk.post(address, {"position": ["1"], "variants": wrong}, follow=True).content.decode()
        assert "from 1 to 16" in said
    assert desk.post(address, {"position": ["1", "4"], "variants": "1"}).status_code == 404
    assert run.rerolls.count() == 2


# ---- One slot


def test_a_slot_is_drawn_again_looked_at_chosen_and_tidied_on_its_page(desk):
    run = finish(start_run())
    old = run.items.get(position=2).image_id
    page = f"/runs/{run.pk}/slots/2"
    assert (
        desk.post(f"{page}/reroll", {"variants": 2, "prompt": "a crab", "negative_prompt": ""}).status_code
        == 302
    )
    again = run.rerolls.get()
    assert again.items.first().prompt == "a crab"
    assert "data-is-active" in text_of(desk, page)
    assert "<h1>Row 2: The Moon</h1>" in text_of(desk, page)
    assert desk.get(f"{page}/progress").json()["is_active"] is True
    first, second = finish(again).items.values_list("image", flat=True)
    text = text_of(desk, page)
    assert "another prompt" in text
    assert text.count("Use this one") == 2
    assert desk.get(f"{page}/progress").json() == {
        "status": "completed",
        "is_active": False,
        "done": 3,
        "failed": 0,
        "total": 3,
        "message": "",
    }
    desk.post(f"{page}/promote", {"image": first, "variant": 1, "instead_of": old})
    assert AlbumImage.objects.get(album=run.album_id, position=2).image_id == first
    late = desk.post(f"{page}/promote", {"image": second, "variant": 1, "instead_of": old}, follow=True)
    assert "another picture there meanwhile" in late.content.decode()
    desk.post(f"{page}/discard", {"image": second})
    assert text_of(desk, page).count("Use this one") == 1
    kept = desk.post(f"{page}/discard", {"image": first}, follow=True)
    assert "stands in the album" in kept.content.decode()
    delete_album(run.album)
    gone = desk.post(f"{page}/promote", {"image": old, "variant": 1}, follow=True)
    assert "has been deleted" in gone.content.decode()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"variants": "17"}, "less than or equal to 16"),
        ({"variants": "1", "seed": "-1"}, "from 0 to 2147483647"),
        ({"variants": "1", "steps": "151"}, "from 1 to 150"),
        ({"variants": "1", "prompt": "x" * 2001}, "2,000 are allowed"),
        ({"variants": "many"}, "Enter a whole number"),
    ],
)
def test_a_wrong_reroll_is_told_beside_its_field(desk, order, words):
    run = finish(start_run())
    answer = desk.post(f"/runs/{run.pk}/slots/2/reroll", order)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not run.rerolls.exists()


@pytest.mark.parametrize("image", ["", "x", "9" * 30, "-1", "999999"])
def test_a_picture_that_is_none_is_promoted_nowhere(desk, image):
    run = finish(start_run())
    before = list(AlbumImage.objects.values_list("image", "position"))
    answer = desk.post(f"/runs/{run.pk}/slots/2/promote", {"image": image})
    assert answer.status_code in (302, 404)
    assert list(AlbumImage.objects.values_list("image", "position")) == before


@pytest.mark.parametrize("position", [4, 0, 10**18, 10**30])
def test_a_slot_that_is_not_there_is_404(desk, position):
    run = finish(start_run())
    assert desk.get(f"/runs/{run.pk}/slots/{position}").status_code == 404


def test_a_chosen_picture_that_is_deleted_for_good_gives_way_and_another_may_be_chosen(desk):
    run = finish(start_run())
    own = run.items.get(position=2).image
    new = finish(slots.reroll_slot(run, 2)).items.get().image
    slots.promote(run, 2, new)
    purge_from_trash(trash_image(new))
    assert run.items.get(position=2).chosen_image is None
    assert not AlbumImage.objects.filter(album=run.album_id, image=own).exists()
    text_of(desk, f"/runs/{run.pk}/slots/2")
    slots.promote(run, 2, own)
    assert AlbumImage.objects.get(album=run.album_id, position=2).image == own


def test_a_picture_that_was_taken_out_of_the_album_is_put_back_into_its_slot(desk):
    run = finish(start_run())
    own = run.items.get(position=2).image
    remove_images(run.album, [own])
    assert "Use this one" in text_of(desk, f"/runs/{run.pk}/slots/2")
    slots.promote(run, 2, own)
    assert AlbumImage.objects.get(album=run.album_id, position=2).image == own
    run.album.refresh_from_db()
    assert run.album.image_count == 3


# ---- The history


def names(text) -> list[str]:
    return re.findall(r'<h2><a href="/runs/\d+">([^<]*)</a>', text)


def test_the_history_lists_runs_in_their_own_right_newest_first(client):
    template = make_template()
    first = start_run(template, album_name="First")
    start_run(template, album_name="Second", user_theme="hidden neon", is_public=False)
    slots.reroll_slot(first, 1)
    assert names(text_of(client, "/runs")) == ["A private run", "First"]
    assert "hidden neon" not in text_of(client, "/runs")


def test_the_history_is_filtered_by_all_that_an_order_names(desk):
    Lora.objects.create(name="ink ✒", file="loras/ink.safetensors")
    template = make_template()
    inked = start_run(template, album_name="Inked", loras=[{"lora": "ink ✒"}])
    other = start_run(make_template(name="Other"), album_name="Plain", user_theme="glass")
    runner.request_cancel(other.job)
    for query, expected in {
        f"template={template.pk}": ["Inked"],
        "status=cancelled": ["Plain"],
        "theme=GLASS": ["Plain"],
        "theme=ink": ["Inked"],
        "lora=ink ✒": ["Inked"],
        "lora=ink": [],
        f"model={inked.model.name}": ["Plain", "Inked"],
        "model=none": [],
        "template=&status=&theme=&lora=&model=": ["Plain", "Inked"],
    }.items():
        assert names(text_of(desk, f"/runs?{query}")) == expected, query
    assert "cannot be followed" in text_of(desk, "/runs?template=x")


def test_no_filter_finds_a_run_by_words_that_are_not_for_the_viewer(client, api, admin_api):
    Lora.objects.create(name="ink", file="loras/ink.safetensors")
    run = start_run(is_public=False, album_name="Hidden", user_theme="hidden", loras=[{"lora": "ink"}])
    queries = (
        "theme=hidden",
        f"template={run.template_version.template_id}",
        f"model={run.model.name}",
        "lora=ink",
    )
    for query in queries:
        assert names(text_of(client, f"/runs?{query}")) == []
        assert api.get(f"/api/runs?{query}").json()["runs"] == []
        assert len(admin_api.get(f"/api/runs?{query}").json()["runs"]) == 1
    assert len(api.get("/api/runs?status=queued").json()["runs"]) == 1


def test_the_queries_of_the_history_do_not_grow(client, django_assert_max_num_queries):
    template = make_template()
    finish(start_run(template))
    client.get("/runs")
    with django_assert_max_num_queries(12) as few:
        client.get("/runs")
    for number in range(8):
        run = finish(start_run(template, album_name=f"Run {number}", row_selection="1"))
        set_album_public(run.album, is_public=number % 2 == 0)
    with django_assert_max_num_queries(len(few)):
        client.get("/runs")


def test_the_time_that_nobody_worked_is_not_called_drawing(client):
    run = finish(start_run())
    run.items.update(seconds=4)
    Job.objects.filter(pk=run.pk).update(started_at=run.job.created_at, finished_at=run.job.created_at + HOUR)
    text = text_of(client, run.get_absolute_url())
    assert "drew for 12 s," in text and "4.0 s a picture" in text
