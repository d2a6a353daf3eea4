import errno

import pytest
from django.db import InternalError, OperationalError, connection
from django.test import Client, RequestFactory
from psycopg.errors import InFailedSqlTransaction, ReadOnlySqlTransaction
from redis.exceptions import ConnectionError as RedisAway

from imagineer import errors

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("/albums/", "/albums"),
        ("/albums/?source_type=scrape&q=a%20b", "/albums?source_type=scrape&q=a%20b"),
        ("/albums/7/", "/albums/7"),
        ("/images/7/", "/images/7"),
        ("/loras/", "/loras"),
        ("/api/images/", "/api/images"),
        ("/api/albums/7/download/", "/api/albums/7/download"),
    ],
)
def test_an_old_link_that_ends_in_a_slash_leads_to_its_page(old, now):
    response = Client().get(old)
    assert (response.status_code, response.headers["Location"]) == (301, now)


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "/nothing/",
        "//albums/",
        "/api/nothing/",
        "/albums/x/",
        "/\\evil.example/",
        "///",
        "/",
    ],
)
def test_what_leads_nowhere_with_or_without_a_slash_is_not_there(path):
    request = RequestFactory().get("/")
    request.path = request.path_info = path
    response = errors.not_found(request)
    assert response.status_code == 404 and "Location" not in response.headers


def test_a_page_of_the_admin_that_is_not_there_stays_where_it_is(ada):
    client = Client()
    client.force_login(ada)
    assert client.get("/admin/gallery/album/999/share/").status_code == 404


def test_a_slash_is_never_added_and_nothing_is_written_to_another_address():
    assert Client().get("/nothing").status_code == 404
    assert Client().post("/albums/").status_code == 404


@pytest.mark.parametrize("status", sorted(errors.SENTENCES))
def test_each_error_is_a_page_for_people_and_json_for_programs(status):
    title, _sentence = errors.SENTENCES[status]
    page = errors.answer(RequestFactory().get("/albums"), status)
    assert page.status_code == status
    for word in (str(status), title, "To the gallery"):
        assert word in page.content.decode()
    answer = errors.answer(RequestFactory().get("/api/albums"), status)
    assert answer.status_code == status and b'{"error": ' in answer.content


def test_who_asks_too_often_is_told_when_to_come_back():
    assert int(errors.too_many_requests(RequestFactory().get("/"))["Retry-After"]) > 0


def test_who_may_not_open_a_page_is_offered_the_sign_in(stranger):
    request = RequestFactory().get("/admin/")
    assert "/auth/login?next=%2Fadmin%2F" in errors.answer(request, 403).content.decode()
    request.user = stranger
    assert "/auth/login" not in errors.answer(request, 403).content.decode()


def test_a_form_without_its_token_is_explained():
    response = Client(enforce_csrf_checks=True).post("/content-filter", {"nsfw": "hide"})
    assert response.status_code == 403 and "Load the page again" in response.content.decode()


# ---- What is away comes back, and is no mistake


@pytest.fixture
def browser():
    """As a real one: an error is a page."""
    return Client(raise_request_exception=False)


def fail_with(error):
    def fail(execute, *arguments):
        raise error

    return connection.execute_wrapper(fail)


@pytest.mark.parametrize("path", ["/", "/albums", "/albums/1", "/queue", "/runs", "/auth/login", "/admin/"])
def test_a_page_says_that_the_database_is_away_and_comes_back(browser, ada, path):
    browser.force_login(ada)  # so that session and user are asked for too
    with fail_with(OperationalError("connection to db.internal refused")):
        response = browser.get(path)
    page = response.content.decode()
    assert response.status_code == 503 and int(response["Retry-After"]) > 0
    assert "The database is busy or away. Try again in a moment." in page
    assert "db.internal" not in page
    assert not response.cookies, "nobody is signed out by it"


def test_an_api_says_that_the_database_is_away_and_comes_back(browser):
    with fail_with(OperationalError("connection to db.internal refused")):
        response = browser.get("/api/images")
    assert response.status_code == 503 and int(response["Retry-After"]) > 0
    assert response.json() == {"error": "The database is busy or away. Try again in a moment."}


def test_an_outage_is_told_in_debug_mode_too(browser, settings):
    settings.DEBUG = True
    with fail_with(OSError(errno.ENOSPC, "No space left on device")):
        response = browser.get("/albums")
    assert response.status_code == 507 and "make room" in response.content.decode()


def test_a_postgresql_that_takes_no_writing_for_a_while_is_away(browser):
    for cause, status in ((ReadOnlySqlTransaction(), 503), (InFailedSqlTransaction(), 500)):
        error = InternalError("cannot execute UPDATE")
        error.__cause__ = cause
        with fail_with(error):
            assert browser.get("/albums").status_code == status


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (RedisAway("refused"), 503, "broker"),
        (OSError(errno.ENOSPC, "No space left on device"), 507, "make room"),
        (OSError(errno.EIO, "the bucket does not answer"), 503, "pictures"),
        (PermissionError(errno.EACCES, "Permission denied"), 503, "pictures"),
        (ValueError("ours"), 500, "logged"),
    ],
    ids=["broker", "disk", "storage", "folder", "mistake"],
)
def test_each_outage_has_its_own_answer_and_a_mistake_stays_one(browser, error, status, word):
    for path in ("/albums", "/api/albums"):
        with fail_with(error):
            response = browser.get(path)
        assert response.status_code == status, path
        assert word in response.content.decode()
