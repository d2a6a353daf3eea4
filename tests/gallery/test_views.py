import re
from itertools import chain

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client

from gallery import origins
from gallery.addresses import media_url
from gallery.models import DiffusionModel, Image, Label
from gallery.origins import Origin, register_origin
from gallery.renditions import GRID
from gallery.services import add_images, create_album

pytestmark = pytest.mark.django_db


def text(response):
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def links(page, pattern):
    return [int(number) for number in re.findall(pattern, page)]


@pytest.fixture
def runs(monkeypatch):
    """The app above, which knows the names of runs."""
    asked = []

    class Runs:
        def describe(self, source_ids, viewer):
            asked.append(source_ids)
            return {pk: Origin(f"Run {pk} <b>", f"/runs/{pk}") for pk in source_ids if pk != 404}

        def pictures(self, images, source_id):
            return images.filter(source_id=source_id).annotate(slot=F("pk"))

    monkeypatch.setattr(origins, "_providers", {})
    register_origin("batch_generation", Runs())
    return asked


def test_an_empty_library_says_so(visitor):
    assert "Nothing to see yet" in text(visitor.get("/"))
    assert "Albums appear here" in text(visitor.get("/albums"))
    assert "None of this kind" in text(visitor.get("/albums?source_type=scrape"))
    album = create_album(name="Empty one")
    assert "An empty album" in text(visitor.get(f"/albums/{album.pk}"))


def test_home_shows_what_is_published_to_admins_too(curator, take_in):
    tried, shown = take_in(1), take_in(2, album=create_album(name="Shown"))
    page = text(curator.get("/"))
    assert f"/images/{shown.pk}" in page and f"/images/{tried.pk}" not in page


def test_home_shows_the_latest_albums_and_pictures(visitor, take_in):
    albums = [create_album(name=f"Album {number}") for number in range(8)]
    images = [take_in(number, album=album) for number, album in enumerate(albums)]
    create_album(name="Nothing in it")
    page = text(visitor.get("/"))
    assert [name for name in re.findall(r"Album \d", page) if name][:6] == [
        f"Album {n}" for n in range(7, 1, -1)
    ]
    assert "Nothing in it" not in page
    assert links(page, r'href="/images/(\d+)"') == [image.pk for image in reversed(images)]


def test_pages_of_pictures_go_on_to_the_last_and_back(visitor, take_in, monkeypatch):
    monkeypatch.setattr("gallery.views.answers.PER_PAGE", 3)
    album = create_album(name="Ten")
    images = [take_in(number) for number in range(10)]
    add_images(album, images, positions=[5, 5, 5, 1, 2, 3, 4, 9, 9, 8])
    in_order = [images[n].pk for n in (3, 4, 5, 6, 0, 1, 2, 9, 7, 8)]
    for start, expected in (
        ("/", [image.pk for image in reversed(images)]),
        (f"/albums/{album.pk}", in_order),
    ):
        forth, pages, address = [], [], start
        while address:
            pages.append(address)
            page = text(visitor.get(address))
            forth.append(links(page, r'<li class="r\d+"><a href="/images/(\d+)'))
            following = re.search(r'rel="next" href="([^"]+)"', page)
            address = start + following[1].replace("&amp;", "&") if following else None
        assert list(chain(*forth)) == expected and len(pages) == 4
        back = []
        previous = re.search(r'rel="prev" href="([^"]+)"', page)
        while previous:
            page = text(visitor.get(start + previous[1].replace("&amp;", "&")))
            back.append(links(page, r'<li class="r\d+"><a href="/images/(\d+)'))
            previous = re.search(r'rel="prev" href="([^"]+)"', page)
        assert list(chain(*reversed(back))) == expected[:9]


@pytest.mark.parametrize("cursor", ["x", "1-2-3", "-1", "9" * 40, "1'", "", "٣"])
def test_a_cursor_of_nobody_s_shows_the_first_page(visitor, take_in, album, cursor):
    image = take_in(album=album)
    for address in ("/", "/albums", f"/albums/{album.pk}"):
        page = text(visitor.get(address, {"after": cursor}))
        if "albums" not in address or address[-1].isdigit():
            assert f"/images/{image.pk}" in page


def test_every_picture_tells_its_size_and_what_it_shows(visitor, take_in, album):
    for number in range(12):
        take_in(number, album=album, prompt=f'a "cat" & {number}', size=(120, 80 + number))
    page = text(visitor.get(f"/albums/{album.pk}"))
    pictures = re.findall(r"<img [^>]+>", page)
    assert len(pictures) == 12
    for number, picture in enumerate(pictures):
        assert f'width="120" height="{80 + number}"' in picture
        assert f'alt="a &quot;cat&quot; &amp; {number}"' in picture and 'decoding="async"' in picture
        assert ('loading="lazy"' in picture) == (number >= 8)


def test_the_picture_page_tells_the_recipe(visitor, take_in, album, runs):
    model = DiffusionModel.objects.create(name="starter", title="Starter model", location="x")
    image = take_in(
        1, album=album, source_type="batch_generation", source_id=7, filename="Ace_of_Spades.png", model=model,
        prompt="an ace", negative_prompt="blur",
        generation_params={"seed": 41, "steps": 30, "guidance_scale": 7.5, "scheduler": "euler", "loras": [{"name": "brass", "weight": 0.8}]},
    )  # fmt: skip
    Label.objects.create(image=image, text="cards")
    Label.objects.create(image=image, text="withdrawn one", withdrawn_at=image.created_at)
    page = text(visitor.get(f"/images/{image.pk}"))
    for word in (
        "Ace of Spades",
        "an ace",
        "blur",
        "41",
        "7.5",
        "Euler",
        "brass × 0.8",
        "Starter model",
        "cards",
        "Zodiac",
        "/runs/7",
    ):
        assert word in page, word
    assert "withdrawn one" not in page


@pytest.mark.parametrize(
    "parameters",
    [
        {"loras": "x", "seed": {"a": 1}},
        {"loras": [1, None, {}]},
        {"model": {"x": 1}},
        {"seed": "<script>"},
    ],
)
def test_parameters_of_any_shape_break_no_page(visitor, take_in, album, parameters):
    image = take_in(album=album)
    Image.objects.filter(pk=image.pk).update(generation_params=parameters)
    assert "<script>" not in text(visitor.get(f"/images/{image.pk}"))
    assert visitor.get(f"/api/images/{image.pk}").status_code == 200


def test_previous_and_next_follow_the_album_s_order(visitor, take_in, album):
    images = [take_in(number) for number in range(3)]
    add_images(album, images, positions=[30, 20, 10])

    def neighbours(image):
        page = text(visitor.get(f"/images/{image.pk}?album={album.pk}"))
        return {
            rel: int(pk) for rel, pk in re.findall(r'rel="(prev|next)" href="/images/(\d+)\?album=', page)
        }

    assert neighbours(images[2]) == {"next": images[1].pk}
    assert neighbours(images[1]) == {"prev": images[2].pk, "next": images[0].pk}
    assert neighbours(images[0]) == {"prev": images[1].pk}


@pytest.mark.parametrize("number", ["x", "0", "999", "9" * 30, "-1", "1e3", ""])
def test_an_album_that_does_not_hold_the_picture_gives_no_neighbours(visitor, take_in, album, number):
    image = take_in(album=album)
    assert "data-arrow-keys" not in text(visitor.get(f"/images/{image.pk}?album={number}"))


def test_album_badges_name_the_source_and_lead_to_it(visitor, runs):
    create_album(name="Drawn", source_type="batch_generation", source_id=7)
    create_album(name="Lost", source_type="batch_generation", source_id=404)
    create_album(name="Own", is_training_source=True)
    page = text(visitor.get("/albums"))
    assert 'href="/runs/7"' in page and "Run 7 &lt;b&gt;" in page and "/runs/404" not in page
    assert "Training source" in page
    assert "Drawn" not in text(visitor.get("/albums?source_type=manual"))


PAYLOAD = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}"


def test_nothing_that_somebody_wrote_becomes_markup(visitor, take_in, adult):
    album = create_album(name=PAYLOAD, description=PAYLOAD)
    image = take_in(album=album, prompt=PAYLOAD, negative_prompt=PAYLOAD, generation_params={"seed": PAYLOAD})
    Image.objects.filter(pk=image.pk).update(filename=f"{PAYLOAD}.png")
    Label.objects.create(image=image, text=PAYLOAD)
    for address in (
        "/",
        "/albums",
        f"/albums/{album.pk}",
        f"/images/{image.pk}?album={album.pk}",
        f"/albums?after={PAYLOAD}",
    ):
        page = text(visitor.get(address))
        assert "<script>alert" not in page and "<img src=x" not in page
    assert "{{ 7*7 }}" in text(visitor.get(f"/images/{image.pk}"))


def test_no_page_holds_a_style_or_a_script_of_its_own(visitor, take_in, album, curator):
    image = take_in(album=album)
    addresses = [
        "/",
        "/albums",
        f"/albums/{album.pk}",
        f"/images/{image.pk}",
        "/auth/login",
        "/age-confirmation",
        "/nothing",
    ]
    for client in (visitor, curator):
        for address in addresses:
            response = client.get(address)
            page = response.content.decode()
            assert "'unsafe" not in response.headers["Content-Security-Policy"]
            assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page), address
            assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page)), address


def test_pages_depend_on_the_viewer_so_nobody_else_keeps_them(visitor, take_in, album):
    image = take_in(album=album)
    for address in ("/", "/albums", f"/albums/{album.pk}", f"/images/{image.pk}"):
        assert visitor.get(address).headers["Cache-Control"] == "private, no-cache"


def test_the_header_says_who_is_signed_in(visitor, curator, stranger):
    assert "Sign in" in text(visitor.get("/")) and "/admin/" not in text(visitor.get("/"))
    assert "Admin" in text(curator.get("/")) and "Sign out" in text(curator.get("/"))
    client = Client()
    client.force_login(stranger)
    assert "Sign out" in text(client.get("/")) and "/admin/" not in text(client.get("/"))


def test_signing_in_leads_back_to_where_one_was(visitor, ada):
    ada.set_password("a long passphrase")
    ada.save()
    page = text(visitor.get("/auth/login?next=/albums"))
    assert 'name="next" value="/albums"' in page
    wrong = visitor.post("/auth/login", {"login": ada.email, "password": "x", "next": "/albums"})
    assert 'role="alert"' in text(wrong)
    right = visitor.post(
        "/auth/login", {"login": ada.email, "password": "a long passphrase", "next": "/albums"}
    )
    assert right.url == "/albums"


def test_what_is_not_there_and_what_was_withdrawn_say_so(visitor, take_in, album):
    from gallery.services import retract_image

    missing = visitor.get("/images/12345")
    assert missing.status_code == 404 and "Not found" in missing.content.decode()
    image = retract_image(take_in(album=album))
    gone = visitor.get(f"/images/{image.pk}")
    assert gone.status_code == 410 and "withdrawn" in gone.content.decode()


def test_an_error_page_needs_no_database(curator):
    def away(*_):
        raise OperationalError("the database is away")

    curator.raise_request_exception = False
    with connection.execute_wrapper(away):
        for address in ("/", "/albums", "/images/1"):
            broken = curator.get(address)
            assert broken.status_code == 503 and broken["Content-Type"].startswith("text/html")
            assert int(broken["Retry-After"]) > 0
        answer = curator.get("/api/images")
        assert answer.status_code == 503 and set(answer.json()) == {"error"}
        assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_pages_are_only_read(visitor, take_in, album, method):
    image = take_in(album=album)
    for address in (
        "/",
        "/albums",
        f"/albums/{album.pk}",
        f"/images/{image.pk}",
        media_url(image, GRID),
    ):
        assert getattr(visitor, method)(address).status_code == 405


# ---- Queries


def count_queries(client, address, django_assert_max_num_queries):
    with django_assert_max_num_queries(30) as captured:
        assert client.get(address).status_code == 200, address
    return len(captured)


def fill(take_in, start, number):
    for n in range(start, start + number):
        album = create_album(name=f"Album {n}", source_type="batch_generation", source_id=n)
        model, _ = DiffusionModel.objects.get_or_create(name=f"model{n % 3}", defaults={"location": "x"})
        reference = take_in(1000 + n, album=album)
        image = take_in(
            n,
            album=album,
            source_type="batch_generation",
            source_id=n,
            model=model,
            reference_image=reference,
        )
        for word in range(3):
            Label.objects.create(image=image, text=f"label {word}")
        add_images(FULL["album"], [image])


FULL = {}


@pytest.fixture
def full_album(take_in):
    FULL["album"] = create_album(name="Full", source_type="batch_generation", source_id=1)
    image = take_in(0, album=FULL["album"], rating="safe")
    return FULL["album"], image


@pytest.mark.parametrize("nsfw", ["hide", "blur"])
@pytest.mark.parametrize("who", ["visitor", "curator"])
def test_no_list_or_page_asks_more_questions_when_there_is_more_to_show(
    who, nsfw, request, full_album, take_in, runs, django_assert_max_num_queries
):
    client = request.getfixturevalue(who)
    client.post("/content-filter", {"nsfw": nsfw})
    album, image = full_album
    limits = {  # besides session and user
        "/": 3,
        "/albums": 2,
        f"/albums/{album.pk}": 3,
        f"/images/{image.pk}": 12,
        f"/images/{image.pk}?album={album.pk}": 13,
        f"/api/images?nsfw={nsfw}": 3,
        f"/api/images?album={album.pk}&nsfw={nsfw}": 3,
        "/api/images?run=1": 3,
        "/api/images?source_type=batch_generation&rating=safe": 3,
        "/api/images?tag=label+1": 3,
        "/api/images?model=model1": 3,
        f"/api/images/{image.pk}": 3,
        f"/api/albums?nsfw={nsfw}": 3,
        f"/api/albums/{album.pk}?nsfw={nsfw}": 3,
    }
    session_and_user = 2
    fill(take_in, 1, 2)
    few = {address: count_queries(client, address, django_assert_max_num_queries) for address in limits}
    fill(take_in, 3, 12)
    many = {address: count_queries(client, address, django_assert_max_num_queries) for address in limits}
    assert many == few
    too_many = {
        address: number for address, number in many.items() if number > limits[address] + session_and_user
    }
    assert not too_many
