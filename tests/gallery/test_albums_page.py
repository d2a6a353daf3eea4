import re

import pytest
from django.db import connection

from gallery.models import Album, Label
from gallery.services import add_images, create_album
from gallery.visibility import Viewer

pytestmark = pytest.mark.django_db


def names(response):
    assert response.status_code == 200
    return re.findall(r"<h3><a href=[^>]+>([^<]+)</a></h3>", response.content.decode())


def walk(client, address):
    """Names of all pages from the first to the last, and back."""
    forth, back = [], []
    page = client.get(address)
    while True:
        forth.append(names(page))
        link = re.search(r'rel="next" href="([^"]+)"', page.content.decode())
        if not link:
            break
        page = client.get("/albums" + link[1].replace("&amp;", "&"))
    while link := re.search(r'rel="prev" href="([^"]+)"', page.content.decode()):
        page = client.get("/albums" + link[1].replace("&amp;", "&"))
        back.insert(0, names(page))
    assert back == forth[:-1]
    return [name for page in forth for name in page]


@pytest.fixture
def shelf(take_in, monkeypatch):
    """Seven albums with 0 to 3 pictures, three to a page."""
    monkeypatch.setattr("gallery.views.answers.PER_PAGE", 3)
    images = [take_in(number) for number in range(3)]
    for number, name in enumerate(["delta", "Bravo", "alpha-1-2", "Charlie", "bravo", "Zulu", "alpha"]):
        add_images(create_album(name=name), images[: number % 4])


def test_albums_stand_in_each_order_over_all_pages(visitor, shelf):
    newest = ["alpha", "Zulu", "bravo", "Charlie", "alpha-1-2", "Bravo", "delta"]
    assert walk(visitor, "/albums") == newest
    assert walk(visitor, "/albums?sort=oldest") == newest[::-1]
    assert walk(visitor, "/albums?sort=name") == [
        "alpha",
        "alpha-1-2",
        "Bravo",
        "bravo",
        "Charlie",
        "delta",
        "Zulu",
    ]
    assert walk(visitor, "/albums?sort=most") == [
        "Charlie",
        "alpha",
        "alpha-1-2",
        "Zulu",
        "Bravo",
        "bravo",
        "delta",
    ]
    assert walk(visitor, "/albums?sort=nonsense") == newest


def test_the_order_by_number_counts_what_the_filter_leaves(visitor, take_in, monkeypatch):
    monkeypatch.setattr("gallery.views.answers.PER_PAGE", 1)
    one, two = create_album(name="One"), create_album(name="Two")
    for number in range(3):
        take_in(number, album=one, rating="explicit" if number else "safe")
        take_in(number + 3, album=two, rating="explicit" if number > 1 else "safe")
    take_in(6, album=one, rating="adult")
    assert walk(visitor, "/albums?sort=most") == ["One", "Two"]
    visitor.post("/content-filter", {"nsfw": "hide"})
    assert walk(visitor, "/albums?sort=most") == ["Two", "One"]
    assert f"after=2-{two.pk}" in visitor.get("/albums?sort=most").content.decode()


@pytest.mark.parametrize("sort", ["newest", "oldest", "name", "most"])
@pytest.mark.parametrize("cursor", ["x", "a-b", "1-2-x", "-", "9" * 40, "a\0-1", "é-٣"])
def test_a_cursor_of_another_order_shows_the_first_page(visitor, shelf, sort, cursor):
    found = names(visitor.get("/albums", {"sort": sort, "after": cursor}))
    assert found == names(visitor.get("/albums", {"sort": sort}))


def test_filters_are_kept_from_page_to_page(visitor, monkeypatch):
    monkeypatch.setattr("gallery.views.answers.PER_PAGE", 1)
    for number in range(3):
        create_album(name=f"Plate {number}", is_training_source=True, source_type="scrape")
    create_album(name="Plate of another source", is_training_source=True)
    create_album(name="Plate for no training", source_type="scrape")
    create_album(name="Another", is_training_source=True, source_type="scrape")
    found = walk(visitor, "/albums?source_type=scrape&training=1&q=plate&sort=name")
    assert found == ["Plate 0", "Plate 1", "Plate 2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("card deck", ["card deck brass"]),
        ("BRASS", ["card deck brass"]),
        ("spring tarot", ["Tarot"]),
        ("%", []),
        ("_", ["card deck brass"]),
        ("deck tarot", []),
        ("  ", ["Tarot", "card deck brass"]),
        ("card\0zebra", []),
        ("x" * 5000, []),
    ],
)
def test_albums_are_found_by_the_words_of_name_and_description(visitor, text, found):
    create_album(name="card_deck_brass")
    create_album(name="Tarot", description="For the spring show.")
    assert names(visitor.get("/albums", {"q": text})) == found


def test_a_search_tells_nothing_of_private_albums_or_restricted_pictures(visitor, curator, take_in):
    create_album(name="canary of a private album", is_public=False)
    album = create_album(name="Shown")
    secret = take_in(album=album, rating="adult", prompt="canary of a prompt", filename="canary.png")
    Label.objects.create(image=secret, text="canary of a label")
    page = visitor.get("/albums?q=canary")
    assert names(page) == [] and b"None has" in page.content and b"canary of" not in page.content
    assert names(curator.get("/albums?q=canary")) == ["canary of a private album"]


def test_what_was_searched_is_never_markup(visitor):
    page = visitor.get(
        "/albums", {"q": '"><script>x', "sort": '"><b>', "source_type": "'><i>"}
    ).content.decode()
    assert "<script>x" not in page and "><b>" not in page and "><i>" not in page


def test_cards_bear_the_badges_of_what_the_viewer_may_know(visitor, adult, take_in):
    album = create_album(name="Labelled", is_training_source=True)
    secret = take_in(1, album=album, rating="explicit")
    Label.objects.create(image=secret, text="word")
    page = visitor.get("/albums").content.decode()
    assert "18+" in page and "Training source" in page and ">Labelled</span>" not in page
    assert ">Labelled</span>" in adult.get("/albums").content.decode()
    safe = take_in(2, album=album)
    label = Label.objects.create(image=safe, text="word")
    assert ">Labelled</span>" in visitor.get("/albums").content.decode()
    label.delete()
    assert ">Labelled</span>" not in visitor.get("/albums").content.decode()


def test_an_unrated_picture_bears_a_badge_for_whoever_sees_it_too(visitor, curator, take_in):
    album = create_album(name="New")
    image = take_in(1, album=album, rating="unrated")
    for place in ("/albums", album.get_absolute_url(), f"/images/{image.pk}"):
        assert '"badge adult">Unrated<' in curator.get(place).content.decode(), place
        assert ">18+<" in visitor.get(place).content.decode(), place
        assert ">Unrated<" not in visitor.get(place).content.decode(), place


@pytest.mark.parametrize("sort", ["name", "most"])
def test_no_order_of_public_albums_sorts_them_all(sort, db):
    """A page is read off an index, from the cursor on."""
    from gallery.paging import _beyond
    from gallery.views.lists import SORTS

    keys = SORTS[sort][1]
    queryset = Album.objects.visible_to(Viewer()).for_lists(Viewer()).with_sort_name()
    cursor = "m-7" if sort == "name" else "3-7"
    plan = queryset.filter(_beyond(keys, cursor)).order_by(*keys)[:60].explain()
    if connection.vendor == "sqlite":
        assert "album_public" in plan and "TEMP B-TREE" not in plan, plan
