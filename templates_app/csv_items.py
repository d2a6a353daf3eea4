"""The rows of a batch template: read from a CSV file or from JSON, checked, and written back.

Everything here comes from outside. A file is taken whole or not at all, and what is wrong with it is said at
once, line by line, so that somebody can mend it in one go. Nothing in this module knows the database.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 10_000
MAX_COLUMNS = 64
MAX_COLUMN_NAME = 64  # characters
MAX_CELL = 2_000  # characters
MAX_LINE = MAX_COLUMNS * (2 * MAX_CELL + 3)  # characters: cells full of quotation marks, written twice
MAX_PROBLEMS = 50

# PostgreSQL refuses NUL, UTF-8 has no lone surrogates, and XML metadata has no place for the rest.
UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

_COLUMN_NAME = re.compile(r"[\w -]+")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_DELIMITERS = ",;\t"
# OWASP "CSV Injection": what makes a spreadsheet take a cell for a formula, full-width forms too.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class CsvItems:
    """A checked table. Every row has every column; cells are trimmed text, and no row is empty altogether."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


class CsvError(ValueError):
    """What is wrong with a table: `problems` is a list of (number, sentence), at most `MAX_PROBLEMS`.

    The number counts lines of the file from 1 (a row that spans lines counts where it begins) or, where
    `unit` is "row", rows of a JSON list from 1. `sentences` tells each problem with its number.
    """

    def __init__(self, problems: list[tuple[int, str]], unit: str = "line"):
        self.problems = problems
        self.unit = unit
        self.sentences = [f"{unit.capitalize()} {number}: {sentence}" for number, sentence in problems]
        if len(problems) == MAX_PROBLEMS:
            self.sentences.append(f"Only the first {MAX_PROBLEMS} problems are listed.")
        super().__init__("\n".join(self.sentences))


class _Problems(list):
    """Collects (number, sentence) and ends the reading when there are enough of them."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def add(self, number: int, sentence: str) -> None:
        self.append((number, sentence))
        if len(self) == MAX_PROBLEMS:
            raise self.error()

    def error(self) -> CsvError:
        return CsvError(list(self), self.unit)


def parse_csv(data: bytes, *, encoding: str = "utf-8") -> CsvItems:
    """Read a CSV file: UTF-8 or what ``encoding`` says, a BOM of Unicode beats both; any line ends; separated by
    comma, semicolon or tab.

    The first line that is not blank names the columns; blank lines, and rows of nothing but separators, are
    skipped. Raises CsvError with the problems of the whole file.
    """
    problems = _Problems("line")
    text = _decode(data, encoding, problems)
    reader = csv.reader(_lines(text, problems), delimiter=_delimiter(text), strict=True)
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    for line, fields in _records(reader, problems):
        if not columns:
            columns = fields
            _check_columns(columns, line, problems)
        elif len(rows) == MAX_ROWS:
            problems.add(line, f"The file has more than {MAX_ROWS:,} rows. Split it into several templates.")
            break
        else:
            # A ragged row is kept too: the limit counts it, and the table is refused in any case.
            rows.append(_row(columns, fields, line, problems))
    if not problems and not columns:
        problems.add(1, "The file has no header. Its first line must name the columns.")
    elif not problems and not rows:
        problems.add(reader.line_num, "There are no rows below the header.")
    if problems:
        raise problems.error()
    return CsvItems(tuple(columns), tuple(rows))


def check_rows(rows: list[dict]) -> CsvItems:
    """Check rows that came as JSON: objects with the same keys and text, numbers, booleans or null in them.

    Numbers become their text, booleans "true" and "false", null the empty text. The first row's keys are the
    columns. Raises CsvError, whose numbers count rows from 1.
    """
    problems = _Problems("row")
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict) or not rows[0]:
        problems.add(1, "The rows must be a list of at least one object, with the columns as its keys.")
        raise problems.error()
    if len(rows) > MAX_ROWS:
        problems.add(
            MAX_ROWS + 1, f"There are more than {MAX_ROWS:,} rows. Split them into several templates."
        )
        raise problems.error()
    columns = [_clean(str(key)) for key in rows[0]]
    _check_columns(columns, 1, problems)
    checked = []
    size = 0
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            problems.add(number, "This is not an object with the columns as its keys.")
            continue
        cells = {_clean(str(key)): _text(key, value, number, problems) for key, value in row.items()}
        if len(cells) < len(row):
            problems.add(number, "Two of its columns have the same name but for spaces around it.")
        for column in columns:
            if column not in cells:
                problems.add(number, f"The column {_quoted(column)} is missing.")
        for column in cells:
            if column not in columns:
                problems.add(number, f"The first row has no column {_quoted(column)}.")
        if not any(cells.values()):
            problems.add(number, "The row is empty.")
        size += sum(map(len, cells.values()))
        if size > MAX_BYTES:
            problems.add(number, f"The rows hold more than {MAX_BYTES // 2**20} MiB of text.")
            break
        # Missing columns are filled only to go on looking: the table is refused in any case.
        fields = [cells.get(column, "") for column in columns]
        checked.append(_row(columns, fields, number, problems))
    if problems:
        raise problems.error()
    return CsvItems(tuple(columns), tuple(checked))


def write_csv(items: CsvItems, *, guard_formulas: bool = False) -> bytes:
    """Write a table as RFC 4180 CSV in UTF-8; `parse_csv` reads the same table back.

    With `guard_formulas` cells that a spreadsheet would run as a formula get an apostrophe in front (OWASP,
    "CSV Injection"). Such a file is for looking at: read back, those cells keep the apostrophe.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    # By name: a row that has been through a JSON column of a database may have its keys in another order.
    for cells in [items.columns, *([row[column] for column in items.columns] for row in items.rows)]:
        writer.writerow([f"'{c}" if guard_formulas and c.startswith(_FORMULA_STARTS) else c for c in cells])
    return out.getvalue().encode()


def _decode(data: bytes, encoding: str, problems: _Problems) -> str:
    if not data:
        problems.add(1, "The file is empty.")
    elif len(data) > MAX_BYTES:
        problems.add(1, f"The file is larger than {MAX_BYTES // 2**20} MiB.")
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):  # as a spreadsheet's "Unicode text"
        encoding = "utf-16"
    elif data.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8"
    if problems:
        raise problems.error()
    if encoding != "utf-8":
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            problems.add(1, f"The file is not written in {encoding.upper()}. Save it as “CSV UTF-8”.")
            raise problems.error() from None
        if "\x00" in text:
            problems.add(text[: text.index("\x00")].count("\n") + 1, "There is a NUL character. Remove it.")
            raise problems.error()
        return _unix_lines(text)
    if b"\x00" in data:
        line = len(_LINE_END.findall(data[: data.index(b"\x00")])) + 1
        problems.add(
            line, "There is a NUL byte, so this is not a text file in UTF-8. Save it as “CSV UTF-8”."
        )
        raise problems.error()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # No byte of a longer UTF-8 character looks like a line end, so each line can be tried alone.
        for number, line in enumerate(_LINE_END.split(data), 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"0x{line[error.start]:02X} (byte {error.start + 1} of the line)"
                problems.add(number, f"The byte {byte} is not UTF-8. Save the file as “CSV UTF-8”.")
        raise problems.error() from None
    return _unix_lines(text)


def _lines(text: str, problems: _Problems) -> Iterator[str]:
    # StringIO would take four bytes a character, and an endless line would become millions of fields.
    for number, match in enumerate(re.finditer(r"[^\n]*\n|[^\n]+", text), 1):
        if match.end() - match.start() > MAX_LINE:
            problems.add(number, f"The line is longer than {MAX_LINE:,} characters.")
            raise problems.error()
        yield match[0]


def _delimiter(text: str) -> str:
    """The separator that splits the header into the most names; no name may hold any of the three."""
    header = text.lstrip()[: MAX_COLUMNS * (MAX_COLUMN_NAME + 3)].partition("\n")[0]
    return max(_DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _records(reader: Iterator[list[str]], problems: _Problems) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, trimmed, each with the line on which it begins."""
    while True:
        line = reader.line_num + 1
        try:
            fields = [_clean(field) for field in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                problems.add(line, "The quotation mark opened in this row is never closed.")
                return
            if "field limit" in str(error):
                problems.add(line, f"A field is longer than {MAX_CELL:,} characters.")
                return  # the rest of the field would be read as rows
            problems.add(
                line, 'After a closing quotation mark must come a separator; write a quoted " as "".'
            )
            continue
        if any(fields):
            yield line, fields


def _check_columns(columns: list[str], number: int, problems: _Problems) -> None:
    if len(columns) > MAX_COLUMNS:
        problems.add(number, f"There are {len(columns):,} columns; {MAX_COLUMNS} are allowed.")
        raise problems.error()
    seen: set[str] = set()
    for position, name in enumerate(columns, 1):
        if not name:
            problems.add(number, f"Column {position} has no name. The first line must name every column.")
        elif len(name) > MAX_COLUMN_NAME:
            problems.add(
                number, f"The column name {_quoted(name)} is longer than {MAX_COLUMN_NAME} characters."
            )
        elif not _COLUMN_NAME.fullmatch(name):
            problems.add(
                number,
                f"The column name {_quoted(name)} may hold only letters, digits, spaces, “_” and “-”. "
                "The first line must name the columns.",
            )
        elif name.casefold() in seen:
            problems.add(number, f"The column name {_quoted(name)} is there twice.")
        seen.add(name.casefold())


def _row(columns: list[str], fields: list[str], number: int, problems: _Problems) -> dict[str, str]:
    if len(fields) < len(columns):
        problems.add(number, f"The row has only {len(fields)} of the {len(columns)} fields.")
    elif len(fields) > len(columns):
        problems.add(
            number,
            f"The row has {len(fields):,} fields for {len(columns)} columns. "
            "Text that holds the separator needs quotation marks.",
        )
    for column, field in zip(columns, fields, strict=False):
        if len(field) > MAX_CELL:
            problems.add(
                number, f"{_quoted(column)} is {len(field):,} characters long; {MAX_CELL:,} are allowed."
            )
        elif UNSTORABLE.search(field):
            problems.add(number, f"{_quoted(column)} holds a control character. Remove it.")
    return dict(zip(columns, fields, strict=False))


def _text(key: object, value: object, number: int, problems: _Problems) -> str:
    """A JSON value as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        try:
            return _clean(str(value))
        except ValueError:  # Python writes out no integer of more than 4,300 digits
            problems.add(number, f"{_quoted(str(key))} is too large a number.")
            return "?"  # not empty, which would be a second problem; the table is refused in any case
    problems.add(
        number, f"{_quoted(str(key))} must be text, a number, a boolean or null, not a list or object."
    )
    return "?"


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _clean(text: str) -> str:
    return _unix_lines(text).strip()


def _quoted(name: str) -> str:
    return f"“{UNSTORABLE.sub('�', name if len(name) <= 40 else name[:39] + '…')}”"


def listed(names: Iterable[str]) -> str:
    """Column names for a message: quoted, shortened, with commas."""
    return ", ".join(map(_quoted, names))
