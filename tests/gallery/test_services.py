import random
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from gallery.models import Album, AlbumImage, Image
from gallery.services import (
    add_images,
    create_album,
    delete_album,
    remove_images,
    restore_image,
    retract_image,
    set_album_public,
    set_cover,
    trash_image,
    update_album,
)
from gallery.trash import purge_from_trash

pytestmark = pytest.mark.django_db


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def state(album):
    album = fresh(album)
    return album.image_count, album.cover_id


def is_settled():
    """What the rows say of themselves follows from what they hold."""
    for image in Image.objects.all():
        shown = AlbumImage.objects.filter(image=image, album__is_public=True).exists()
        assert image.is_public == (shown and not image.is_gone), image.pk
    for album in Album.objects.all():
        present = list(Image.objects.present().filter(places__album=album))
        assert album.image_count == len(present)
        assert album.cover in present if present else album.cover is None
    return True


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "\0"])
def test_an_album_needs_a_name_of_1_to_200_characters(name):
    with pytest.raises(ValidationError):
        create_album(name=name)
    assert not Album.objects.exists()


@pytest.mark.parametrize("name", ["../../etc", "a\0b", "🂡 Deck", "<script>alert(1)</script>", "x" * 200])
def test_an_album_may_bear_any_other_name_and_two_the_same(name):
    first, second = create_album(name=name), create_album(name=name)
    assert first.pk != second.pk and fresh(first).name == name.replace("\0", "")


def test_pictures_are_public_while_a_public_album_holds_them(take_in):
    shown, hidden = create_album(name="shown"), create_album(name="hidden", is_public=False)
    image = take_in()
    assert not image.is_public
    add_images(hidden, [image])
    assert not fresh(image).is_public and is_settled()
    add_images(shown, [image])
    assert fresh(image).is_public and is_settled()
    set_album_public(shown, is_public=False)
    assert not fresh(image).is_public and is_settled()
    set_album_public(hidden, is_public=True)
    assert fresh(image).is_public and is_settled()
    remove_images(hidden, [image])
    assert not fresh(image).is_public and is_settled()


def test_deleting_an_album_deletes_no_picture_and_hides_what_no_other_album_shows(take_in):
    one, two = create_album(name="one"), create_album(name="two")
    only_one, both = take_in(1), take_in(2)
    add_images(one, [only_one, both])
    add_images(two, [both])
    delete_album(one)
    assert not fresh(only_one).is_public and fresh(both).is_public and is_settled()


def test_pictures_stand_behind_the_last_unless_told_where(album, take_in):
    images = [take_in(number) for number in range(5)]
    add_images(album, [images[3]], positions=[40])
    add_images(album, [images[1], images[0]])
    add_images(album, [images[4]], positions=[2])
    assert list(album.places.values_list("image", "position")) == [
        (images[4].pk, 2), (images[3].pk, 40), (images[1].pk, 41), (images[0].pk, 42),
    ]  # fmt: skip


def test_a_picture_is_in_an_album_once(album, take_in):
    first, second = take_in(1), take_in(2)
    assert add_images(album, [first, first]) == 1
    assert add_images(album, [second, first]) == 1
    assert state(album)[0] == 2 and is_settled()


def test_the_first_picture_becomes_the_cover_and_gives_way_when_it_goes(album, take_in):
    images = [take_in(number) for number in range(3)]
    add_images(album, images)
    assert state(album) == (3, images[0].pk)
    trash_image(images[0])
    assert state(album) == (2, images[1].pk)
    set_cover(album, images[2])
    remove_images(album, [images[1]])
    assert state(album) == (1, images[2].pk)
    retract_image(images[2])
    assert state(album) == (0, None)
    restore_image(images[0])
    assert state(album) == (1, images[0].pk) and is_settled()


def test_what_comes_before_the_first_picture_becomes_the_cover_unless_somebody_has_chosen_another(
    album, take_in
):
    late, last, first, chosen, before = (take_in(number) for number in range(5))
    add_images(album, [late, last], positions=[5, 6])
    add_images(album, [first], positions=[2])
    assert state(album) == (3, first.pk)
    set_cover(album, last)
    add_images(album, [before, chosen], positions=[1, 3])
    assert state(album) == (5, last.pk)


def test_what_is_deleted_for_good_meanwhile_is_left_out_and_the_others_come_into_the_album(album, take_in):
    gone, stays = take_in(1), take_in(2)
    assert purge_from_trash(trash_image(Image.objects.get(pk=gone.pk)))
    assert add_images(album, [gone, stays], positions=[4, 5]) == 1
    assert album.places.get().position == 5 and state(album) == (1, stays.pk)


def test_only_a_picture_of_the_album_can_be_its_cover(album, take_in):
    stranger, gone, as_read_before = take_in(1), take_in(2, album=album), take_in(3, album=album)
    trash_image(Image.objects.get(pk=as_read_before.pk))
    for image in (stranger, trash_image(gone), as_read_before):
        with pytest.raises(ValueError, match="cover"):
            set_cover(album, image)


def test_the_trash_keeps_a_picture_s_places(album, take_in):
    images = [take_in(number, album=album) for number in range(3)]
    trash_image(images[1])
    assert not images[1].is_public and state(album)[0] == 2
    restore_image(images[1])
    assert images[1].is_public and state(album)[0] == 3
    assert list(Image.objects.in_album_order(album)) == images


def test_a_picture_in_the_trash_can_be_put_into_an_album_and_is_counted_when_it_returns(album, take_in):
    image = trash_image(take_in())
    assert add_images(album, [image]) == 1
    assert state(album) == (0, None) and not fresh(image).is_public
    restore_image(image)
    assert state(album) == (1, image.pk) and fresh(image).is_public


def test_what_has_been_retracted_does_not_come_back_by_the_trash(album, take_in):
    image = retract_image(take_in(album=album))
    trash_image(image)
    restore_image(image)
    assert image.retracted_at and not image.is_public and is_settled()


def test_the_database_itself_refuses_a_public_picture_in_the_trash(take_in):
    image = trash_image(take_in())
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.filter(pk=image.pk).update(is_public=True)


def test_a_change_of_the_name_changes_nothing_else(album, take_in):
    take_in(album=album)
    stale = fresh(album)
    set_album_public(album, is_public=False)
    assert not update_album(stale, name="Tarot").is_public
    assert fresh(album).name == "Tarot" and is_settled()


def test_everything_is_undone_together(album, take_in):
    image = take_in()
    with pytest.raises(RuntimeError), transaction.atomic():
        add_images(album, [image])
        raise RuntimeError
    assert state(album) == (0, None) and not fresh(image).is_public


@pytest.mark.parametrize("number", [1, 30])
def test_adding_costs_the_same_for_one_picture_and_for_many_and_in_a_full_album(
    album, take_in, number, django_assert_max_num_queries
):
    add_images(album, [take_in(n) for n in range(100, 100 + number)])
    images = [take_in(n) for n in range(number)]
    with django_assert_max_num_queries(14):
        add_images(album, images)


def test_positions_must_be_as_many_as_pictures(album, take_in):
    with pytest.raises(ValueError, match="positions"):
        add_images(album, [take_in()], positions=[])
    assert not album.places.exists()


@pytest.mark.django_db(transaction=True)
def test_whatever_happens_at_once_the_rows_stay_true_and_nobody_waits_for_ever(take_in):
    albums = [create_album(name=f"Album {number}", is_public=bool(number % 2)) for number in range(3)]
    images = [take_in(number) for number in range(4)]
    errors = []

    def change(seed):
        dice = random.Random(seed)
        try:
            for _ in range(15):
                album, image = dice.choice(albums), dice.choice(images)
                change = dice.choice(["add", "remove", "publish", "hide", "trash", "restore"])
                if change == "add":
                    add_images(album, [image])
                elif change == "remove":
                    remove_images(album, [image])
                elif change in ("publish", "hide"):
                    set_album_public(album, is_public=change == "publish")
                else:
                    (trash_image if change == "trash" else restore_image)(fresh(image))
        except BaseException as error:  # noqa: BLE001  told in the main thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and is_settled()
