import pytest
from django.test import Client, RequestFactory

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
