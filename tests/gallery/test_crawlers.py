"""What search engines and link previews are told."""

import re
from xml.etree import ElementTree

import pytest
from django.test import Client

from gallery.addresses import media_url
from gallery.models import Image
from gallery.renditions import LARGE
from gallery.services import create_album, retract_image, set_cover, trash_image
from gallery.views import crawlers

pytestmark = pytest.mark.django_db


def addresses(client, path="/sitemap.xml"):
    """Every address that the site map leads to."""
    response = client.get(path)
    assert response.status_code == 200 and response.headers["Content-Type"] == "application/xml"
    found = [
        place.text.removeprefix("http://testserver")
        for place in ElementTree.fromstring(response.content).iterfind(".//{*}loc")
    ]
    inner = [address for address in found if address.startswith("/sitemap")]
    return [address for address in found if address not in inner] + [
        address for part in inner for address in addresses(client, part)
    ]


def test_the_site_map_holds_what_is_public_and_safe_and_nothing_else(take_in, visitor, adult, curator):
    shown, mixed, _empty = (create_album(name=name) for name in ("Shown", "Mixed", "Empty"))
    hidden = create_album(name="Hidden", is_public=False)
    safe = take_in(1, album=shown), take_in(2, album=mixed, rating="suggestive")
    for number, rating in enumerate(("adult", "explicit", None), start=10):
        take_in(number, album=mixed, rating=rating)
    take_in(20, album=hidden)
    trash_image(take_in(21, album=shown))
    retract_image(take_in(22, album=shown))
    expected = {
        "/",
        "/albums",
        "/templates",
        f"/albums/{shown.pk}",
        *(f"/images/{image.pk}" for image in safe),
    }
    for client in (visitor, adult, curator):
        assert sorted(addresses(client)) == sorted(expected)
    assert all(Client().get(address).status_code == 200 for address in expected)


def test_the_site_map_comes_in_parts_that_cost_the_same_at_any_size(
    take_in, album, visitor, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(crawlers, "SPAN", 4)
    images = [take_in(number, album=album) for number in range(7)]
    found = addresses(visitor)
    assert [f"/images/{image.pk}" in found for image in images] == [True] * 7 and len(found) == len(
        set(found)
    )
    with django_assert_num_queries(len(crawlers.PARTS)):
        visitor.get("/sitemap.xml")
    with django_assert_num_queries(1):
        visitor.get("/sitemap-images-1.xml")
    for path in ("/sitemap-users-0.xml", f"/sitemap-images-{2**63}.xml", "/sitemap-images-x.xml"):
        assert visitor.get(path).status_code == 404


def test_addresses_for_programs_are_those_of_the_public_site(take_in, album, visitor, settings):
    settings.SITE_URL = "https://gallery.example.org"
    image = take_in(album=album)
    robots = visitor.get("/robots.txt").content.decode()
    assert "Sitemap: https://gallery.example.org/sitemap.xml" in robots and "Disallow: /admin/" in robots
    assert "/s/" not in robots
    part = visitor.get("/sitemap-images-0.xml").content.decode()
    assert f"<loc>https://gallery.example.org/images/{image.pk}</loc>" in part
    page = visitor.get(f"/images/{image.pk}?album={album.pk}").content.decode()
    assert f'<link rel="canonical" href="https://gallery.example.org/images/{image.pk}">' in page


def head(client, address):
    return client.get(address).content.decode().partition("</head>")[0]


def test_a_page_that_is_public_and_safe_has_a_preview(take_in, album, visitor):
    image = take_in(album=album, prompt='A "sun" <b>', filename="the_sun.png", size=(2000, 1000))
    text = head(visitor, f"/images/{image.pk}")
    assert f'<meta property="og:image" content="http://testserver{media_url(image, LARGE)}">' in text
    assert '<meta property="og:image:width" content="1600">' in text
    assert "A &quot;sun&quot; &lt;b&gt;" in text and "noindex" not in text
    text = head(visitor, f"/albums/{album.pk}")
    assert '<meta property="og:title" content="Zodiac">' in text and media_url(image, LARGE) in text


@pytest.mark.parametrize("rating", ["adult", "explicit", None])
def test_no_preview_tells_of_a_restricted_picture_whoever_asks(
    take_in, album, rating, adult, curator, visitor
):
    image = take_in(album=album, rating=rating, prompt="canary", filename="canary.png")
    set_cover(album, image)
    for client in (visitor, adult, curator):
        text = head(client, f"/images/{image.pk}")
        assert '<meta name="robots" content="noindex">' in text and "og:" not in text
        assert "og:image" not in head(client, f"/albums/{album.pk}")
    assert "canary" not in head(visitor, f"/images/{image.pk}")


def test_a_private_page_has_no_preview_even_for_the_curator(take_in, curator):
    hidden = create_album(name="Hidden", is_public=False)
    image = take_in(album=hidden)
    for address in (f"/images/{image.pk}", f"/albums/{hidden.pk}"):
        text = head(curator, address)
        assert "og:" not in text and "canonical" not in text and "noindex" in text
    assert not re.search(r"/images/\d", Client().get("/sitemap.xml").content.decode())
    assert not Image.objects.get(pk=image.pk).is_public
