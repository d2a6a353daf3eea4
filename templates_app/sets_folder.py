"""Templates that lie as files in the ``sets`` folder of the data directory: found, compared, and taken in.

A CSV file is a set. How it is drawn stands in a TOML file of the same name beside it (``cards.csv``,
``cards.toml``), or in ``sets.toml`` under a ``[[set]]`` that names it as ``csv_file``; without either, a name and a
prompt are made from the file itself.
"""

import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from templates_app import authoring
from templates_app.csv_items import MAX_BYTES, CsvError, parse_csv
from templates_app.models import BatchTemplate

MAX_FILES = 200
MAX_TOML = 256 * 1024  # bytes
KEYS = {"name", "description", *authoring.OF_VERSION}
TELLING_COLUMNS = ("prompt", "description", "text")  # one of them says alone what is to be drawn

NEW, CHANGED, UNCHANGED, EDITED, CLASH, UNREADABLE = (
    "new",
    "changed",
    "unchanged",
    "edited",
    "clash",
    "unreadable",
)
SENTENCES = {
    NEW: "New.",
    CHANGED: "The file has changed since it was taken in; taking it in makes a new version.",
    UNCHANGED: "In the library as it is.",
    EDITED: "The file and the template have both changed since. Taking it in makes a new version of the file; "
    "what was edited here stays in the versions before.",
    CLASH: "There is a template of this name that came from elsewhere. Taking it in makes a new version of that one.",
    UNREADABLE: "This cannot be taken in.",
}


@dataclass
class FoundSet:
    """A file of the folder, and where it stands against the library."""

    file: str
    state: str = UNREADABLE
    sha256: str = ""
    given: dict = field(default_factory=dict)
    template: BatchTemplate | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.given.get("name", self.file)

    @property
    def row_count(self) -> int:
        return len(self.given["rows"].rows) if "rows" in self.given else 0

    @property
    def sentence(self) -> str:
        return SENTENCES[self.state]

    @property
    def key(self) -> str:
        """Names the file as it was seen."""
        return f"{self.sha256}:{self.file}"

    @property
    def is_wanted(self) -> bool:
        """Whether it is taken in unless somebody says otherwise: nothing that was made here is covered by it."""
        return self.state in (NEW, CHANGED)

    @property
    def may_be_taken(self) -> bool:
        return self.state not in (UNCHANGED, UNREADABLE)


def sets_folder() -> Path:
    return settings.DATA_DIR / "sets"


def find_sets() -> list[FoundSet]:
    """The sets of the folder, by name of file; those that cannot be read say why."""
    folder = sets_folder()
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.glob("*.csv") if path.is_file())[:MAX_FILES]
    try:
        definitions = _shared_definitions(folder / "sets.toml")
    except _Unreadable as error:
        return [FoundSet(path.name, problems=[str(error)]) for path in files]
    return [_look_at(path, definitions.get(path.name)) for path in files]


@transaction.atomic
def take_in(found: FoundSet, *, created_by=None) -> BatchTemplate:
    """Store what was found: a new template, or the next version of the one that it belongs to.

    :raises ValidationError: it has become wrong meanwhile, such as by a LoRA that left.
    """
    template = authoring.save_template(template=found.template, created_by=created_by, **_draft_of(found))
    template.source_file, template.source_sha256 = found.file, found.sha256
    template.source_version = template.current.number
    template.save(update_fields=["source_file", "source_sha256", "source_version"])
    return template


class _Unreadable(Exception):
    """The message says what is wrong with a file, and where."""


def _look_at(path: Path, definition: dict | None) -> FoundSet:
    found = FoundSet(path.name)
    try:
        data = _read(path, MAX_BYTES)
        own = path.with_suffix(".toml")
        if own.name != "sets.toml" and own.is_file():
            definition = _table(_toml(own), own.name)
        items = parse_csv(data)
    except _Unreadable as error:
        found.problems = [str(error)]
        return found
    except CsvError as error:
        found.problems = error.sentences
        return found
    definition = definition or {}
    found.sha256 = hashlib.sha256(data + repr(sorted(definition.items())).encode()).hexdigest()
    found.given = {
        "name": path.stem.replace("_", " ").replace("-", " ").strip().title(),
        "prompt_template": _prompt_of(items.columns),
        **definition,
        "rows": items,
    }
    _compare(found)
    if found.may_be_taken:
        try:
            authoring.draft_template(template=_again(found.template), **_draft_of(found))
        except ValidationError as error:
            found.state = UNREADABLE
            found.problems = [f"{name}: {' '.join(said)}" for name, said in error.message_dict.items()]
    return found


def _compare(found: FoundSet) -> None:
    """Set the state of a set that can be read."""
    templates = BatchTemplate.objects.select_related("current")
    found.template = templates.filter(source_file=found.file).first()
    if found.template:
        if found.template.source_sha256 == found.sha256:
            found.state = UNCHANGED
        else:
            is_edited = found.template.current.number != found.template.source_version
            found.state = EDITED if is_edited else CHANGED
        return
    name = found.given["name"]
    found.template = templates.filter(name=name.strip()).first() if isinstance(name, str) else None
    found.state = CLASH if found.template else NEW


def _draft_of(found: FoundSet) -> dict:
    """A template that is there keeps its name, which may have been changed here."""
    return {name: value for name, value in found.given.items() if not (found.template and name == "name")}


def _again(template: BatchTemplate | None) -> BatchTemplate | None:
    """A copy that a draft may write on."""
    return template and BatchTemplate.objects.select_related("current").get(pk=template.pk)


def _shared_definitions(path: Path) -> dict[str, dict]:
    if not path.is_file():
        return {}
    tables = _toml(path).get("set", [])
    if not isinstance(tables, list) or not all(
        isinstance(table, dict) and isinstance(table.get("csv_file"), str) for table in tables
    ):
        raise _Unreadable("sets.toml must hold [[set]] tables, each with its csv_file.")
    return {table.pop("csv_file"): _table(table, "sets.toml") for table in tables}


def _table(table: dict, where: str) -> dict:
    if unknown := sorted(set(table) - KEYS):
        raise _Unreadable(f"{where}: {', '.join(unknown)} means nothing. Known: {', '.join(sorted(KEYS))}.")
    for name, value in table.items():
        wanted = {"width": int, "height": int, "lora_config": list}.get(name, str)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise _Unreadable(f"{where}: {name} must be {WORDS[wanted]}.")
    return table


WORDS = {str: "text", int: "a whole number", list: "a list of LoRAs"}


def _toml(path: Path) -> dict:
    try:
        return tomllib.loads(_read(path, MAX_TOML).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Unreadable(f"{path.name} is no TOML: {error}") from error


def _read(path: Path, most: int) -> bytes:
    if not path.resolve().is_relative_to(sets_folder().resolve()):
        raise _Unreadable(f"{path.name} is a link out of the folder, which is not followed.")
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise _Unreadable(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise _Unreadable(f"{path.name} is larger than {most // 1024:,} KiB.")
    return data


def _prompt_of(columns: tuple[str, ...]) -> str:
    telling = next((name for name in TELLING_COLUMNS if name in columns), None)
    return f"{{{telling}}}" if telling else ", ".join(f"{{{name}}}" for name in columns)
