"""A template as one file, to be carried to another library: JSON with everything, its rows too.

What is read may come from anywhere. Shapes and types are checked here; limits by the service that stores it.
"""

import json

from templates_app.csv_items import UNSTORABLE, CsvError, CsvItems, check_rows
from templates_app.lora_stack import MAX_LORAS
from templates_app.models import BatchTemplate, BatchTemplateVersion

FORMAT = "imagineer-template"
FORMAT_VERSION = 1
MAX_BYTES = 32 * 2**20  # a table of 10 MiB and what JSON puts around its cells
TEXTS = (
    "name",
    "description",
    "base_prompt",
    "prompt_template",
    "style_suffix",
    "example_theme",
    "negative_prompt",
    "rating",
)
SIDES = ("width", "height")


class TemplateFileError(ValueError):
    """The file is no template; ``sentences`` say why."""

    def __init__(self, *sentences: str):
        self.sentences = list(sentences)
        super().__init__(" ".join(sentences))


def write_template(
    template: BatchTemplate, version: BatchTemplateVersion, *, hashes: dict[str, str]
) -> bytes:
    """:param hashes: SHA-256 by the name of a LoRA, so that another library knows its own by its bytes."""
    content = {"format": FORMAT, "format_version": FORMAT_VERSION}
    content |= {name: getattr(template, name) for name in ("name", "description")}
    content |= {name: getattr(version, name) for name in (*TEXTS[2:], *SIDES)}
    content["loras"] = [use | {"sha256": hashes.get(use["lora"], "")} for use in version.lora_config]
    content["columns"] = version.columns
    content["rows"] = [[row[column] for column in version.columns] for row in version.rows]
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def read_template(data: bytes) -> dict:
    """What ``authoring.save_template`` takes, with ``loras``: ``[{"lora", "weight", "sha256"}]`` as the file names them.

    :raises TemplateFileError: it is none, or one of a later program.
    """
    content = _load(data)
    known = {"format", "format_version", "loras", "columns", "rows", *TEXTS, *SIDES}
    problems = [f"{name[:40]!a} is no part of a template." for name in sorted(set(content) - known)[:10]]
    given = {}
    for name in TEXTS:
        value = content.get(name, "")
        if not isinstance(value, str):
            problems.append(f"{name} must be text.")
        elif UNSTORABLE.search(value):
            problems.append(f"{name} holds a control character or half of a sign.")
        given[name] = value
    for name in SIDES:
        value = content.get(name, 512)
        if isinstance(value, bool) or not isinstance(value, int):
            problems.append(f"{name} must be a whole number of pixels.")
        given[name] = value
    given["loras"] = _loras(content.get("loras", []), problems)
    try:
        given["rows"] = _rows(content.get("columns"), content.get("rows"))
    except CsvError as error:
        problems += error.sentences
    except TemplateFileError as error:
        problems += error.sentences
    if problems:
        raise TemplateFileError(*problems)
    return given


def _load(data: bytes) -> dict:
    if len(data) > MAX_BYTES:
        raise TemplateFileError(f"The file is larger than {MAX_BYTES // 2**20} MiB.")
    try:
        content = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise TemplateFileError("The file is no JSON in UTF-8, or is nested too deeply.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TemplateFileError(
            f'The file is no template: it lacks "format": "{FORMAT}". Export one to see what it looks like.'
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise TemplateFileError(
            "The file was written by a later program than this one. Update this one first."
        )
    return content


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON")


def _loras(loras, problems: list[str]) -> list[dict]:
    if not isinstance(loras, list) or len(loras) > MAX_LORAS:
        problems.append(f"loras must be a list of at most {MAX_LORAS} LoRAs.")
        return []
    checked = []
    for use in loras:
        is_use = (
            isinstance(use, dict)
            and set(use) <= {"lora", "weight", "sha256"}
            and isinstance(use.get("lora"), str)
            and isinstance(use.get("sha256", ""), str)
            and isinstance(use.get("weight", 1.0), (int, float))
            and not isinstance(use.get("weight"), bool)
            and not UNSTORABLE.search(use["lora"] + use.get("sha256", ""))
        )
        if not is_use:
            problems.append('Each of loras is an object such as {"lora": "ink", "weight": 0.8}.')
            break
        checked.append({"weight": 1.0, "sha256": ""} | use)
    return checked


def _rows(columns, rows) -> CsvItems:
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise TemplateFileError("columns must be a list of names.")
    if len(set(columns)) < len(columns):
        raise TemplateFileError("Two columns have one name.")
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == len(columns) for row in rows
    ):
        raise TemplateFileError("rows must be a list of lists, each with a cell for every column.")
    return check_rows([dict(zip(columns, row, strict=True)) for row in rows])
