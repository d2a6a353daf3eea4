"""The demo as a newcomer starts it, and a real Chromium that looks at it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clusters import ROOT, do_without, wait_until
from tests.imagineer.accounts.conftest import google  # noqa: F401  a fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Demo:
    base: str
    output: Path
    environment: dict
    process: subprocess.Popen

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.base + path, timeout=30) as answer:
            return json.load(answer)

    def printed(self, what: str) -> str:
        return re.search(rf"{what}:\s+(http\S+)", self.output.read_text())[1]

    def manage(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )


def start_demo(directory: Path, port: int) -> Demo:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IMAGINEER_", "DJANGO_", "PYTEST_", "DATABASE_", "REDIS_"))
    } | {"DJANGO_DEBUG": "1", "IMAGINEER_DATA_DIR": str(directory), "PYTHONUNBUFFERED": "1"}
    output = directory / "demo.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
        )

    def is_serving():
        assert process.poll() is None, output.read_text()[-4000:]
        return "Serving until" in output.read_text(errors="replace")

    wait_until(is_serving, "the demo's album is there", timeout=600)
    return Demo(f"http://127.0.0.1:{port}", output, environment, process)


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
