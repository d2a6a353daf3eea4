"""The demo as a newcomer starts it, and a real Chromium that looks at it."""

import os
import re
import socket
import tempfile
from pathlib import Path

import pytest

from tests.clusters import do_without
from tests.e2e.running import CHROMIUM, FLAGS, start_demo
from tests.imagineer.accounts.conftest import google  # noqa: F401  a fixture


@pytest.fixture(scope="session")
def demo():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="imagineer-demo-") as directory:
        running = start_demo(Path(directory), port)
        yield running
        running.process.terminate()
        running.process.wait(60)


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        do_without("Chromium is not installed")
    # Playwright's loop runs in this thread, and Django would take every query for one inside it
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, demo):
    """``visit(width=…, height=…, dark=…)`` opens a page; whatever the browser complains of fails the test."""
    complaints, contexts = [], []

    def open_page(width=1280, height=900, dark=False, **options):
        context = chromium.new_context(
            base_url=demo.base,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints


@pytest.fixture
def curator(visit, demo):
    """A page of the demo's curator."""
    done = demo.manage(
        "shell",
        "-c",
        "from imagineer.accounts.models import User\n"
        "from imagineer.management.commands.demo import sign_in_link, CURATOR\n"
        "print('LINK', sign_in_link(User.objects.get(email=CURATOR)))",
    )
    link = re.search(r"LINK (\S+)", done.stdout)[1]
    page = visit()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")
    return page
