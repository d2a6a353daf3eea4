"""The examples in docs/deploy name only what there is."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "docs" / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_setting_that_is_named_exists(path):
    known = (ROOT / ".env.example").read_text()
    for name in re.findall(r"\b((?:IMAGINEER|DJANGO|CORS|CSRF|GOOGLE|AWS)_[A-Z0-9_]+)\b", path.read_text()):
        assert f"{name}=" in known, f"{path.name} names {name}, which .env.example does not list"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_command_that_is_named_exists(path):
    text = path.read_text()
    named = re.findall(r"manage\.py\"?,? \"?([a-z_]+)", text)
    assert set(named) <= set(get_commands()), path.name
    for target in re.findall(r"\bmake ([a-z-]+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_every_file_is_explained():
    explained = (DEPLOY / "README.md").read_text()
    assert [path.name for path in FILES if path.name != "README.md" and path.name not in explained] == []


def test_the_containers_are_the_processes_of_the_readme():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert services["work-gpu"]["command"] == ["python", "manage.py", "work", "gpu"]
    assert services["work-default"]["command"] == ["python", "manage.py", "work", "default"]
    assert all(services[name]["init"] for name in ("web", "work-gpu", "work-default"))
