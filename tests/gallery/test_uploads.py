"""Pictures that an admin sends: each file is taken or refused by itself, and a full disk is told as what it is."""

import sqlite3
from contextlib import closing, contextmanager

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.client import FakePayload, encode_multipart
from PIL import Image as Pillow
from rest_framework.test import APIClient

from gallery.ingest import MAX_BYTES
from gallery.models import Image, Upload
from gallery.services import delete_album, retract_image, trash_image
from tests.gallery.pictures import encode, png

pytestmark = pytest.mark.django_db


def a_file(number=1, *, name=None, data=None):
    return SimpleUploadedFile(name or f"photo-{number}.png", png(number) if data is None else data)


def send(api, *files, **fields):
    return api.post("/api/images/upload", {"files": list(files)} | fields, format="multipart")


def stored_files(tmp_path):
    return [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


def test_pictures_come_into_the_album_in_their_order(admin_api, ada, album):
    response = send(admin_api, a_file(1), a_file(2), album_id=album.pk)
    answer = response.json()
    assert response.status_code == 201, answer
    assert (answer["success"], answer["uploaded"], answer["errors"]) == (True, 2, [])
    assert [image["filename"] for image in answer["images"]] == ["photo-1.png", "photo-2.png"]
    in_album = list(Image.objects.in_album_order(album))
    assert [image.pk for image in in_album] == [image["id"] for image in answer["images"]]
    upload = Upload.objects.get()
    assert upload.created_by == ada
    for image in in_album:
        assert (image.source_type, image.source_id, image.created_by) == ("manual", upload.pk, ada)
        assert image.is_public, "the album is"


def test_without_an_album_they_stay_private(admin_api):
    assert send(admin_api, a_file()).status_code == 201
    assert not Image.objects.get().is_public


def test_each_bad_file_is_named_and_the_good_ones_stay(admin_api, album):
    bad = {
        "letter.png": b"Dear reader",
        "empty.png": b"",
        "cut.png": png(3)[:-40],
        "large.png": png(4) + b"\0" * MAX_BYTES,
    }
    response = send(
        admin_api,
        a_file(1),
        *(a_file(name=name, data=data) for name, data in bad.items()),
        a_file(2),
        album_id=album.pk,
    )
    answer = response.json()
    assert (response.status_code, answer["uploaded"]) == (201, 2)
    reasons = {error["filename"]: error["error"] for error in answer["errors"]}
    assert list(reasons) == list(bad)
    for name, word in zip(bad, ("not a PNG", "empty", "damaged", "20 MiB"), strict=True):
        assert word in reasons[name]
    assert album.images.count() == 2


def test_when_none_is_good_nothing_is_made_and_each_is_named(admin_api, album, tmp_path):
    response = send(admin_api, a_file(name="a.png", data=b"a"), a_file(name="b.png", data=b"b"))
    answer = response.json()
    assert response.status_code == 400
    assert [line.partition(":")[0] for line in answer["fields"]["files"]] == ["a.png", "b.png"]
    assert answer["error"].startswith("files: a.png: ")
    assert not Image.objects.exists() and not Upload.objects.exists() and not stored_files(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused(admin_api):
    response = send(admin_api, a_file(name="bomb.png", data=encode(Pillow.new("1", (8000, 8000)))))
    assert response.status_code == 400 and "50 megapixels" in response.json()["error"]


def test_the_same_picture_twice_is_one_and_comes_back_from_the_trash(admin_api, album):
    first = send(admin_api, a_file(1)).json()["images"][0]["id"]
    trash_image(Image.objects.get())
    answer = send(admin_api, a_file(1), a_file(1, name="again.png"), album_id=album.pk).json()
    assert (answer["uploaded"], [image["id"] for image in answer["images"]]) == (1, [first])
    assert Image.objects.present().count() == Upload.objects.count() == 1, "none for what was here already"
    assert album.images.count() == 1


def test_what_was_retracted_is_not_taken_in_again(admin_api):
    send(admin_api, a_file(1))
    retract_image(Image.objects.get())
    response = send(admin_api, a_file(1))
    assert response.status_code == 400 and "retracted" in response.json()["error"]


@pytest.mark.parametrize("album", ["987654", "seven", "-1", str(2**70)])
def test_an_album_that_is_not_there_is_named_and_nothing_is_stored(admin_api, album, tmp_path):
    response = send(admin_api, a_file(), album_id=album)
    assert response.status_code == 400 and set(response.json()["fields"]) == {"album_id"}
    assert not stored_files(tmp_path) and not Upload.objects.exists()


def test_only_an_admin_may_send_pictures(api, stranger, tmp_path):
    assert send(api, a_file()).status_code == 401
    signed_in = APIClient()
    signed_in.force_authenticate(stranger)
    assert send(signed_in, a_file()).status_code == 403
    assert not stored_files(tmp_path)


@contextmanager
def deleted_meanwhile(album):
    """Somebody deletes the album while the first picture of an upload comes in."""
    albums = [album]

    def delete(execute, sql, *arguments):
        if sql.startswith('INSERT INTO "gallery_image"') and albums:
            delete_album(albums.pop())
        return execute(sql, *arguments)

    with connection.execute_wrapper(delete):
        yield
    assert not albums


def test_an_album_that_is_deleted_meanwhile_is_told_and_the_pictures_stay(admin_api, album):
    with deleted_meanwhile(album):
        response = send(admin_api, a_file(1), a_file(2), album_id=album.pk)
    assert response.status_code == 409
    assert response.json() == {"error": "The album was deleted meanwhile; the pictures are in the library."}
    assert Image.objects.count() == 2


def with_a_session(ada):
    """A page's script: signed in by a cookie, the form's token in a header."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    secret = "0" * 32
    client.cookies["csrftoken"] = secret
    client.defaults["HTTP_X_CSRFTOKEN"] = secret
    return client


def send_form(client, *files, **headers):
    data, boundary = {"files": list(files)}, "a-boundary"
    return client.generic(
        "POST",
        "/api/images/upload",
        encode_multipart(boundary, data),
        content_type=f"multipart/form-data; boundary={boundary}",
        **headers,
    )


@pytest.fixture(params=["token", "session"])
def sender(request, ada, admin_api):
    return admin_api if request.param == "token" else with_a_session(ada)


def test_a_page_s_script_may_send_pictures_too(ada):
    client = with_a_session(ada)
    assert send_form(client, a_file()).status_code == 201
    del client.defaults["HTTP_X_CSRFTOKEN"]
    assert send_form(client, a_file(2)).status_code == 403, "no form of ours"


def test_no_file_no_form_and_too_many_files_are_told(admin_api, sender):
    assert set(send(admin_api).json()["fields"]) == {"files"}
    assert admin_api.post("/api/images/upload", {"files": ["a.png"]}, format="json").status_code == 400
    response = send_form(sender, *(a_file(name=f"{number}.png", data=b"x") for number in range(101)))
    assert response.status_code == 400 and "more than 100 files" in response.json()["error"]


def test_a_request_of_more_than_200_mib_is_refused_unread(sender):
    class Unread(FakePayload):
        def read(self, *arguments):
            raise AssertionError("it was read")

    response = send_form(
        sender, a_file(), CONTENT_LENGTH=str(201 * 2**20), **{"wsgi.input": Unread(b"a picture")}
    )
    assert response.status_code == 400 and "200 MiB" in response.json()["error"]


@pytest.mark.parametrize("length", ["abc", "", "²"])
def test_a_length_that_is_none_is_an_empty_request(sender, length):
    response = send_form(sender, a_file(), CONTENT_LENGTH=length)
    assert response.status_code == 400 and set(response.json()["fields"]) == {"files"}


# ---- A full disk


def assert_told_of_the_disk(response):
    assert response.status_code == 507
    assert set(response.json()) == {"error"}
    assert "disk is full" in response.json()["error"] and "make room" in response.json()["error"]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(admin_api, album, full_disk, tmp_path):
    assert_told_of_the_disk(send(admin_api, a_file(1), a_file(2), album_id=album.pk))
    assert not Image.objects.exists() and not album.images.exists()
    assert stored_files(tmp_path) == [full_disk]
    full_disk.unlink()
    assert send(admin_api, a_file(1), album_id=album.pk).status_code == 201


def assert_told_of_the_folder(response):
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert response.json() == {
        "error": "The place where the pictures lie does not answer. Try again in a moment."
    }


def test_a_disk_that_is_away_is_told_and_nothing_is_left_in_its_place(admin_api, unmounted):
    assert send(admin_api, a_file(1)).status_code == 201
    with unmounted():
        assert_told_of_the_folder(send(admin_api, a_file(2)))
        assert_told_of_the_folder(send(admin_api, a_file(1)))
    assert Image.objects.count() == 1
    assert send(admin_api, a_file(2)).status_code == 201


def test_a_folder_of_somebody_else_is_told(admin_api, locked):
    assert send(admin_api, a_file(1)).status_code == 201
    with locked():
        assert_told_of_the_folder(send(admin_api, a_file(2)))
    assert send(admin_api, a_file(2)).status_code == 201


def test_what_came_in_before_the_disk_was_full_is_whole_and_in_the_album(admin_api, album, disk_that_holds):
    small, large = a_file(1), a_file(2, data=png(2, size=(1500, 1500)))
    with disk_that_holds(len(large) // 2):
        response = send(admin_api, small, large, album_id=album.pk)
    assert_told_of_the_disk(response)
    assert [image.filename for image in album.images.all()] == ["photo-1.png"]


def test_a_full_disk_is_told_though_the_album_was_deleted_meanwhile(admin_api, album, disk_that_holds):
    small, large = a_file(1), a_file(2, data=png(2, size=(1500, 1500)))
    with disk_that_holds(len(large) // 2), deleted_meanwhile(album):
        response = send(admin_api, small, large, album_id=album.pk)
    assert_told_of_the_disk(response)
    assert Image.objects.count() == 1


def disk_full() -> OperationalError:
    """As SQLite says it, and Django hands it on."""
    error = OperationalError("database or disk is full")
    try:
        with closing(sqlite3.connect(":memory:")) as small:
            small.executescript("PRAGMA max_page_count = 1; CREATE TABLE pictures (name)")
    except sqlite3.OperationalError as cause:
        error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("database is locked"), 503),
        (disk_full(), 507),
    ],
    ids=["locked", "full"],
)
def test_a_database_that_takes_nothing_is_told(admin_api, album, error, status):
    def refuse(execute, sql, *arguments):
        if sql.startswith("INSERT"):
            raise error
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        response = send(admin_api, a_file(1), album_id=album.pk)
    assert response.status_code == status and set(response.json()) == {"error"}
