from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.db.models import ProtectedError
from django.db.models.signals import post_delete
from django.utils import timezone

from gallery.ingest import ingest_image
from gallery.models import Album, Image, Label, LibrarySettings
from gallery.orphans import sweep
from gallery.services import add_images, create_album, restore_image, retract_image, trash_image
from gallery.trash import prune_trash, purge_from_trash
from imagineer.jobs.models import JobStatus
from imagineer.jobs.reaper import tick
from templates_app import sessions
from templates_app.models import RunItem
from tests.gallery.pictures import png
from tests.templates_app.test_sessions import begin, first_step, pretend_drawn

pytestmark = pytest.mark.django_db


def take_in(number=1):
    return ingest_image(png(number), source_type="manual", filename="a.png").image


def trashed(image, *, days):
    trash_image(image)
    Image.objects.filter(pk=image.pk).update(trashed_at=timezone.now() - timedelta(days=days))
    return image


def test_the_tick_deletes_what_has_been_in_the_trash_for_its_days():
    old, young, kept = trashed(take_in(1), days=31), trashed(take_in(2), days=29), take_in(3)
    assert tick()["trash.prune_trash"] == 1
    assert set(Image.objects.all()) == {young, kept}
    assert default_storage.exists(old.file.name), "bytes go with the sweep alone"
    sweep(older_than=timedelta(0))
    assert not default_storage.exists(old.file.name)
    assert default_storage.exists(kept.file.name)


@pytest.mark.parametrize(("days", "left"), [(0, 2), (7, 1), (40, 2)])
def test_the_days_are_the_curators_to_say(days, left, client, ada):
    client.force_login(ada)
    page = "/admin/gallery/librarysettings/1/change/"
    assert client.get("/admin/gallery/librarysettings/")["Location"] == page
    assert client.post(page, {"trash_days": days}).status_code == 302
    assert client.post(page, {"trash_days": 3651}).status_code == 200
    assert LibrarySettings.current().trash_days == days
    trashed(take_in(1), days=31)
    take_in(2)
    prune_trash()
    assert Image.objects.count() == left


def test_what_is_restored_or_retracted_stays():
    restored, retracted = trashed(take_in(1), days=99), trashed(take_in(2), days=99)
    restore_image(restored)
    retract_image(retracted)
    assert prune_trash() == 0
    assert Image.objects.count() == 2
    assert not purge_from_trash(trash_image(retracted))
    assert Image.objects.count() == 2


def test_a_purged_picture_takes_its_labels_and_places_and_leaves_albums_true():
    image, other = take_in(1), take_in(2)
    album = create_album(name="Both")
    add_images(album, [image, other])
    Label.objects.create(image=image, text="a crab", type="tag", source="manual")
    assert purge_from_trash(trash_image(image))
    album = Album.objects.get()
    assert (album.image_count, album.cover, Label.objects.count()) == (1, other, 0)


def test_a_purged_alternative_leaves_its_item_completed_and_is_not_drawn_again(client, ada, api):
    session = begin()
    step = first_step(session)
    one, two = pretend_drawn(step)
    sessions.choose_image(step, one)
    with pytest.raises(ProtectedError):
        one.delete()
    sessions.add_step(session, "next", parent=step)
    sessions.discard_images(step, [two.pk])
    sessions.choose_image(step, one)
    for image in (one, two):
        assert purge_from_trash(trash_image(image))
    items = list(RunItem.objects.filter(run=step.run_id))
    assert [(item.status, item.image, bool(item.purged_at)) for item in items] == [
        (JobStatus.COMPLETED, None, True)
    ] * 2
    client.force_login(ada)
    for address in (f"/sessions/{session.pk}?step=1", f"/sessions/{session.pk}", f"/runs/{step.run_id}"):
        assert client.get(address).status_code == 200, address
    for path in ("", "/items"):
        assert api.get(f"/api/runs/{step.run_id}{path}").status_code == 200


def test_the_desk_keeps_what_is_restored_while_it_deletes_the_others(client, ada):
    client.force_login(ada)
    images = [trash_image(take_in(number)) for number in range(2)]

    def restore_other(instance, **_):
        restore_image(next(image for image in images if image.pk != instance.pk))

    post_delete.connect(restore_other, sender=Image)
    try:
        form = {"action": "purge", "_selected_action": [image.pk for image in images]}
        page = client.post("/admin/gallery/image/?presence=trash", form, follow=True)
    finally:
        post_delete.disconnect(restore_other, sender=Image)
    assert "1 pictures deleted for good" in page.content.decode()
    assert Image.objects.get().trashed_at is None


def test_the_desk_deletes_for_good_only_what_is_in_the_trash(client, ada):
    client.force_login(ada)
    gone, stays = take_in(1), take_in(2)
    trash_image(gone)
    form = {"action": "purge", "_selected_action": [gone.pk, stays.pk]}
    client.post("/admin/gallery/image/?presence=all", form)
    assert Image.objects.get() == stays
