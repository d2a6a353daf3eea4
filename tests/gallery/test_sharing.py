"""Shared links: what they open, for how long, and that they open nothing else."""

import io
import re
import zipfile
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from gallery.models import Image, Label, SharedLink
from gallery.renditions import open_rendition
from gallery.services import add_images, create_album, retract_image, trash_image
from gallery.sharing import create_shared_link, revoke_shared_link

pytestmark = pytest.mark.django_db


def body(response):
    return b"".join(response) if response.streaming else response.content


def share(**thing):
    return create_shared_link(**thing)[1]


@pytest.fixture
def private_album(db):
    return create_album(name="Only for friends", is_public=False)


def test_a_link_opens_a_private_album_and_its_pictures_to_whoever_has_its_key(
    take_in, private_album, visitor
):
    images = [take_in(number, album=private_album) for number in (1, 2)]
    key = share(album=private_album)
    page = visitor.get(f"/s/{key}").content.decode()
    assert "Only for friends" in page and "2 pictures" in page
    for image in images:
        assert f"/s/{key}/images/{image.pk}" in page
        for spec in ("grid", "large", "blurred"):
            response = visitor.get(f"/s/{key}/media/{image.pk}/{spec}.webp")
            assert body(response) == open_rendition(image, spec).read()
            assert response.headers["Cache-Control"] == "private, no-cache"
        assert visitor.get(f"/s/{key}/images/{image.pk}").status_code == 200
        assert body(visitor.get(f"/s/{key}/images/{image.pk}/file")) == open_rendition(image, "full").read()
        # without the key they are as private as ever
        assert visitor.get(f"/images/{image.pk}").status_code == 404
    assert visitor.get(f"/albums/{private_album.pk}").status_code == 404


def test_a_link_to_a_picture_opens_that_picture_alone(take_in, private_album, visitor):
    shared, other = take_in(1, album=private_album), take_in(2, album=private_album)
    key = share(image=shared)
    page = visitor.get(f"/s/{key}").content.decode()
    assert f"/s/{key}/media/{shared.pk}/large.webp" in page and "Only for friends" not in page
    assert visitor.get(f"/s/{key}/media/{shared.pk}/grid.webp").status_code == 200
    for path in ("images/{}", "images/{}/file", "media/{}/grid.webp", "media/{}/blurred.webp"):
        for pk in (other.pk, 10**6, 2**63):
            assert visitor.get(f"/s/{key}/{path.format(pk)}").status_code == 404


def test_the_key_of_one_album_opens_no_picture_of_another(take_in, private_album, visitor):
    mine, both = take_in(1, album=private_album), take_in(2, album=private_album)
    other = create_album(name="Other", is_public=False)
    theirs = take_in(3, album=other)
    add_images(other, [both])
    key = share(album=other)
    page = visitor.get(f"/s/{key}").content.decode()
    assert "Only for friends" not in page
    for image, status in ((mine, 404), (both, 200), (theirs, 200)):
        assert visitor.get(f"/s/{key}/media/{image.pk}/large.webp").status_code == status
        assert visitor.get(f"/s/{key}/images/{image.pk}").status_code == status


def test_a_shared_album_is_downloaded_as_a_zip_with_what_the_viewer_may_see(
    take_in, private_album, visitor, adult
):
    safe = take_in(1, album=private_album, filename="sun.png")
    restricted = take_in(2, album=private_album, rating="adult", filename="canary.png")
    trash_image(take_in(3, album=private_album, filename="trashed.png"))
    take_in(4, filename="elsewhere.png")
    key = share(album=private_album)
    for client, name, spec in (
        (visitor, "Blurred picture.webp", "blurred"),
        (adult, "canary.webp", "large"),
    ):
        with zipfile.ZipFile(io.BytesIO(body(client.get(f"/s/{key}/download?size=large")))) as archive:
            read = {entry: archive.read(entry) for entry in archive.namelist()}
        expected = {"sun.webp": (safe, "large"), name: (restricted, spec)}
        assert read == {entry: open_rendition(*made).read() for entry, made in expected.items()}
    assert visitor.get(f"/s/{key}/download?size=huge").status_code == 404
    assert visitor.get(f"/s/{share(image=safe)}/download").status_code == 404


def refused(client, key, image):
    """Everything that the key could open, as it is answered."""
    answers = []
    for path in (
        "",
        "/download",
        f"/images/{image.pk}",
        f"/images/{image.pk}/file",
        f"/media/{image.pk}/grid.webp",
        f"/media/{image.pk}/blurred.webp",
    ):
        response = client.get(f"/s/{key}{path}")
        headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}
        answers.append((response.status_code, headers, response.content.decode().replace(key, "KEY")))
    return answers


def test_unknown_expired_and_revoked_keys_are_answered_alike(take_in, private_album):
    image = take_in(1, album=private_album)
    expired, expired_key = create_shared_link(album=private_album, expires_at=later(days=1))
    SharedLink.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoked, revoked_key = create_shared_link(album=private_album)
    assert Client().get(f"/s/{revoked_key}/media/{image.pk}/grid.webp").status_code == 200
    revoke_shared_link(revoked)
    unknown = refused(Client(), "A" * 43, image)
    assert {status for status, _headers, _text in unknown} == {404}
    assert refused(Client(), expired_key, image) == refused(Client(), revoked_key, image) == unknown


def later(**delta):
    return timezone.now() + timedelta(**delta)


@pytest.mark.parametrize("key", ["", "short", "A" * 42, "A" * 44, "A" * 42 + "=", "../admin", "%00" * 43])
def test_what_cannot_be_a_key_opens_nothing(visitor, key):
    assert visitor.get(f"/s/{key}").status_code == 404


def test_a_link_is_no_proof_of_age(take_in, private_album, adult):
    for number, rating in enumerate(("adult", "explicit", "unrated")):
        image = take_in(
            number,
            album=private_album,
            rating=None if rating == "unrated" else rating,
            prompt="canary words",
            filename="canary.png",
        )
        Label.objects.create(image=image, text="canary label")
        blurred = open_rendition(image, "blurred").read()
        for thing in ({"album": private_album}, {"image": image}):
            key = share(**thing)
            stranger = Client()
            pages = [f"/s/{key}", f"/s/{key}/images/{image.pk}"]
            for address in pages:
                page = stranger.get(address).content.decode()
                assert "canary" not in page and "/grid.webp" not in page and "/large.webp" not in page
            for spec in ("grid", "large", "medium"):
                response = stranger.get(f"/s/{key}/media/{image.pk}/{spec}.webp")
                assert response.status_code == 302 and not body(response)
                assert body(stranger.get(response.url)) == blurred
            assert stranger.get(f"/s/{key}/media/{image.pk}/full.webp").status_code == 404
            assert stranger.get(f"/s/{key}/images/{image.pk}/file").status_code == 404
            assert body(adult.get(f"/s/{key}/media/{image.pk}/grid.webp")) != blurred
            assert "canary words" in adult.get(pages[1]).content.decode()


def test_the_age_is_confirmed_once_and_leads_back_to_what_is_shared(take_in, private_album, visitor):
    key = share(image=take_in(1, album=private_album, rating="adult"))
    page = visitor.get(f"/s/{key}").content.decode()
    question = re.search(r'href="(/age-confirmation\?next=[^"]+)"', page)[1]
    assert f"/s/{key}" in visitor.get(question).content.decode()
    answer = visitor.post("/age-confirmation", {"next": f"/s/{key}"})
    assert answer.url == f"/s/{key}" and "large.webp" in visitor.get(answer.url).content.decode()


def test_what_a_viewer_hides_stays_hidden_in_a_shared_album(take_in, private_album, visitor):
    image = take_in(1, album=private_album, rating="adult")
    visitor.post("/content-filter", {"nsfw": "hide"})
    page = visitor.get(f"/s/{share(album=private_album)}").content.decode()
    assert f"/images/{image.pk}" not in page and "0 pictures" in page


def test_trashed_pictures_are_not_shared_and_retracted_ones_are_gone(take_in, private_album, visitor):
    kept, trashed, retracted = (take_in(number, album=private_album) for number in (1, 2, 3))
    keys = {"album": share(album=private_album)}
    keys |= {image.pk: share(image=image) for image in (trashed, retracted)}
    trash_image(trashed)
    retract_image(retracted)
    page = visitor.get(f"/s/{keys['album']}").content.decode()
    assert "1 picture," in page and f"images/{kept.pk}" in page
    for image, status in ((trashed, 404), (retracted, 410)):
        assert visitor.get(f"/s/{keys[image.pk]}").status_code == status
        for key in (keys["album"], keys[image.pk]):
            for path in (f"images/{image.pk}", f"images/{image.pk}/file", f"media/{image.pk}/blurred.webp"):
                response = visitor.get(f"/s/{key}/{path}")
                assert response.status_code == status and b"RIFF" not in body(response)


def test_no_other_site_and_no_search_engine_learns_the_key(take_in, private_album, visitor):
    image = take_in(1, album=private_album)
    key = share(album=private_album)
    for path in ("", f"/images/{image.pk}", f"/media/{image.pk}/grid.webp", "/images/999"):
        for address in (f"/s/{key}{path}", f"/s/{'A' * 43}{path}"):
            response = visitor.get(address)
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
            assert "public" not in response.headers["Cache-Control"]


def test_a_page_that_is_shared_tells_nothing_of_who_made_it(take_in, private_album, visitor, ada):
    image = take_in(1, album=private_album, created_by=ada, filename="one.png")
    key = create_shared_link(album=private_album, created_by=ada)[1]
    for path in ("", f"/images/{image.pk}"):
        page = visitor.get(f"/s/{key}{path}").content.decode()
        assert "ada@" not in page and "example.org" not in page and image.sha256[:16] not in page


def test_the_key_is_stored_as_a_hash_and_black_in_the_logs(take_in, private_album, visitor, caplog):
    from imagineer.logs import LineFormatter

    link, key = create_shared_link(album=private_album)
    row = SharedLink.objects.filter(pk=link.pk).values().get()
    assert len(key) == 43 and key not in str(row) and row["hash"] == SharedLink.hash_key(key)
    visitor.get(f"/s/{key}/images/1")  # Django logs each 404 with its path
    visitor.get(f"/missing?next=%2Fs%2F{key}")
    lines = [LineFormatter().format(record) for record in caplog.records]
    assert any("/s/***" in line for line in lines) and not [line for line in lines if key in line]


def test_its_last_use_is_told_and_written_once_a_minute(take_in, private_album, visitor):
    key = share(album=private_album)
    visitor.get(f"/s/{key}")
    first = SharedLink.objects.get().last_used_at
    assert first is not None
    visitor.get(f"/s/{key}")
    assert SharedLink.objects.get().last_used_at == first
    SharedLink.objects.update(last_used_at=first - timedelta(minutes=2))
    visitor.get(f"/s/{key}")
    assert SharedLink.objects.get().last_used_at > first - timedelta(minutes=1)


def test_a_shared_album_costs_the_same_at_any_size(
    take_in, private_album, visitor, django_assert_max_num_queries
):
    key = share(album=private_album)
    counts = []
    for start, number in ((0, 2), (2, 8)):
        for n in range(start, start + number):
            take_in(n, album=private_album)
        visitor.get(f"/s/{key}")
        with django_assert_max_num_queries(10) as captured:
            visitor.get(f"/s/{key}")
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_link_names_exactly_one_thing_that_is_there(take_in, private_album):
    image = take_in(1, album=private_album)
    for wrong in ({}, {"image": image, "album": private_album}):
        with pytest.raises(ValidationError):
            create_shared_link(**wrong)
        with pytest.raises(IntegrityError), transaction.atomic():
            SharedLink.objects.create(hash="x", **wrong)
    with pytest.raises(ValidationError):
        create_shared_link(image=image, expires_at=timezone.now())
    trash_image(image)
    with pytest.raises(ValidationError):
        create_shared_link(image=Image.objects.get(pk=image.pk))


# ---- API


def test_an_admin_s_program_makes_lists_and_revokes_links(admin_api, take_in, private_album, visitor):
    image = take_in(1, album=private_album)
    made = admin_api.post("/api/shared-links", {"image_id": image.pk})
    assert made.status_code == 201
    row = made.json()
    assert row["url"] == f"http://testserver/s/{row['key']}" and row["image_id"] == image.pk
    assert row["album_id"] is None and row["is_live"] and row["last_used_at"] is None
    assert visitor.get(f"/s/{row['key']}").status_code == 200
    listed = admin_api.get("/api/shared-links").json()
    assert listed["total"] == 1 and listed["shared_links"][0]["last_used_at"]
    assert row["key"] not in str(listed) and "hash" not in listed["shared_links"][0]
    for _ in range(2):
        assert admin_api.delete(f"/api/shared-links/{row['id']}").json() == {"success": True}
    assert visitor.get(f"/s/{row['key']}").status_code == 404
    assert not admin_api.get("/api/shared-links").json()["shared_links"][0]["is_live"]


def test_links_can_be_listed_by_what_they_open(admin_api, take_in, private_album):
    image = take_in(1, album=private_album)
    share(image=image), share(album=private_album)
    rows = admin_api.get(f"/api/shared-links?image={image.pk}").json()["shared_links"]
    assert [row["image_id"] for row in rows] == [image.pk]
    assert admin_api.get(f"/api/shared-links?album={private_album.pk}").json()["total"] == 1


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"image_id": 1, "album_id": 1},
        {"image_id": 999},
        {"album_id": 2**70},
        {"image_id": "one"},
        {"album_id": 1, "expires_at": "2020-01-01T00:00:00Z"},
        {"album_id": 1, "expires_at": "soon"},
        [],
    ],
)
def test_a_wrong_order_for_a_link_is_refused_with_a_sentence(admin_api, private_album, order):
    answer = admin_api.post("/api/shared-links", order)
    assert answer.status_code == 400 and answer.json()["error"]
    assert not SharedLink.objects.exists()


def test_the_public_address_of_the_site_stands_in_new_links(admin_api, private_album, settings):
    settings.SITE_URL = "https://gallery.example.org"
    row = admin_api.post("/api/shared-links", {"album_id": private_album.pk}).json()
    assert row["url"] == f"https://gallery.example.org/s/{row['key']}"


def test_only_admins_know_of_links(api, stranger, private_album):
    link, _key = create_shared_link(album=private_album)
    for who, status in ((None, 401), (stranger, 403)):
        api.force_authenticate(who)
        assert api.get("/api/shared-links").status_code == status
        assert api.post("/api/shared-links", {"album_id": private_album.pk}).status_code == status
        for pk in (link.pk, 999):
            assert api.delete(f"/api/shared-links/{pk}").status_code == status
    assert SharedLink.objects.live().count() == 1


# ---- The curation desk


@pytest.mark.parametrize("kind", ["image", "album"])
def test_a_curator_shares_from_the_page_of_a_picture_or_an_album(
    curator, take_in, private_album, visitor, kind
):
    thing = {"image": take_in(1, album=private_album), "album": private_album}[kind]
    desk = f"/admin/gallery/{kind}/{thing.pk}"
    assert "../share/" in curator.get(f"{desk}/change/").content.decode()
    assert curator.get(f"{desk}/share/").status_code == 200
    answer = curator.post(f"{desk}/share/", {"days": "7"})
    url = re.search(r'value="(http://testserver/s/[\w-]{43})"', answer.content.decode())[1]
    assert "no-store" in answer.headers["Cache-Control"]
    assert visitor.get(url).status_code == 200
    link = SharedLink.objects.get()
    assert timedelta(days=6) < link.expires_at - timezone.now() < timedelta(days=8)
    assert link.created_by.email == "ada@example.org"
    page = curator.get(f"{desk}/share/").content.decode()
    assert url not in page and link.hint in page
    assert curator.post(f"{desk}/share/", {"revoke": link.pk}).status_code == 302
    assert visitor.get(url).status_code == 404
    assert "Revoked" in curator.get(f"{desk}/share/").content.decode()


def test_a_curator_sees_and_revokes_all_links_in_one_list(curator, private_album, take_in, visitor):
    keys = [share(album=private_album), share(image=take_in(1, album=private_album))]
    page = curator.get("/admin/gallery/sharedlink/").content.decode()
    assert "Only for friends" in page and "Live" in page and "Add shared link" not in page
    ids = list(SharedLink.objects.values_list("pk", flat=True))
    curator.post("/admin/gallery/sharedlink/", {"action": "revoke", "_selected_action": ids})
    assert {visitor.get(f"/s/{key}").status_code for key in keys} == {404}


def test_the_desk_shares_only_for_those_with_the_right_and_revokes_only_its_own(
    curator, private_album, take_in, stranger, visitor
):
    other = create_shared_link(image=take_in(1))[0]
    desk = f"/admin/gallery/album/{private_album.pk}/share/"
    for number in (other.pk, 999, "x", "9" * 30):
        assert curator.post(desk, {"revoke": number}).status_code == 404
    assert SharedLink.objects.get().is_live
    visitor.force_login(stranger)
    assert visitor.post(desk, {"days": ""}).status_code in (302, 403)
    assert SharedLink.objects.count() == 1
    assert curator.get("/admin/gallery/album/999/share/").status_code == 404
