"""``make screenshots``: start the demo on a library of its own and photograph its pages for docs/screenshots/."""

import re
import socket
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.clusters import ROOT
from tests.e2e.running import CHROMIUM, FLAGS, start_demo

FOLDER = ROOT / "docs" / "screenshots"
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
PAGES = {
    "home": "/",
    "albums": "/albums",
    "album": "/albums/1",
    "picture": "/images/4?album=1",
    "lightbox": "/albums/1#open",
    "templates": "/templates",
    "template": "/templates/1",
    "run": "/runs/1",
    "loras": "/loras",
    "about": "/about",
    "age": "/age-confirmation",
    "sign-in": "/auth/login",
    "runs": "/runs",
}
DESK = {
    "dashboard": "/admin/",
    "job": "/admin/jobs/job/1/change/",
    "order": "/admin/templates_app/batchgenerationrun/add/?template=3",
    "slot": "/runs/1/slots/3",
    "draw": "/templates/3/draw",
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="imagineer-demo-") as directory, sync_playwright() as playwright:
        demo = start_demo(Path(directory), port)
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for screen, (width, height) in SCREENS.items():
                for scheme in ("light", "dark"):
                    context = browser.new_context(
                        base_url=demo.base, viewport={"width": width, "height": height}, color_scheme=scheme
                    )
                    page = context.new_page()
                    for name, address in PAGES.items():
                        photograph(page, address, f"{name}-{screen}-{scheme}.png")
            page = browser.new_context(base_url=demo.base, viewport={"width": 1280, "height": 900}).new_page()
            page.goto(re.search(r"Sign in:\s+(\S+)", demo.output.read_text())[1])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/admin/")
            for name, address in DESK.items():
                photograph(page, address, f"{name}-desktop-light.png")
            browser.close()
        finally:
            demo.process.terminate()
            demo.process.wait(60)


def photograph(page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    if address.endswith("#open"):
        page.locator(".tiles a").nth(3).click()
        page.wait_for_selector(".pswp--open")
        page.get_by_role("button", name="Recipe").click()
        page.wait_for_selector(".lightbox-recipe .recipe")
        page.wait_for_timeout(500)  # until it has grown
    page.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    main()
