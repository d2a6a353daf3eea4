import os

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from gallery.addresses import content_name, media_url
from gallery.models import Image
from gallery.renditions import BLURRED, GRID, SPECS
from gallery.services import add_images, set_album_public
from tests.gallery.pictures import draw, encode

pytestmark = pytest.mark.django_db

FOR_EVER = "public, max-age=31536000, immutable"
ASK = "private, no-cache"


def addresses(image):
    yield media_url(image, GRID)
    yield f"/api/images/{image.pk}/thumbnail"
    yield f"/api/images/{image.pk}/file"


def test_the_address_of_a_rendition_is_the_route_s(take_in):
    image = take_in()
    assert media_url(image, GRID) == reverse("media", args=[image.pk, "grid", content_name(image, "grid")])


def test_a_browser_takes_what_we_send_for_a_picture_and_nothing_else(take_in, album, visitor):
    for number, source_type in enumerate(("manual", "batch_generation")):
        image = take_in(number, album=album, source_type=source_type)
        for address in addresses(image):
            for response in (visitor.get(address), visitor.head(address)):
                assert response.status_code == 200
                assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Content-Type"] in ("image/webp", "image/png")


def test_only_what_is_public_and_safe_may_be_kept_by_others(take_in, album, visitor, adult, curator):
    safe, restricted = take_in(1, album=album), take_in(2, album=album, rating="adult")
    assert visitor.get(media_url(safe, GRID)).headers["Cache-Control"] == FOR_EVER
    assert "Cookie" not in visitor.get(media_url(safe, GRID)).headers.get("Vary", "")
    for client in (visitor, adult, curator):
        assert client.get(media_url(restricted, BLURRED)).headers["Cache-Control"] == ASK
        assert "public" not in client.get(media_url(restricted, GRID)).headers["Cache-Control"]
        for address in (f"/api/images/{safe.pk}/thumbnail", f"/api/images/{safe.pk}/file"):
            assert client.get(address).headers["Cache-Control"] == ASK
    set_album_public(album, is_public=False)
    assert visitor.get(media_url(safe, GRID)).status_code == 404
    assert curator.get(media_url(safe, GRID)).headers["Cache-Control"] == ASK


def test_a_repeat_visit_costs_one_query_and_no_bytes(take_in, album, visitor, django_assert_num_queries):
    image = take_in(album=album)
    for address in addresses(image):
        etag = visitor.get(address).headers["ETag"]
        with django_assert_num_queries(1):
            again = visitor.get(address, headers={"If-None-Match": etag})
        assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == etag
        assert again.headers["Cache-Control"] in (ASK, FOR_EVER)


@pytest.mark.parametrize("spec", ["grid", "small", "original", "../grid", "GRID", "full", "blurred"])
@pytest.mark.parametrize("named", ["grid", "full", "blurred", "another picture's", "guessed", "hash"])
def test_only_the_known_renditions_of_the_known_bytes_have_addresses(take_in, album, visitor, spec, named):
    image = take_in(album=album)
    names = {
        "another picture's": content_name(take_in(2, album=album), spec),
        "guessed": "0" * 24,
        "hash": image.sha256[:24],
    }
    name = names.get(named) or content_name(image, named)
    is_right = spec == named
    assert visitor.get(f"/media/{image.pk}/{spec}-{name}.webp").status_code == (200 if is_right else 404)


def test_neither_addresses_nor_headers_tell_whether_a_file_that_one_owns_lies_here(take_in, album, adult):
    """By its hash; and two pictures of the same bytes do not tell that they are."""
    image = take_in(album=album, source_type="batch_generation", rating="adult")
    twin = take_in(album=album, source_type="batch_generation", rating="adult")
    for client, addresses_of in ((Client(), addresses), (adult, addresses)):
        told = []
        for picture in (image, twin):
            for address in [*addresses_of(picture), media_url(picture, BLURRED)]:
                response = client.get(address)
                told += [address, *map(str, response.headers.items())]
                client.get(response.headers.get("Location", "/"))
        assert not [text for text in told if image.sha256[:8] in text]
    names = [content_name(picture, spec) for picture in (image, twin) for spec in SPECS]
    assert len(set(names)) == len(names)
    row = Client().get(f"/api/images/{image.pk}").json()
    assert row["sha256"] is None and row["file_size"] is None and row["mime_type"] is None


def test_names_change_with_the_secret_key(take_in, settings):
    image = take_in()
    before = content_name(image, "grid")
    settings.SECRET_KEY = "another key"
    assert content_name(image, "grid") != before


@pytest.mark.parametrize("pk", [0, 10**6, 2**63, 10**30])
def test_a_number_that_is_no_picture_s_is_simply_not_there(visitor, pk):
    for address in (
        f"/images/{pk}",
        f"/media/{pk}/grid-{'0' * 24}.webp",
        f"/api/images/{pk}",
        f"/albums/{pk}",
        f"/api/albums/{pk}",
    ):
        assert visitor.get(address).status_code == 404


def test_the_public_gets_foreign_files_only_re_encoded(album, visitor, curator):
    from gallery.ingest import ingest_image
    from gallery.services import add_images

    canary = b"canary-of-a-camera"
    exif = Pillow.Exif()
    exif[0x010E] = canary.decode()
    data = (
        encode(draw(size=(640, 480)), "JPEG", exif=exif, comment=canary)
        + b"<script>alert(1)</script>"
        + canary
    )
    image = ingest_image(data, source_type="manual", filename="holiday.jpg", rating="safe").image
    add_images(album, [image])
    response = visitor.get(f"/api/images/{image.pk}/file")
    sent = b"".join(response)
    assert canary not in sent and b"script" not in sent
    assert response.headers["Content-Disposition"] == 'attachment; filename="holiday.webp"'
    assert Pillow.open(__import__("io").BytesIO(sent)).size == (640, 480)
    assert b"".join(curator.get(f"/api/images/{image.pk}/file")) == data


def test_what_was_drawn_here_is_sent_as_it_is_with_its_recipe(take_in, album, visitor):
    image = take_in(album=album, source_type="batch_generation", filename="Ace_of_Spades.png")
    response = visitor.get(f"/api/images/{image.pk}/file")
    assert b"".join(response) == image.file.read()
    assert response.headers["Content-Disposition"] == 'attachment; filename="Ace_of_Spades.png"'


@pytest.mark.parametrize("name", ['a"b\r\nX-Evil: 1', "кот.png", "a;b=c", "%0d%0aX-Evil: 1"])
def test_a_file_name_cannot_write_headers(take_in, album, visitor, name):
    image = take_in(album=album, source_type="batch_generation")
    Image.objects.filter(pk=image.pk).update(filename=name)
    response = visitor.get(f"/api/images/{image.pk}/file")
    assert "X-Evil" not in response.headers
    assert (
        "\r" not in response.headers["Content-Disposition"]
        and "\n" not in response.headers["Content-Disposition"]
    )


def test_a_lost_file_is_not_there_and_does_not_break_the_page(take_in, album, visitor):
    image = take_in(album=album)
    default_storage.delete(GRID.key(image.sha256))
    default_storage.delete(image.file.name)
    assert visitor.get(media_url(image, GRID)).status_code == 404
    assert visitor.get(f"/images/{image.pk}").status_code == 200


@pytest.mark.parametrize("proxy", ["", "/_media"])
@pytest.mark.parametrize("size", [0, 9])
def test_an_original_that_was_cut_short_is_not_sent_as_if_it_were_whole(
    take_in, album, visitor, curator, settings, size, proxy
):
    settings.X_ACCEL = proxy
    drawn, sent = take_in(1, album=album, source_type="batch_generation"), take_in(2, album=album)
    for image in (drawn, sent):
        assert curator.get(f"/api/images/{image.pk}/file").status_code == 200
        os.truncate(default_storage.path(image.file.name), size)
    for image in (drawn, sent):  # the one as it is, of the other a copy that would be made now
        for client in (visitor, curator):
            assert client.get(f"/api/images/{image.pk}/file").status_code == 404
            assert client.head(f"/api/images/{image.pk}/file").status_code == 404
        assert visitor.get(media_url(image, GRID)).status_code == 200


@pytest.mark.parametrize("proxy", ["", "/_media"])
def test_an_empty_rendition_is_made_again_before_it_is_sent(take_in, album, visitor, settings, proxy):
    settings.X_ACCEL = proxy
    image = take_in(album=album)
    key = GRID.key(image.sha256)
    whole = default_storage.open(key).read()
    for address in (media_url(image, GRID), f"/api/images/{image.pk}/thumbnail"):
        os.truncate(default_storage.path(key), 0)
        response = visitor.get(address)
        assert response.status_code == 200 and default_storage.open(key).read() == whole
        assert b"".join(response) == (b"" if proxy else whole)


def test_whether_a_file_is_whole_costs_no_query(take_in, album, visitor, django_assert_num_queries):
    image = take_in(album=album, source_type="batch_generation")
    with django_assert_num_queries(1):
        assert visitor.get(f"/api/images/{image.pk}/file").status_code == 200
    os.truncate(default_storage.path(GRID.key(image.sha256)), 0)
    with django_assert_num_queries(1):
        assert visitor.get(media_url(image, GRID)).status_code == 200


@pytest.mark.parametrize("proxy", ["", "/_media"])
def test_on_a_disk_that_is_away_a_picture_is_no_lost_one(take_in, album, visitor, settings, proxy, unmounted):
    settings.X_ACCEL = proxy
    visitor.raise_request_exception = False
    image = take_in(album=album, source_type="batch_generation")
    with unmounted():
        for address in addresses(image):
            assert visitor.get(address).status_code == visitor.head(address).status_code == 503
    for address in addresses(image):
        assert visitor.get(address).status_code == 200


# ---- Parts of a file, and its head


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-999999999", slice(None)),
        ("bytes=-999999999", slice(None)),
        ("bytes=20-10", slice(None)),
        ("bytes=-", slice(None)),
        ("bytes=0-1,5-6", slice(None)),
        ("lines=0-1", slice(None)),
        ("bytes=٣-٤", slice(None)),
        ("bytes=9999999-", None),
        ("bytes=-0", None),
    ],
)
def test_a_part_of_a_file_is_sent_when_it_is_asked_for(take_in, album, visitor, header, part):
    image = take_in(album=album)
    for address in addresses(image):
        whole = b"".join(visitor.get(address))
        response = visitor.get(address, headers={"Range": header.encode().decode("latin-1")})
        sent = b"".join(response)
        if part is None:
            assert response.status_code == 416 and not sent
            assert response.headers["Content-Range"] == f"bytes */{len(whole)}"
        else:
            start, stop, _ = part.indices(len(whole))
            assert sent == whole[part] and response.headers["Content-Length"] == str(len(sent))
            assert response.status_code == (200 if sent == whole else 206)
            if response.status_code == 206:
                assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_part_is_sent_only_of_the_file_that_the_reader_has_begun(take_in, album, visitor):
    image = take_in(album=album)
    address = media_url(image, GRID)
    etag = visitor.get(address).headers["ETag"]
    for if_range, status in ((etag, 206), ('"another"', 200), ("Sat, 21 Nov 2026 15:00:00 GMT", 200)):
        asked = {"Range": "bytes=0-4", "If-Range": if_range}
        assert visitor.get(address, headers=asked).status_code == status
    assert visitor.get(address, headers={"If-Match": '"another"'}).status_code == 412


def test_the_head_of_a_file_is_that_of_its_answer_without_the_bytes(take_in, album, visitor):
    for address in addresses(take_in(album=album)):
        whole, head = visitor.get(address), visitor.head(address)
        assert head.content == b"" and dict(head.headers) == dict(whole.headers)
        assert head.headers["Content-Length"] == str(len(b"".join(whole)))
        assert head.headers["Accept-Ranges"] == "bytes"


# ---- A proxy that sends the files (IMAGINEER_X_ACCEL)


def test_with_a_proxy_in_front_only_the_place_of_the_file_is_sent(take_in, album, visitor, settings):
    settings.X_ACCEL = "/_media"
    image = take_in(album=album, source_type="batch_generation", filename="Ace of Spades.png")
    default_storage.delete(GRID.key(image.sha256))
    expected = {
        media_url(image, GRID): GRID.key(image.sha256),
        f"/api/images/{image.pk}/thumbnail": GRID.key(image.sha256),
        f"/api/images/{image.pk}/file": image.file.name,
    }
    for address, key in expected.items():
        response = visitor.get(address)
        assert response.status_code == 200 and response.content == b""
        assert response.headers["X-Accel-Redirect"] == f"/_media/{key}"
        assert default_storage.exists(key)  # made before the proxy is sent for it
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        again = visitor.get(address, headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304 and "X-Accel-Redirect" not in again.headers
    assert response.headers["Content-Disposition"] == 'attachment; filename="Ace of Spades.png"'
    assert response.headers["Content-Type"] == "image/png"


def test_a_proxy_is_sent_for_nothing_that_the_viewer_may_not_see(take_in, album, visitor, settings):
    settings.X_ACCEL = "/_media"
    image = take_in(album=album, rating="adult")
    thumbnail = visitor.get(f"/api/images/{image.pk}/thumbnail")
    assert thumbnail.headers["X-Accel-Redirect"] == f"/_media/{BLURRED.key(image.sha256)}"
    set_album_public(album, is_public=False)
    for address in addresses(image):
        response = visitor.get(address)
        assert response.status_code == 404 and "X-Accel-Redirect" not in response.headers


def test_a_location_of_the_proxy_that_is_none_is_refused(monkeypatch):
    from imagineer.env import Environment

    for value, prefix in {"/_media/": "/_media", "": "", "https://x": "", "media": "", "/a b": ""}.items():
        monkeypatch.setenv("IMAGINEER_X_ACCEL", value)
        env = Environment()
        assert env.address_prefix("IMAGINEER_X_ACCEL") == prefix
        assert bool(env.problems) == (value not in ("", "/_media/"))


def test_a_file_that_names_a_hidden_picture_by_its_hash_leaves_only_re_encoded(
    visitor, admin_api, album, take_in
):
    reference = take_in(1, rating="adult", filename="secret.png")
    drawn = take_in(2, album=album, source_type="batch_generation", filename="drawn.png")
    Image.objects.filter(pk=drawn.pk).update(
        reference_image=reference, generation_params={"seed": 7, "reference_sha256": reference.sha256}
    )
    address = f"/api/images/{drawn.pk}/file"
    assert visitor.get(address).headers["Content-Type"] == "image/webp"
    assert admin_api.get(address).headers["Content-Type"] == "image/png"
    assert reference.sha256 not in visitor.get(f"/api/images/{drawn.pk}").content.decode()
    assert visitor.get(f"/api/images/{drawn.pk}").json()["generation_params"] == {"seed": 7}
    add_images(album, [reference])
    Image.objects.filter(pk=reference.pk).update(rating="safe")
    assert visitor.get(address).headers["Content-Type"] == "image/png"
