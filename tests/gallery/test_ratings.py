import pytest

from gallery.models import Album, DiffusionModel, Image, RatingSource
from gallery.ratings import rate_images
from gallery.services import add_images, create_album, set_album_public, trash_image

pytestmark = pytest.mark.django_db


def rate(image, rating, source):
    taken = rate_images(Image.objects.filter(pk=image.pk), rating=rating, source=source)
    image.refresh_from_db()
    return taken


def test_a_person_s_word_beats_a_machine_s_always(take_in):
    image = take_in(rating=None)
    assert rate(image, "safe", "machine") == 1
    assert rate(image, "adult", "person") == 1
    assert rate(image, "safe", "machine") == 0
    assert rate(image, "safe", "declared") == 0
    assert (image.rating, image.rating_source) == ("adult", "person")


def test_what_was_declared_for_a_run_beats_a_machine_and_yields_to_a_person(take_in):
    image = take_in(rating="suggestive")
    assert (image.rating, image.rating_source) == ("suggestive", "declared")
    assert rate(image, "explicit", "machine") == 0
    assert rate(image, "safe", "person") == 1


def test_the_later_word_of_the_same_person_counts(take_in):
    image = take_in()
    rate(image, "explicit", "person")
    rate(image, "unrated", "person")
    assert image.rating == "unrated" and image.is_restricted


@pytest.mark.parametrize(("rating", "source"), [("lovely", "person"), ("safe", ""), ("safe", "god")])
def test_an_unknown_rating_or_source_is_refused(take_in, rating, source):
    image = take_in(rating=None)
    with pytest.raises(ValueError):
        rate(image, rating, source)
    assert Image.objects.get().rating == "unrated"


def test_a_trusted_model_s_pictures_are_safe_unless_it_was_given_one_that_is_not(take_in, settings):
    settings.TRUSTED_SAFE_SOURCES = ["starter"]
    starter, other = (DiffusionModel.objects.create(name=name, location="x") for name in ("starter", "other"))

    def draw(number, **fields):
        return take_in(number, source_type="batch_generation", rating=fields.pop("rating", None), **fields)

    assert draw(1, model=starter).rating == "safe"
    assert draw(2, model=other).rating == "unrated"
    assert draw(3).rating == "unrated"
    assert draw(4, model=starter, rating="adult").rating == "adult"
    assert draw(5, model=starter, reference_image=draw(1, model=starter)).rating == "safe"
    assert draw(6, model=starter, reference_image=draw(2)).rating == "unrated"


def test_an_album_named_after_a_prompt_loses_its_name_with_the_prompt(db, take_in):
    named = create_album(name="a quiet lake at dawn", source_type="batch_generation")
    by_hand = create_album(name="Lakes", source_type="batch_generation")
    private = create_album(name="a quiet lake at dawn", source_type="batch_generation", is_public=False)
    image = take_in(1, source_type="batch_generation", prompt="a quiet lake\nat dawn", rating="safe")
    for album in (named, by_hand, private):
        add_images(album, [image])
    rate_images(Image.objects.filter(pk=image.pk), rating="adult", source=RatingSource.PERSON)
    for album in (named, by_hand, private):
        album.refresh_from_db()
    assert [named.name, by_hand.name, private.name] == ["Single picture", "Lakes", "a quiet lake at dawn"]
    set_album_public(private, is_public=True)
    private.refresh_from_db()
    assert private.name == "Single picture"


@pytest.mark.django_db(transaction=True)
def test_an_album_that_is_published_while_its_picture_is_rated_does_not_tell_the_prompt(take_in, beside):
    album = create_album(name="a quiet lake at dawn", source_type="batch_generation", is_public=False)
    image = take_in(1, prompt="a quiet lake at dawn", rating="safe", album=album)

    def publish():
        return set_album_public(Album.objects.get(), is_public=True).is_public

    with beside(publish, at='UPDATE "gallery_image"') as answers:
        rate_images(Image.objects.filter(pk=image.pk), rating="adult", source="person")
    assert answers == [True]
    assert Album.objects.get().name == "Single picture"


@pytest.mark.django_db(transaction=True)
def test_a_picture_is_rated_while_another_of_its_album_goes_to_the_trash(take_in, beside):
    album = create_album(name="Both")
    one, two = take_in(1, album=album), take_in(2, album=album)
    pictures = Image.objects.filter(pk__in=[one.pk, two.pk])
    with beside(lambda: trash_image(one), at='UPDATE "gallery_image"') as answers:
        assert rate_images(pictures, rating="adult", source="person") == 2
    assert answers == [one]
    assert set(Image.objects.values_list("rating", flat=True)) == {"adult"}
    assert Album.objects.get().image_count == 1
