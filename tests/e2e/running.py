"""A demo that runs, and how Chromium is started: for the tests and for the photographs, which are no tests."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import ROOT, wait_until

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


def start_demo(directory: Path, port: int, prints_to: str = "demo.txt") -> Demo:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IMAGINEER_", "DJANGO_", "PYTEST_", "DATABASE_", "REDIS_"))
    } | {"DJANGO_DEBUG": "1", "IMAGINEER_DATA_DIR": str(directory), "PYTHONUNBUFFERED": "1"}
    output = directory / prints_to
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

    with ExitStack() as unless_it_serves:
        unless_it_serves.callback(process.wait)
        unless_it_serves.callback(process.kill)
        wait_until(is_serving, "the demo's album is there", timeout=600)
        unless_it_serves.pop_all()
    return Demo(f"http://127.0.0.1:{port}", output, environment, process)
