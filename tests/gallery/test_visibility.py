"""The gate, asked from outside: every rating and state of a picture, every kind of viewer, every address."""

from dataclasses import dataclass

import pytest
from django.test import Client

from gallery.addresses import media_url
from gallery.models import DiffusionModel, Image, Label, Rating
from gallery.renditions import BLURRED, GRID, SPECS, open_rendition
from gallery.services import add_images, create_album, retract_image, trash_image
from gallery.visibility import Viewer

pytestmark = pytest.mark.django_db

STATES = ("public", "private", "trashed", "retracted")
VIEWERS = ("anonymous", "hiding", "adult", "stranger", "admin")


@dataclass
class Library:
    images: dict  # (rating, state) → Image
    shown: object
    hidden: object

    def secrets(self, image) -> list[str]:
        return [
            f"prompt{image.pk}secret",
            f"name{image.pk}secret",
            f"label{image.pk}secret",
            f"model{image.pk}secret",
        ]


def fill(take_in, kinds):
    shown, hidden = create_album(name="Shown"), create_album(name="Hidden album", is_public=False)
    images = {}
    for number, (rating, state) in enumerate(kinds):
        image = take_in(number, rating=None if rating == "unrated" else rating)
        secret = f"{image.pk}secret"
        model = DiffusionModel.objects.create(name=f"model{secret}", location="x")
        Image.objects.filter(pk=image.pk).update(
            prompt=f"prompt{secret}",
            filename=f"name{secret}.png",
            model=model,
            generation_params={"negative": f"prompt{secret}"},
        )
        Label.objects.create(image=image, text=f"label{secret}")
        add_images(hidden if state == "private" else shown, [image])
        if state == "trashed":
            trash_image(image)
        if state == "retracted":
            retract_image(image)
        images[rating, state] = Image.objects.get(pk=image.pk)
    return Library(images, shown, hidden)


@pytest.fixture
def library(take_in):
    """A picture of every rating in every state."""
    return fill(take_in, [(rating, state) for rating in Rating.values for state in STATES])


@pytest.fixture
def pictures(take_in):
    """A public picture of every rating, and a private one."""
    return fill(take_in, [*((rating, "public") for rating in Rating.values), ("safe", "private")])


def browser(viewer, request):
    client = Client()
    if viewer == "hiding":
        client.post("/content-filter", {"nsfw": "hide"})
    elif viewer == "adult":
        client.post("/age-confirmation")
    elif viewer == "stranger":
        client.force_login(request.getfixturevalue("stranger"))
    elif viewer == "admin":
        client.force_login(request.getfixturevalue("ada"))
    return client


def nsfw(viewer):
    return {"hiding": "?nsfw=hide", "adult": "?nsfw=show"}.get(viewer, "")


# What the gate promises, written down once more and independently of it


def may_open(viewer, state):
    return viewer == "admin" or state == "public"


def may_see(viewer, rating, state):
    return may_open(viewer, state) and (viewer in ("admin", "adult") or rating in ("safe", "suggestive"))


def is_listed(viewer, rating, state):
    restricted = rating in ("adult", "explicit", "unrated")
    return (
        state in ("public", "private") and may_open(viewer, state) and not (viewer == "hiding" and restricted)
    )


def body(response):
    return b"".join(response) if response.streaming else response.content


@pytest.mark.parametrize("viewer", VIEWERS)
def test_each_address_of_a_picture_gives_each_viewer_what_they_may_see(viewer, library, request):
    client = browser(viewer, request)
    for (rating, state), image in library.images.items():
        about = f"{viewer} at a picture that is {rating} and {state}"
        closed = None if may_open(viewer, state) else (410 if state == "retracted" else 404)
        clear = may_see(viewer, rating, state)
        bytes_of = {name: open_rendition(image, name).read() for name in ("grid", "large", "full", "blurred")}
        for name, address in {
            **{name: media_url(image, SPECS[name]) for name in bytes_of},
            "thumbnail": f"/api/images/{image.pk}/thumbnail{nsfw(viewer)}",
            "file": f"/api/images/{image.pk}/file{nsfw(viewer)}",
        }.items():
            response = client.get(address)
            if closed or (name == "file" and not clear):
                assert response.status_code == (closed or 404), (about, address)
            elif name == "file":
                is_whole = body(response) == image.file.read()
                assert is_whole == (viewer == "admin"), (about, address)
            elif name == "thumbnail":
                assert body(response) == bytes_of["grid" if clear else "blurred"], (about, address)
            elif clear or name == "blurred":
                assert body(response) == bytes_of[name], (about, address)
            else:  # the clear name never answers; a page that is still open finds the blurred one
                assert response.status_code == 302 and response.url == media_url(image, BLURRED), about
                assert response.headers["Cache-Control"] == "private, no-store" and not body(response)
        for address in (
            f"/images/{image.pk}",
            f"/images/{image.pk}?album={library.shown.pk}",
            f"/api/images/{image.pk}{nsfw(viewer)}",
        ):
            response = client.get(address)
            assert response.status_code == (closed or 200), (about, address)
            found = [secret for secret in library.secrets(image) if secret in response.content.decode()]
            assert bool(found) == (clear and not closed), (about, address, found)


@pytest.mark.parametrize("viewer", VIEWERS)
def test_each_list_names_and_counts_what_the_viewer_may_see(viewer, library, request):
    client = browser(viewer, request)
    listed = {
        image.pk: may_see(viewer, *key) for key, image in library.images.items() if is_listed(viewer, *key)
    }
    in_shown = [
        image.pk for key, image in library.images.items() if is_listed(viewer, *key) and key[1] == "public"
    ]

    rows = client.get(f"/api/images{nsfw(viewer)}").json()
    assert [row["id"] for row in rows["images"]] == sorted(listed, reverse=True)
    assert rows["total"] == len(listed)
    for row in rows["images"]:
        clear = listed[row["id"]]
        assert (row["prompt"] is not None) == clear and (row["filename"] is not None) == clear
        assert (row["url"] is not None) == clear and (row["model"] is not None) == clear
        assert (row["generation_params"] is not None) == clear

    album = client.get(f"/api/albums/{library.shown.pk}{nsfw(viewer)}").json()
    assert [row["id"] for row in album["images"]] == in_shown and album["image_count"] == len(in_shown)
    albums = client.get(f"/api/albums{nsfw(viewer)}").json()["albums"]
    assert {row["name"] for row in albums} == ({"Shown", "Hidden album"} if viewer == "admin" else {"Shown"})

    for address in ("/", "/albums", f"/albums/{library.shown.pk}"):
        page = client.get(address).content.decode()
        for key, image in library.images.items():
            told = [secret for secret in library.secrets(image) if secret in page]
            assert not told or may_see(viewer, *key), (address, key, told)
    page = client.get(f"/albums/{library.shown.pk}").content.decode()
    for image in library.images.values():
        assert (f"/images/{image.pk}?" in page) == (image.pk in in_shown)
    assert f"{len(in_shown)} pictures" in page


@pytest.mark.parametrize("viewer", ["anonymous", "hiding", "adult", "stranger"])
def test_a_private_album_is_not_there_and_cannot_be_asked_about(viewer, pictures, request):
    client = browser(viewer, request)
    hidden = pictures.hidden
    assert client.get(f"/albums/{hidden.pk}").status_code == 404
    assert client.get(f"/api/albums/{hidden.pk}").status_code == 404
    both = pictures.images["safe", "public"]
    add_images(hidden, [both])
    assert client.get(f"/api/images?album={hidden.pk}").json()["images"] == []
    for address in (f"/images/{both.pk}", f"/images/{both.pk}?album={hidden.pk}", f"/api/images/{both.pk}"):
        assert "Hidden album" not in client.get(address).content.decode()


@pytest.mark.parametrize("viewer", ["anonymous", "hiding", "stranger"])
def test_words_that_a_viewer_may_not_read_cannot_be_searched_for_either(viewer, pictures, request):
    client = browser(viewer, request)
    for rating, is_found in (("safe", True), ("adult", False), ("unrated", False)):
        image = pictures.images[rating, "public"]
        for question in (f"tag=label{image.pk}secret", f"model=model{image.pk}secret"):
            rows = client.get(f"/api/images?{question}").json()
            assert rows["total"] == len(rows["images"]) == is_found, question


def test_a_blurred_picture_is_not_told_by_its_cover_or_neighbours(pictures, visitor):
    adult, safe = pictures.images["adult", "public"], pictures.images["safe", "public"]
    album = create_album(name="Two")
    add_images(album, [adult, safe])
    for address in ("/albums", f"/images/{safe.pk}?album={album.pk}"):
        page = visitor.get(address).content.decode()
        assert not any(secret in page for secret in pictures.secrets(adult))
        assert f"/media/{adult.pk}/grid" not in page and f"/media/{adult.pk}/large" not in page


def test_under_hide_a_restricted_cover_and_neighbour_are_left_out(pictures, visitor):
    adult, safe = pictures.images["adult", "public"], pictures.images["safe", "public"]
    album = create_album(name="Two")
    add_images(album, [adult, safe])
    visitor.post("/content-filter", {"nsfw": "hide"})
    for address in ("/albums", f"/images/{safe.pk}?album={album.pk}"):
        assert f"/media/{adult.pk}/" not in visitor.get(address).content.decode()
    row = visitor.get(f"/api/albums/{album.pk}?nsfw=hide").json()
    assert row["cover_image_id"] is None and row["image_count"] == 1


def test_the_id_of_a_hidden_reference_picture_is_not_told(pictures, take_in, visitor, curator):
    hidden, shown = pictures.images["safe", "private"], pictures.images["safe", "public"]
    for number, reference, told in ((100, hidden, None), (101, shown, shown.pk)):
        image = take_in(
            number, album=pictures.shown, source_type="batch_generation", reference_image=reference
        )
        assert visitor.get(f"/api/images/{image.pk}").json()["reference_image_id"] == told
        assert curator.get(f"/api/images/{image.pk}").json()["reference_image_id"] == reference.pk
    blurred = take_in(102, album=pictures.shown, rating="adult", reference_image=shown)
    assert visitor.get(f"/api/images/{blurred.pk}").json()["reference_image_id"] is None


# ---- Consent


def test_show_without_a_confirmed_age_is_blur(pictures, visitor):
    image = pictures.images["adult", "public"]
    page = visitor.post("/content-filter", {"nsfw": "show", "next": "/albums"})
    assert "Are you of age?" in page.content.decode()
    blurred = open_rendition(image, "blurred").read()
    assert body(visitor.get(f"/api/images/{image.pk}/thumbnail?nsfw=show")) == blurred
    assert visitor.get("/api/images?nsfw=show").json()["images"][0]["prompt"] is None


def test_after_the_confirmation_pictures_are_clear_until_blur_is_chosen_again(pictures, visitor):
    image = pictures.images["explicit", "public"]
    address = media_url(image, GRID)
    clear, blurred = (open_rendition(image, name).read() for name in ("grid", "blurred"))
    assert body(visitor.get(address, follow=True)) == blurred
    assert visitor.post("/age-confirmation", {"next": f"/images/{image.pk}"}).url == f"/images/{image.pk}"
    response = visitor.get(address)
    assert (
        body(response) == clear
        and f"/media/{image.pk}/large" in visitor.get(f"/images/{image.pk}").content.decode()
    )
    visitor.post("/content-filter", {"nsfw": "blur"})
    again = visitor.get(address, headers={"If-None-Match": response.headers["ETag"]}, follow=True)
    assert again.status_code == 200 and body(again) == blurred
    visitor.post("/content-filter", {"nsfw": "show"})
    assert body(visitor.get(address)) == clear


def test_consent_belongs_to_one_session(pictures, adult):
    assert "secret" in adult.get(f"/images/{pictures.images['adult', 'public'].pk}").content.decode()
    assert "prompt" not in Client().get(f"/images/{pictures.images['adult', 'public'].pk}").content.decode()


def test_consent_is_not_carried_over_to_whoever_signs_in_or_out_after_it(pictures, adult, stranger, ada):
    page = f"/images/{pictures.images['adult', 'public'].pk}"
    adult.force_login(stranger)  # on the machine on which a visitor has confirmed
    assert "secret" not in adult.get(page).content.decode()
    adult.post("/age-confirmation")
    assert "secret" in adult.get(page).content.decode()
    adult.post("/auth/logout")
    assert "secret" not in adult.get(page).content.decode()


def test_the_choice_is_remembered_over_signing_in(pictures, visitor, stranger):
    visitor.post("/content-filter", {"nsfw": "hide"})
    visitor.force_login(stranger)
    assert f"/images/{pictures.images['adult', 'public'].pk}" not in visitor.get("/").content.decode()


# ---- Albums under a filter that hides


def test_an_album_of_which_the_filter_leaves_nothing_is_in_no_list_and_not_there(take_in, visitor):
    restricted, mixed, _empty = (create_album(name=name) for name in ("Restricted", "Mixed", "Empty"))
    take_in(1, album=restricted, rating="adult"), take_in(2, album=restricted, rating=None)
    take_in(3, album=mixed, rating="explicit"), take_in(4, album=mixed)
    trash_image(take_in(5, album=restricted))
    assert "Restricted" in visitor.get("/albums").content.decode()
    visitor.post("/content-filter", {"nsfw": "hide"})
    for page in ("/", "/albums"):
        text = visitor.get(page).content.decode()
        assert "Restricted" not in text and "Mixed" in text
    rows = visitor.get("/api/albums?nsfw=hide").json()
    assert {row["name"]: row["image_count"] for row in rows["albums"]} == {"Mixed": 1, "Empty": 0}
    assert rows["total"] == 2
    page = visitor.get(f"/albums/{restricted.pk}")
    assert page.status_code == 404 and "Restricted" not in page.content.decode()
    assert "18+ pictures" in page.content.decode()  # the way back stands at the foot of the page
    assert visitor.get(f"/api/albums/{restricted.pk}?nsfw=hide").status_code == 404
    assert visitor.get(f"/api/albums/{restricted.pk}").status_code == 200
    image = restricted.images.first()
    for address in (f"/images/{image.pk}", f"/api/images/{image.pk}?nsfw=hide"):
        assert "Restricted" not in visitor.get(address).content.decode()
    visitor.post("/content-filter", {"nsfw": "blur"})
    assert visitor.get(f"/albums/{restricted.pk}").status_code == 200


def test_the_api_is_blurred_unless_it_asks_even_after_consent(pictures, adult):
    image = pictures.images["adult", "public"]
    assert adult.get(f"/api/images/{image.pk}").json()["prompt"] is None
    shown = adult.get(f"/api/images/{image.pk}?nsfw=show").json()
    assert shown["prompt"] and body(adult.get(shown["thumbnail_url"])) == open_rendition(image, "grid").read()
    assert adult.get(shown["url"]).status_code == 200


@pytest.mark.parametrize(
    "session",
    [
        {"is_of_age": "yes"},
        {"is_of_age": True},
        {"is_of_age": "user 1"},
        {"nsfw": "show"},
        {"nsfw": "everything"},
        {},
    ],
)
def test_what_is_not_exactly_a_confirmation_is_none(session):
    class Request:
        user = None

    Request.session = {"nsfw": "show"} | session
    viewer = Viewer.from_request(Request)
    assert not viewer.sees_restricted and viewer.mode == "blur"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:evil.example",
        "",
        "\nhttps://evil.example",
    ],
)
@pytest.mark.parametrize("address", ["/age-confirmation", "/content-filter"])
def test_nobody_is_sent_on_to_another_site(visitor, address, url):
    assert visitor.post(address, {"next": url, "nsfw": "hide"}).url == "/"


def test_a_form_from_another_site_confirms_nothing(db):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/age-confirmation").status_code == 403
    assert client.post("/content-filter", {"nsfw": "show"}).status_code == 403
    assert client.get("/age-confirmation").status_code == 200
    assert "is_of_age" not in client.session
