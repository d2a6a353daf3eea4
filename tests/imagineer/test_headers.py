"""What stands in the head of every answer, whoever asks for whatever."""

import json
import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from gallery.addresses import media_url
from gallery.ingest import ingest_image
from gallery.models import Image
from gallery.renditions import GRID
from gallery.services import add_images, create_album
from imagineer.accounts.models import User
from tests.crawl import crawl
from tests.factories import start_run
from tests.gallery.pictures import png
from tests.imagineer.test_checks import check
from tests.test_policy import addresses

pytestmark = pytest.mark.django_db


def faults_of(response) -> list[str]:
    """What an answer's head lacks."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    policy = {
        words[0]: words[1:]
        for words in (part.split() for part in headers.get("content-security-policy", "").split(";"))
        if words
    }
    sources = {source for name, words in policy.items() if name != "sandbox" for source in words}
    faults = []
    if policy.get("default-src") != ["'none'"]:
        faults.append("default-src is not 'none'")
    if not sources <= {"'none'", "'self'", "data:", "https://accounts.google.com"}:
        faults.append(f"the policy opens {sources}")
    if "data:" in policy.get("script-src", []) + policy.get("style-src", []):
        faults.append("scripts or styles may be data")
    if "sandbox" not in policy:
        for name in ("frame-ancestors", "base-uri"):
            if policy.get(name) != ["'none'"]:
                faults.append(f"{name} is not 'none'")
        if not policy.get("form-action"):
            faults.append("form-action is missing")
    for name, values in {
        "x-content-type-options": {"nosniff"},
        "x-frame-options": {"DENY"},
        "referrer-policy": {"same-origin", "no-referrer"},
        "cross-origin-opener-policy": {"same-origin"},
    }.items():
        if headers.get(name) not in values:
            faults.append(f"{name} is {headers.get(name)}")
    if "camera=()" not in headers.get("permissions-policy", ""):
        faults.append("permissions-policy is missing")
    if "cache-control" not in headers:
        faults.append("it does not say who may keep it")
    if "access-control-allow-origin" in headers:
        faults.append("it is open to other origins")
    return faults


def assert_headed(address, response):
    assert not faults_of(response), f"{address} ({response.status_code}): {faults_of(response)}"


@pytest.fixture
def root(db):
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.org", "a superuser's passphrase"))
    return client


@pytest.fixture
def library(db):
    """Something behind every kind of link."""
    album = create_album(name="Zodiac")
    images = [
        ingest_image(png(number), source_type="manual", rating=rating).image
        for number, rating in enumerate(("safe", "safe", "adult"))
    ]
    add_images(album, images)
    return start_run(album_name="Skies", is_public=True)


def test_every_address_and_method_is_answered_with_them(root):
    for client in (Client(), root):
        for _name, address, methods in addresses():
            if address == "/auth/logout":
                continue
            for method in sorted(methods | {"GET", "OPTIONS", "PUT"}):
                assert_headed(f"{method} {address}", client.generic(method, address))


def admin_addresses(resolver):
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from admin_addresses(entry)
        elif isinstance(entry, URLPattern) and entry.name:
            groups = entry.pattern.regex.groupindex
            arguments = {group: "gallery" if group == "app_label" else "1" for group in groups}
            if entry.pattern.regex.groups > len(groups):
                yield reverse(f"admin:{entry.name}", args=["1"] * entry.pattern.regex.groups)
            else:
                yield reverse(f"admin:{entry.name}", kwargs=arguments)


def test_every_address_of_the_admin_is_answered_with_them(root, library):
    [admin] = [entry for entry in get_resolver().url_patterns if getattr(entry, "namespace", "") == "admin"]
    found = list(admin_addresses(admin))
    assert len(found) > 40
    for client in (Client(), root):
        for address in found:
            if "logout" not in address:
                assert_headed(address, client.get(address))


def test_every_page_that_links_lead_to_is_answered_with_them(root, library):
    for client, least in ((Client(), 8), (root, 40)):
        pages = 0
        for start in ("/", "/api/docs", "/admin/"):
            for address, response in crawl(client, start):
                assert_headed(address, response)
                assert response.status_code < 500, address
                pages += response.status_code == 200
        assert pages >= least


def test_no_page_of_ours_holds_what_the_policy_forbids(root, library):
    """The browser would refuse it without a word to whoever wrote the page."""
    for start in ("/", "/api/docs", "/admin/"):
        for address, response in crawl(root, start):
            if not response.headers["Content-Type"].startswith("text/html"):
                continue
            page = response.content.decode()
            inline = re.findall(r"<style|\sstyle=\"|\son\w+=\"|href=\"javascript:", page)
            scripts = [
                tag for tag in re.findall(r"<script[^>]*>", page) if "src=" not in tag and "json" not in tag
            ]
            assert not inline and not scripts, (address, inline, scripts)


@pytest.mark.parametrize("cookie", ["abc", '"\\000abcdefghij"', "../../../../etc/passwd", "x" * 4000])
def test_a_session_that_cannot_be_is_none_and_ends_none_in_a_shared_cache(library, cookie):
    image = Image.objects.filter(rating="safe").first()
    for address in ("/albums", "/api/images", media_url(image, GRID)):
        response = Client(headers={"cookie": f"sessionid={cookie}"}).get(address)
        assert response.status_code == 200
        is_kept = response.headers["Cache-Control"].startswith("public")
        assert is_kept == address.startswith("/media/")
        assert not (is_kept and response.cookies)


def test_refusals_are_answered_with_them(settings, monkeypatch, library):
    strict = Client(enforce_csrf_checks=True)
    refused = {
        403: strict.post("/auth/login"),
        400: Client().get("/", headers={"Host": "evil.example.org"}),
        404: Client().get("/nothing/here"),
        405: Client().put("/albums"),
        429: [Client().post("/auth/login") for _ in range(31)][-1],
    }
    from gallery.querysets import ImageQuerySet

    def broken(*args, **kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ImageQuerySet, "visible_to", broken)
    refused[500] = Client(raise_request_exception=False).get("/")
    for status, response in refused.items():
        assert response.status_code == status
        assert_headed(status, response)


def test_static_files_are_answered_with_them(settings):
    settings.WHITENOISE_AUTOREFRESH = settings.WHITENOISE_USE_FINDERS = True
    response = Client().get("/static/imagineer/icon.svg")
    assert response.status_code == 200
    assert_headed("a picture that could hold a script", response)


def test_https_is_forced_by_setting_and_remembered(settings):
    assert "Strict-Transport-Security" not in Client().get("/auth/login").headers
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    plain = Client().get("/albums?page=2")
    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/albums?page=2")
    assert_headed("the redirect", plain)
    for address in ("/auth/login", "/api/docs", "/admin/", "/nothing"):
        kept = Client().get(address, secure=True).headers["Strict-Transport-Security"]
        assert kept == "max-age=31536000", address


def test_the_switch_sets_redirect_hsts_and_cookies(tmp_path):
    assert settings_with(tmp_path, IMAGINEER_FORCE_HTTPS="1") == [True, 31_536_000, True, True, "self", None]
    assert settings_with(tmp_path) == [False, 0, False, False, "self", None]


def test_the_scheme_is_forwarded_by_our_own_proxies_only(tmp_path):
    for proxies, header in (("0", None), ("1", ["HTTP_X_FORWARDED_PROTO", "https"])):
        assert settings_with(tmp_path, IMAGINEER_TRUSTED_PROXIES=proxies)[-1] == header


def test_forms_may_go_to_google_where_its_sign_in_is_set(tmp_path):
    found = settings_with(
        tmp_path, GOOGLE_CLIENT_ID="x", GOOGLE_CLIENT_SECRET="y", IMAGINEER_SITE_URL="https://example.org"
    )
    assert found == [False, 0, True, True, "self https://accounts.google.com", None]


def settings_with(tmp_path, **variables):
    program = (
        "import json; from imagineer import settings as s; print(json.dumps([s.SECURE_SSL_REDIRECT,"
        " s.SECURE_HSTS_SECONDS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE,"
        " ' '.join(s.CONTENT_SECURITY_POLICY['DIRECTIVES']['form-action']).replace(chr(39), ''),"
        " getattr(s, 'SECURE_PROXY_SSL_HEADER', None)]))"
    )
    return json.loads(check(program=program, IMAGINEER_DATA_DIR=str(tmp_path), **variables).stdout)


# ---- Other origins

FOREIGN = [
    "null",
    "https://evil.example.org",
    "http://app.example.org",  # the scheme
    "https://app.example.org:8443",
    "https://app.example.org.evil.org",
    "https://evilapp.example.org",
    "https://sub.app.example.org",
    "https://example.org",
    "https://APP.example.org",
    "https://app.example.org@evil.org",
    "https://app.example.orgx",
    "https://app-example.org",
    "file://",
    "https://testserver.evil.org",
    "*",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN, ids=repr)
def test_no_other_origin_reads_the_api(client, settings, origin):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    for method in ("get", "options"):
        answer = getattr(client, method)(
            "/api/images", headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"}
        )
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_listed_origin_reads_the_api_with_its_cookies_and_nothing_else(client, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    for answer in (
        client.get("/api/images", headers=headers),
        client.options("/api/images", headers=headers),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"].title()
    for address in (
        "/",
        "/albums",
        "/auth/login",
        "/admin/",
        "/apix",
        "/static/imagineer/icon.svg",
        "/media/1/grid/x",
    ):
        assert "Access-Control-Allow-Origin" not in client.get(address, headers=headers).headers, address


def test_by_default_nobody_elses_page_reads_the_api(client):
    answer = client.get("/api/images", headers={"Origin": "https://app.example.org"})
    assert "Access-Control-Allow-Origin" not in answer.headers
