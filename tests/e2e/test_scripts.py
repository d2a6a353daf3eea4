"""Whatever somebody wrote into a field stays text, in the public pages and in the library's admin."""

import re
from urllib.parse import quote

import pytest

from tests.e2e.payloads import PAYLOADS, write_payloads

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# what a payload that became markup leaves behind, even where it waits for a click
FOUND = """() => [...document.querySelectorAll('*')].flatMap(element => [
    ...[...element.attributes].filter(({name, value}) => /^on/i.test(name)
        || (/^(href|src|action|formaction|data|srcdoc|xlink:href)$/i.test(name) && /^\\s*(javascript|data:text)/i.test(value)))
        .map(({name, value}) => `${element.tagName} ${name}=${value}`),
    ...(element.matches('script:not([src]):not([type="application/json"]), meta[http-equiv], iframe, object, embed, base,'
        + 'marquee') ? [element.outerHTML.slice(0, 200)] : []),
])"""


@pytest.fixture(scope="module")
def made(demo):
    return write_payloads(demo)


@pytest.fixture
def look(chromium, demo):
    """Open pages without the content policy, which would hide what the templates let through."""
    fired = []
    context = chromium.new_context(base_url=demo.base, bypass_csp=True)
    page = context.new_page()

    def note(dialog):
        fired.append((page.url, dialog.message))
        dialog.dismiss()

    page.on("dialog", note)

    def look(address):
        answer = page.goto(address, wait_until="domcontentloaded")
        assert answer.status == 200, address
        check()

    def check():
        assert page.evaluate(FOUND) == [], page.url
        assert not fired, fired

    look.page, look.check = page, check
    yield look
    page.wait_for_timeout(500)  # what was still loading has failed by now
    assert not fired, fired
    context.close()


def test_there_are_sixty_of_them_and_each_would_be_noticed(chromium):
    """The search for scripts finds the payloads where they are markup."""
    assert len(set(PAYLOADS)) >= 60
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    fired = []
    page.on("dialog", lambda dialog: (fired.append(dialog.message), dialog.dismiss()))
    as_markup = [
        payload for payload in PAYLOADS if re.match(r"\W*<\w", payload) and "template" not in payload
    ]
    unnoticed = []
    for payload in as_markup:
        before = len(fired)
        page.goto("about:blank")
        page.set_content(f"<body>{payload}", wait_until="commit")
        page.wait_for_timeout(60)
        if len(fired) == before and not page.evaluate(FOUND):
            unnoticed.append(payload)
    context.close()
    assert len(as_markup) > 35 and len(unnoticed) <= 4, unnoticed


def test_none_fires_on_the_public_pages(look, made):
    lists = ["/", "/albums", "/albums?sort=name", f"/albums/{made['album']}", "/loras", "/about"]
    for address in lists:
        look(address)
        for _ in range(2):  # two pages hold all of them
            if (following := look.page.locator("nav.pages a[rel=next]")).count():
                following.click()
                look.page.wait_for_load_state("domcontentloaded")
                look.check()
    for pk in made["images"]:
        look(f"/images/{pk}")
    for payload in PAYLOADS:
        look(f"/albums?q={quote(payload)}&sort={quote(payload)}")


def test_none_fires_in_the_lightbox(look, made):
    look(f"/albums/{made['album']}")
    page = look.page
    page.wait_for_selector("[data-lightbox=ready]")
    page.locator(".tiles a").first.click()
    page.wait_for_selector(".pswp--open")
    page.wait_for_timeout(500)
    page.keyboard.press("i")
    for number in range(len(PAYLOADS)):
        page.wait_for_function("document.querySelector('.lightbox-recipe .recipe') !== null")
        look.check()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "last => last || document.querySelector('.lightbox-caption a').href.includes('/images/')",
            arg=number == len(PAYLOADS) - 1,
        )


def test_none_fires_in_the_admin(look, made, demo):
    done = demo.manage(
        "shell",
        "-c",
        "from imagineer.accounts.models import User\n"
        "from imagineer.management.commands.demo import sign_in_link, CURATOR\n"
        "print('LINK', sign_in_link(User.objects.get(email=CURATOR)))",
    )
    page = look.page
    page.goto(re.search(r"LINK (\S+)", done.stdout)[1])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")
    models = ("image", "album", "label", "lora", "diffusionmodel")
    for model in models:
        look(f"/admin/gallery/{model}/")
    for pk in made["images"]:
        look(f"/admin/gallery/image/{pk}/change/")
    for pk in made["albums"]:
        look(f"/admin/gallery/album/{pk}/change/")
    look(f"/admin/gallery/album/{made['album']}/delete/")
    look(f"/images/{made['images'][0]}")
