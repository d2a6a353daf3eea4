"""What Chromium says of our content policy: no page of the site, its admin and its docs breaks it."""

import re
import threading

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.test import Client
from playwright.sync_api import expect

from gallery.ingest import ingest_image
from gallery.services import add_images, create_album
from imagineer.accounts.models import User
from tests.crawl import crawl
from tests.factories import start_run
from tests.gallery.pictures import png

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TELL = "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"


class Browser:
    """A context of Chromium and what it complained of."""

    def __init__(self, chromium, base, **options):
        self.complaints = []
        self.context = chromium.new_context(base_url=base, **options)
        self.context.add_init_script(TELL)
        self.page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))

    def _hear(self, said):
        if said.type == "error" and re.search(r"CSP |Content[- ]Security[- ]Policy|Refused to", said.text):
            self.complaints.append(f"{self.page.url}: {said.text}")


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def base(settings, transactional_db):
    """The whole site in a thread of this process, so that a test can change its settings and fill its library."""
    settings.WHITENOISE_AUTOREFRESH = settings.WHITENOISE_USE_FINDERS = True
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(WSGIHandler())
    serving = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.fixture
def browse(chromium, base):
    opened = []

    def open_browser(*, client=None, **options):
        browser = Browser(chromium, base, **options)
        opened.append(browser)
        if client:
            value = client.cookies["sessionid"].value
            browser.context.add_cookies([{"name": "sessionid", "value": value, "url": base}])
        return browser

    yield open_browser
    for browser in opened:
        browser.context.close()


@pytest.fixture
def root(transactional_db):
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.org", "a superuser's passphrase"))
    return client


@pytest.fixture
def library(transactional_db):
    album = create_album(name="Zodiac")
    images = [
        ingest_image(png(number), source_type="manual", rating=rating).image
        for number, rating in enumerate(("safe", "safe", "adult", None))
    ]
    add_images(album, images)
    start_run(album_name="Skies", is_public=True)
    return album


def pages(client):
    """Addresses of every kind of page that this client reaches."""
    found = {}
    for start in (
        "/",
        "/albums",
        "/auth/login",
        "/age-confirmation",
        "/api/docs",
        "/nothing/here",
        "/admin/",
    ):
        for address, response in crawl(client, start):
            if response.headers["Content-Type"].startswith("text/html") and response.status_code < 300:
                found.setdefault(address)
    return [*found, "/nothing/here"]


def test_the_browser_does_complain_when_a_page_breaks_it(browse, library):
    browser = browse()
    browser.page.goto("/")
    assert not browser.complaints
    browser.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    browser.page.wait_for_timeout(200)
    assert browser.complaints


@pytest.mark.parametrize("who", ["visitor", "superuser"])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_no_page_breaks_the_content_policy(browse, library, root, who, look):
    client = root if who == "superuser" else None
    browser = browse(client=client, color_scheme=look)
    found = pages(client or Client())
    assert len(found) > (40 if client else 6), found
    for address in found if look == "light" else found[:8]:
        browser.page.goto(address, wait_until="load")
        if "/docs" in address:
            expect(browser.page.locator(".opblock").first).to_be_visible(timeout=30_000)
    assert not browser.complaints, "\n".join(browser.complaints)


def test_what_scripts_do_to_pages_does_not_break_it_either(browse, library, root):
    """The lightbox, the docs' forms, the admin's calendars and pickers: they style what they make."""
    browser = browse(client=root)
    page = browser.page
    page.goto(f"/albums/{library.pk}")
    page.locator("main .tiles a, main ul a:has(img)").first.click()
    expect(page.locator(".pswp--open")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.goto("/api/docs")
    page.locator(".opblock-summary-control").first.click()
    page.get_by_role("button", name="Try it out").first.click()
    page.get_by_role("button", name="Execute").first.click()
    expect(page.locator(".live-responses-table").first).to_be_visible(timeout=30_000)
    page.goto("/admin/auth/group/add/")
    page.locator("#id_permissions_from option").first.dblclick()
    page.goto("/admin/gallery/image/")
    page.locator("#action-toggle").click()
    page.wait_for_timeout(300)
    assert not browser.complaints, "\n".join(browser.complaints)


def test_the_docs_follow_dark_mode(browse, library):
    for look, is_dark in (("light", False), ("dark", True)):
        page = browse(color_scheme=look).page
        page.goto("/api/docs")
        expect(page.locator(".opblock").first).to_be_visible(timeout=30_000)
        red, green, blue = map(
            int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
        )
        assert (red + green + blue < 200) is is_dark
        page.emulate_media(color_scheme="light" if is_dark else "dark")
        expect(page.locator("html.dark-mode")).to_have_count(0 if is_dark else 1)


def let_forms_go(settings, *hosts):
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"] | {"form-action": ["'self'", *hosts]}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives}


def test_signing_in_with_google_in_a_browser(browse, library, google, settings):
    let_forms_go(settings, google.base)
    browser = browse()
    browser.page.goto("/auth/login?next=/albums")
    browser.page.get_by_role("button", name="Sign in with Google").click()
    browser.page.wait_for_url("**/albums")
    expect(browser.page.locator(".account")).to_contain_text("Ada")
    browser.page.goto("/admin/")
    expect(browser.page.locator("#dashboard")).to_be_visible()
    assert not browser.complaints


def test_whoever_is_not_listed_is_turned_away_politely(browse, library, google, settings):
    let_forms_go(settings, google.base)
    google.person = {"sub": "7", "email": "mallory@example.org"}
    browser = browse()
    browser.page.goto("/auth/login")
    browser.page.get_by_role("button", name="Sign in with Google").click()
    expect(browser.page.get_by_role("heading", name="This account has no access")).to_be_visible()
    browser.page.get_by_role("link", name="To the gallery").click()
    expect(browser.page.locator(".account")).to_contain_text("Sign in")
    assert not browser.complaints


def test_a_policy_that_does_not_name_the_sign_in_host_keeps_the_form_from_it(
    browse,
    library,
    google,
    settings,
):
    let_forms_go(settings)
    browser = browse()
    browser.page.goto("/auth/login")
    browser.page.get_by_role("button", name="Sign in with Google").click()
    browser.page.wait_for_timeout(1000)
    assert "form-action" in browser.complaints[0] and not google.asked
