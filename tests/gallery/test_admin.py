import pytest
from django.urls import reverse

from gallery.models import Album, DiffusionModel, Image, Label, Lora
from gallery.services import create_album, retract_image, trash_image
from tests.forms import as_seen

pytestmark = pytest.mark.django_db

LISTS = ["image", "album", "label", "lora", "diffusionmodel"]


def address(model, view="changelist", *args):
    return reverse(f"admin:gallery_{model}_{view}", args=args)


def act(client, model, action, *rows):
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(address(model), data, follow=True)


def fresh(row):
    return type(row).objects.get(pk=row.pk)


@pytest.mark.parametrize("model", LISTS)
def test_every_list_opens_empty_and_full_with_as_many_questions(
    model, curator, take_in, django_assert_max_num_queries
):
    def fill(start):
        for number in range(start, start + 3):
            album = create_album(name=f"Album {number}")
            image = take_in(number, album=album)
            Label.objects.create(image=image, text=f"label {number}")
            Lora.objects.create(name=f"l{number}", file=f"loras/l{number}", sha256=f"{number}", family="sd15")
            DiffusionModel.objects.create(name=f"m{number}", location="x")

    def questions():
        with django_assert_max_num_queries(20) as captured:
            assert curator.get(address(model)).status_code == 200
        return len(captured)

    questions()
    fill(0)
    few = questions()
    fill(3)
    assert questions() == few


def test_every_form_opens(curator, take_in):
    image = take_in(album=create_album(name="a"))
    label = Label.objects.create(image=image, text="x")
    lora = Lora.objects.create(name="l", file="loras/l", sha256="0", family="sd15")
    model = DiffusionModel.objects.create(name="m", location="x")
    rows = {
        "image": image,
        "album": Album.objects.get(),
        "label": label,
        "lora": lora,
        "diffusionmodel": model,
    }
    for name, row in rows.items():
        assert curator.get(address(name, "change", row.pk)).status_code == 200, name
    for name in ("album", "label", "diffusionmodel"):
        assert curator.get(address(name, "add")).status_code == 200, name
    assert f"/media/{image.pk}/grid" in curator.get(address("image", "change", image.pk)).content.decode()


def test_a_curator_rates_pictures_by_person_s_word(curator, take_in):
    images = [take_in(number, rating="adult") for number in range(2)]
    assert "2 pictures rated safe" in act(curator, "image", "rate_safe", *images).content.decode()
    assert {(image.rating, image.rating_source) for image in Image.objects.all()} == {("safe", "person")}
    form = {"filename": "a.png", "prompt": "new words", "negative_prompt": "", "person_rating": "explicit"}
    curator.post(address("image", "change", images[0].pk), form)
    image = fresh(images[0])
    assert (image.rating, image.prompt, image.filename) == ("explicit", "new words", "a.png")
    other = fresh(images[1])
    curator.post(address("image", "change", other.pk), form | {"person_rating": "safe"})
    assert fresh(other).rating_source == "person"


def test_saving_a_picture_without_rating_it_is_no_word_about_its_rating(curator, take_in):
    image = take_in(rating=None)
    form = as_seen(curator.get(address("image", "change", image.pk))) | {"prompt": "x"}
    curator.post(address("image", "change", image.pk), form)
    assert fresh(image).rating_source == "" and fresh(image).prompt == "x"


def test_who_saves_an_old_page_takes_back_nothing_that_another_decided_meanwhile(curator, take_in, album):
    image = take_in(album=album, rating="safe")
    picture = as_seen(curator.get(address("image", "change", image.pk)))
    whole = as_seen(curator.get(address("album", "change", album.pk)))
    assert (picture["person_rating"], whole["is_public"]) == (["safe"], ["on"])
    act(curator, "image", "rate_explicit", image)
    act(curator, "image", "trash", image)
    act(curator, "album", "make_private", album)
    curator.post(address("image", "change", image.pk), picture | {"filename": "a better name.png"})
    curator.post(address("album", "change", album.pk), whole | {"description": "more words"})
    image, album = fresh(image), fresh(album)
    assert (image.filename, image.rating) == ("a better name.png", "explicit") and image.trashed_at
    assert (album.description, album.is_public) == ("more words", False)


def test_deleting_a_picture_is_moving_it_to_the_trash(curator, take_in, album):
    image = take_in(album=album)
    assert curator.get(address("image", "delete", image.pk)).status_code == 403
    assert "delete_selected" not in curator.get(address("image")).content.decode()
    act(curator, "image", "trash", image)
    assert fresh(image).trashed_at and not fresh(image).is_public and fresh(album).image_count == 0
    assert str(image) not in curator.get(address("image")).content.decode()
    assert str(image) in curator.get(address("image") + "?presence=trash").content.decode()
    curator.post(f"{address('image')}?presence=trash", {"action": "restore", "_selected_action": [image.pk]})
    assert fresh(image).is_public and fresh(album).image_count == 1
    form = {
        "filename": "a.png",
        "prompt": "",
        "negative_prompt": "",
        "person_rating": "safe",
        "is_trashed": "on",
    }
    curator.post(address("image", "change", image.pk), form)
    assert fresh(image).trashed_at


def test_the_list_can_be_narrowed_to_what_is_gone(curator, take_in):
    here, trashed, retracted = take_in(1), trash_image(take_in(2)), retract_image(take_in(3))
    for value, expected in (
        ("", {here}),
        ("trash", {trashed}),
        ("retracted", {retracted}),
        ("all", {here, trashed, retracted}),
    ):
        page = curator.get(address("image"), {"presence": value} if value else {}).content.decode()
        assert {image for image in (here, trashed, retracted) if image.filename in page} == expected, value


def test_a_curator_publishes_and_hides_albums_with_their_pictures(curator, take_in):
    album = create_album(name="a", is_public=False)
    image = take_in(album=album)
    act(curator, "album", "publish", album)
    assert fresh(album).is_public and fresh(image).is_public
    form = as_seen(curator.get(address("album", "change", album.pk))) | {"name": "b", "cover": image.pk}
    del form["is_public"]
    curator.post(address("album", "change", album.pk), form)
    album = fresh(album)
    assert (album.name, album.is_public, album.cover) == ("b", False, image) and not fresh(image).is_public
    act(curator, "album", "publish", album)
    act(curator, "album", "make_private", album)
    assert not fresh(image).is_public


def test_a_curator_makes_an_album(curator, ada):
    curator.post(address("album", "add"), {"name": "New", "description": "x", "is_public": "on"})
    album = Album.objects.get()
    assert (album.name, album.is_public, album.source_type, album.created_by) == ("New", True, "manual", ada)


def test_only_a_picture_of_the_album_becomes_its_cover(curator, take_in, album):
    take_in(1, album=album)
    stranger = take_in(2)
    response = curator.post(address("album", "change", album.pk), {"name": "a", "cover": stranger.pk})
    assert "Only a picture of the album" in response.content.decode()


def test_deleting_albums_hides_their_pictures_and_deletes_none(curator, take_in):
    first, second = create_album(name="a"), create_album(name="b")
    images = [take_in(1, album=first), take_in(2, album=second)]
    curator.post(address("album", "delete", first.pk), {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [second.pk], "post": "yes"}
    curator.post(address("album"), data)
    assert not Album.objects.exists() and Image.objects.filter(is_public=False).count() == len(images)


def test_labels_are_added_and_withdrawn_and_never_changed(curator, take_in, ada):
    image = take_in()
    for _ in range(2):  # pressed twice
        curator.post(address("label", "add"), {"image": image.pk, "text": "a cat", "type": "caption"})
    label = Label.objects.get()
    assert (label.author, label.source, label.text) == (ada, "manual", "a cat")
    assert (
        curator.post(
            address("label", "change", label.pk), {"image": image.pk, "text": "a dog", "type": "tag"}
        ).status_code
        == 403
    )
    act(curator, "label", "withdraw", label)
    label = Label.objects.get()
    assert label.text == "a cat" and label.withdrawn_at and not Label.objects.live().exists()


def test_names_of_models_and_loras_are_safe_to_write_anywhere(curator):
    for name in ("a b", "../a", "a:1", "<a>", ".hidden", "-x", "a b\n"):
        response = curator.post(
            address("diffusionmodel", "add"),
            {"name": name, "location": "x", "limits": "{}", "defaults": "{}"},
        )
        assert response.status_code == 200 and not DiffusionModel.objects.exists(), name
