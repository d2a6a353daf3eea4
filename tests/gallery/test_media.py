import pytest
from django.core.files.storage import default_storage
from django.urls import reverse
from PIL import Image as Pillow

from gallery.models import Image
from gallery.renditions import GRID
from gallery.services import set_album_public
from gallery.tiles import media_url
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
    assert media_url(image, GRID) == reverse("media", args=[image.pk, "grid", image.sha256[:16]])


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
        assert client.get(media_url(restricted, GRID)).headers["Cache-Control"] == ASK
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


@pytest.mark.parametrize("name", ["grid", "small", "original", "../grid", "GRID", "full"])
@pytest.mark.parametrize("sha", ["0" * 16, "true"])
def test_only_the_known_renditions_of_the_known_bytes_have_addresses(take_in, album, visitor, name, sha):
    image = take_in(album=album)
    sha = image.sha256[:16] if sha == "true" else sha
    is_right = sha != "0" * 16 and name in ("grid", "full")
    assert visitor.get(f"/media/{image.pk}/{name}-{sha}.webp").status_code == (200 if is_right else 404)


@pytest.mark.parametrize("pk", [0, 10**6, 2**63, 10**30])
def test_a_number_that_is_no_picture_s_is_simply_not_there(visitor, pk):
    for address in (
        f"/images/{pk}",
        f"/media/{pk}/grid-{'0' * 16}.webp",
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
