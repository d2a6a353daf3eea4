"""axe-core finds no serious fault in the pages, in light and dark, on a phone and a desktop."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PAGES = ["/", "/albums", "/albums?q=nothing", "/albums/1", "/images/1", "/loras", "/about", "/auth/login"]
GRAVE = ("serious", "critical")


def faults(page):
    found = Axe().run(page).response["violations"]
    return [
        (page.url, fault["id"], fault["nodes"][0]["html"][:200])
        for fault in found
        if fault["impact"] in GRAVE
    ]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_everybody_can_use_the_pages(visit, width, dark):
    # axe is put into the page as a script of its own, which the content policy would refuse
    page = visit(width=width, dark=dark, bypass_csp=True)
    found = []
    for address in PAGES:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found += faults(page)
    page.goto("/albums/1")
    page.wait_for_selector("[data-lightbox=ready]")
    page.locator("main .tiles a").first.click()
    page.wait_for_selector(".pswp--open")
    page.get_by_role("button", name="Recipe").click()
    page.wait_for_selector(".lightbox-recipe .recipe")
    page.wait_for_timeout(600)  # while it opens, colours are half transparent
    assert found + faults(page) == []
