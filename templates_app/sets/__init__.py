"""The three sets that come with the program: `sets.toml` says how each is drawn, a CSV file beside it
what."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..csv_items import CsvItems, parse_csv

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class SetDefinition:
    """A batch template as it is shipped. `width` and `height` are in pixels, as asked of the model."""

    name: str
    description: str
    csv_file: str  # a file name in this folder
    base_prompt: str
    prompt_template: str
    style_suffix: str
    example_theme: str
    width: int
    height: int
    negative_prompt: str

    @property
    def csv_bytes(self) -> bytes:
        return (FOLDER / self.csv_file).read_bytes()

    @property
    def items(self) -> CsvItems:
        return parse_csv(self.csv_bytes)


def load_sets() -> list[SetDefinition]:
    """The shipped sets, in the order in which they are shown."""
    definitions = tomllib.loads((FOLDER / "sets.toml").read_text(encoding="utf-8"))
    return [SetDefinition(**definition) for definition in definitions["set"]]
