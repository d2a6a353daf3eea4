"""What is installed is what is written down: exact versions, and nothing that comes along unseen."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def pins(*files) -> dict[str, Requirement]:
    found = {}
    for file in files:
        for line in (ROOT / file).read_text().splitlines():
            line = line.partition("#")[0].strip()
            if line and not line.startswith("-"):
                requirement = Requirement(line)
                found[canonicalize_name(requirement.name)] = requirement
    return found


def needs_of(requirement: Requirement):
    extras = requirement.extras or {""}
    for text in distribution(requirement.name).requires or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
            yield need


def test_every_requirement_is_pinned_to_one_version_which_is_installed():
    wrong = []
    for name, requirement in pins("requirements.txt", "requirements-dev.txt").items():
        [pin] = requirement.specifier
        installed = distribution(name).version.partition("+")[0]
        if pin.operator != "==" or pin.version != installed:
            wrong.append(f"{name}: {pin} is written, {installed} is installed")
    assert not wrong, wrong


def test_whatever_a_requirement_needs_is_pinned_too():
    for files in (["requirements.txt"], ["requirements.txt", "requirements-dev.txt"]):
        pinned = pins(*files)
        missing = set()
        for requirement in pinned.values():
            if requirement.name == "torch":
                continue  # its builds differ in what they bring; the Makefile installs it first and by itself
            for need in needs_of(requirement):
                try:
                    distribution(need.name)
                except PackageNotFoundError:
                    continue  # for another system
                if canonicalize_name(need.name) not in pinned and need.name != "setuptools":
                    missing.add(f"{need.name}=={distribution(need.name).version}  # {requirement.name}")
        assert not missing, sorted(missing)
