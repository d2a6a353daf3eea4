import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.csv_items import (
    MAX_BYTES,
    MAX_CELL,
    MAX_COLUMNS,
    MAX_PROBLEMS,
    MAX_ROWS,
    CsvError,
    CsvItems,
    check_rows,
    parse_csv,
    write_csv,
)

CARDS = CsvItems(("value", "suit"), ({"value": "Ace", "suit": "Spades"}, {"value": "2", "suit": "Hearts"}))


def problems_of(data: bytes) -> list[tuple[int, str]]:
    with pytest.raises(CsvError) as caught:
        parse_csv(data)
    return caught.value.problems


def row_problems_of(rows) -> list[tuple[int, str]]:
    with pytest.raises(CsvError) as caught:
        check_rows(rows)
    assert caught.value.unit == "row"
    return caught.value.problems


# What is read


@pytest.mark.parametrize(
    "data",
    [
        b"value,suit\nAce,Spades\n2,Hearts\n",
        b"value,suit\nAce,Spades\n2,Hearts",
        b"\xef\xbb\xbfvalue,suit\nAce,Spades\n2,Hearts\n",
        b"value,suit\r\nAce,Spades\r\n2,Hearts\r\n",
        b"value,suit\rAce,Spades\r2,Hearts\r",
        b"value;suit\nAce;Spades\n2;Hearts\n",
        b"value\tsuit\nAce\tSpades\n2\tHearts\n",
        b'"value","suit"\n"Ace","Spades"\n"2","Hearts"\n',
        b"\n\nvalue,suit\n\nAce,Spades\n   \n,\n2,Hearts\n\n,,,\n",
        b" value , suit \n Ace ,\tSpades\n2,Hearts \n",
        "value\tsuit\r\nAce\tSpades\r\n2\tHearts\r\n".encode("utf-16"),
        b"\xfe\xff" + "value,suit\nAce,Spades\n2,Hearts".encode("utf-16-be"),
    ],
    ids=[
        "plain",
        "no last line end",
        "a BOM",
        "Windows line ends",
        "old Mac line ends",
        "semicolons",
        "tabs",
        "all quoted",
        "blank lines and rows of separators",
        "spaces around cells",
        "the Unicode text of a spreadsheet",
        "UTF-16 of the other order",
    ],
)
def test_the_same_table_is_read_from_every_usual_form_of_csv(data):
    assert parse_csv(data) == CARDS


def test_a_quoted_field_keeps_its_newlines_separators_and_quotes():
    items = parse_csv(b'name,text\r\nFool,"one, two\r\n""three"""\r\n')
    assert items.rows == ({"name": "Fool", "text": 'one, two\n"three"'},)


@pytest.mark.parametrize("encoding", ["cp1252", "cp1250", "mac_roman"])
def test_another_encoding_is_read_when_it_is_named(encoding):
    data = "name\r\nKönig\r\n".encode(encoding)
    assert parse_csv(data, encoding=encoding).rows == ({"name": "König"},)
    with pytest.raises(CsvError, match="not UTF-8"):
        parse_csv(data)


def test_a_byte_order_mark_beats_the_encoding_that_is_named():
    assert parse_csv("\ufeffname\nKönig\n".encode(), encoding="cp1252").rows == ({"name": "König"},)


def test_bytes_that_the_named_encoding_lacks_are_refused():
    with pytest.raises(CsvError, match="not written in SHIFT_JIS"):
        parse_csv(b"name\n\xff\xff\n", encoding="shift_jis")


def test_separators_inside_the_text_do_not_mislead_the_choice_of_separator():
    items = parse_csv(b"name;text\nFool;a, b, c, d\nSun;e, f\n")
    assert [row["text"] for row in items.rows] == ["a, b, c, d", "e, f"]


def test_columns_of_other_scripts_and_empty_cells_are_taken():
    items = parse_csv("名前,größe 2,b-c_d\n愚者,,x\n".encode())
    assert items == CsvItems(("名前", "größe 2", "b-c_d"), ({"名前": "愚者", "größe 2": "", "b-c_d": "x"},))


def test_a_formula_is_text_like_any_other():
    assert parse_csv(b"name\n=1+1\n").rows == ({"name": "=1+1"},)


def test_ten_thousand_rows_are_taken_and_one_more_is_refused_with_its_line():
    data = b"name\n" + b"x\n" * MAX_ROWS
    assert len(parse_csv(data).rows) == MAX_ROWS
    [(line, sentence)] = problems_of(data + b"x\n")
    assert line == MAX_ROWS + 2
    assert "10,000" in sentence


# What is refused


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", 1, "empty"),
        (b"\n \n,,\n", 1, "no header"),
        (b"\xef\xbb\xbf", 1, "no header"),
        (b"value,suit\n", 1, "no rows"),
        (b"value,suit\n\n,\n", 3, "no rows"),
        (b"value,,suit\nAce,x,Spades\n", 1, "Column 2 has no name"),
        (b"value,suit,\nAce,Spades,\n", 1, "Column 3 has no name"),
        (b"value,suit, value\nAce,Spades,x\n", 1, "“value” is there twice"),
        (b"value,Value\nAce,x\n", 1, "“Value” is there twice"),
        (b'"A man, with a dog.",x\nAce,Spades\n', 1, "letters, digits"),
        (b"{value},suit\nAce,Spades\n", 1, "letters, digits"),
        (b"a" * 65 + b"\nx\n", 1, "longer than 64"),
        (b"value,suit\nAce\n", 2, "only 1 of the 2 fields"),
        (b"value,suit\nAce,Spades\n\nKing,of,Hearts\n", 4, "3 fields for 2 columns"),
        (b"name\nx" + b"y" * MAX_CELL + b"\n", 2, "2,001 characters"),
        (b"name\n" + b"y" * 200_000 + b"\n", 2, "2,000 characters"),
        (b"name\nbell\x07\n", 2, "control character"),
        (b"value,suit\nAce,Spades\nKi\x00ng,Hearts\n", 3, "NUL"),
        (b"\xff\xfe\x00", 1, "not written in UTF-16"),
        ("value\nA\x00ce\n".encode("utf-16"), 2, "NUL"),
        ("value,suit\nAce,Spades\n".encode("utf-16-be"), 1, "NUL"),
        ("name\nAce\nKönig\n".encode("latin-1"), 3, "0xF6 (byte 2 of the line) is not UTF-8"),
        (b'name\nAce\n"King\nQueen\n', 3, "never closed"),
        (b'name,x\n"Ace"s,1\nKing,2\n', 2, "closing quotation mark"),
        (b"name\n" + b"x" * MAX_BYTES, 1, "larger than 10 MiB"),
        (b"," * 200_000 + b"x\n", 1, "200,001 columns"),
        (b"a,b\n1,2\n" + b"," * 9_000_000, 3, "The line is longer"),
    ],
    ids=[
        "an empty file",
        "only blank lines",
        "only a BOM",
        "only a header",
        "a header and blank rows",
        "an unnamed column",
        "an unnamed last column",
        "a column named twice",
        "a column named twice in another case",
        "a row where the header should be",
        "braces in a column name",
        "a long column name",
        "too few fields",
        "too many fields",
        "a long cell",
        "a cell beyond the csv module's own limit",
        "a control character",
        "NUL",
        "half of a character of UTF-16",
        "NUL in UTF-16",
        "UTF-16 without a BOM",
        "Latin-1",
        "an open quotation mark",
        "text after a closing quotation mark",
        "a huge file",
        "very many columns",
        "an endless line",
    ],
)
def test_a_bad_file_is_refused_with_the_line_and_the_reason(data, line, words):
    problems = problems_of(data)
    assert [number for number, _ in problems] == [line]
    assert words in problems[0][1]


def test_as_many_columns_as_are_allowed_are_taken():
    header = ",".join(f"c{n}" for n in range(MAX_COLUMNS))
    assert len(parse_csv(f"{header}\n{'x,' * (MAX_COLUMNS - 1)}x\n".encode()).columns) == MAX_COLUMNS


def test_all_problems_of_a_file_are_listed_at_once():
    data = b'a,a,b$\n1,2\n1,2,3\n"x"y,2,3\n1,2,3,4\n'
    assert [line for line, _ in problems_of(data)] == [1, 1, 2, 4, 5]


def test_every_line_that_is_not_utf8_is_listed():
    assert [line for line, _ in problems_of(b"name\r\n\xff\r\nfine\r\n\xc3\xa9 \xe9\r\n")] == [2, 4]


def test_no_more_than_fifty_problems_are_listed_and_the_message_says_so():
    with pytest.raises(CsvError) as caught:
        parse_csv(b"a,b\n" + b"1\n" * 5000)
    assert len(caught.value.problems) == MAX_PROBLEMS == 50
    assert str(caught.value).startswith("Line 2: ")
    assert str(caught.value).endswith("Only the first 50 problems are listed.")


def test_a_row_is_named_by_the_line_where_it_begins():
    data = b'name,text\r\nFool,"one\r\ntwo\r\n\r\nthree"\r\nSun\r\nMoon,"a\r\nb",extra\r\n'
    assert [line for line, _ in problems_of(data)] == [6, 7]


def test_a_refused_name_is_shown_without_its_control_characters():
    [(_, sentence)] = problems_of(b"a\x1b[31m,b\n1,2\n")
    assert "\x1b" not in sentence


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=400))
def test_any_bytes_are_either_a_table_or_a_csv_error(data):
    try:
        items = parse_csv(data)
    except CsvError as error:
        assert error.problems
    else:
        assert items.rows
        assert all(tuple(row) == items.columns for row in items.rows)


# Rows that come as JSON


def test_json_values_become_text():
    rows = [
        {"name": " Fool ", "number": 0, "size": 1.5, "is_major": True, "note": None},
        {"note": "a\r\nb", "is_major": False, "size": 2, "number": "I", "name": "Magician"},
    ]
    assert check_rows(rows) == CsvItems(
        ("name", "number", "size", "is_major", "note"),
        (
            {"name": "Fool", "number": "0", "size": "1.5", "is_major": "true", "note": ""},
            {"name": "Magician", "number": "I", "size": "2", "is_major": "false", "note": "a\nb"},
        ),
    )


@pytest.mark.parametrize(
    ("rows", "row", "words"),
    [
        ([], 1, "at least one object"),
        ({"name": "x"}, 1, "at least one object"),
        (["x"], 1, "at least one object"),
        ([{}], 1, "at least one object"),
        ([{"name": "x"}, "y"], 2, "not an object"),
        ([{"name": "x"}, {"name": ["y"]}], 2, "not a list or object"),
        ([{"name": "x", "more": {"deep": 1}}], 1, "not a list or object"),
        ([{"name": "x", "suit": "y"}, {"name": "x"}], 2, "“suit” is missing"),
        ([{"name": "x"}, {"name": "x", "suit": "y"}], 2, "no column “suit”"),
        ([{"name": "x"}, {"name": "x", "name ": "y"}], 2, "same name"),
        ([{"name": "x", "Name ": "y"}], 1, "twice"),
        ([{"name": "x"}, {"name": " "}], 2, "is empty"),
        ([{"a.b": "x"}], 1, "letters, digits"),
        ([{"name": "x" * (MAX_CELL + 1)}], 1, "2,001"),
        ([{"name": "NUL \x00"}], 1, "control character"),
        ([{"name": "half an emoji \ud83d"}], 1, "control character"),
        ([{"size": 10**5000, "name": "x"}], 1, "too large a number"),
        ([{"name": "x"}] * (MAX_ROWS + 1), MAX_ROWS + 1, "10,000"),
    ],
)
def test_bad_json_rows_are_refused_with_the_row_and_the_reason(rows, row, words):
    problems = row_problems_of(rows)
    assert [number for number, _ in problems] == [row]
    assert words in problems[0][1]


def test_json_rows_may_hold_no_more_text_than_a_file():
    row = {f"c{n}": "x" * MAX_CELL for n in range(MAX_COLUMNS)}
    [(number, sentence)] = row_problems_of([row] * 100)
    assert number == MAX_BYTES // (MAX_CELL * MAX_COLUMNS) + 1
    assert "10 MiB" in sentence


# Writing

column_names = st.text("abcXYZ09_- éß名", min_size=1, max_size=12).map(str.strip).filter(bool)
cells = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t,;\"'=+"), max_size=30
).map(str.strip)


@st.composite
def tables(draw):
    columns = draw(st.lists(column_names, min_size=1, max_size=5, unique_by=str.casefold))
    row = st.fixed_dictionaries(dict.fromkeys(columns, cells)).filter(lambda row: any(row.values()))
    row = row.map(lambda row: {column: row[column] for column in columns})
    return CsvItems(tuple(columns), tuple(draw(st.lists(row, min_size=1, max_size=8))))


@settings(deadline=None)  # the machine may be busy
@given(tables())
def test_a_table_that_is_written_and_parsed_is_the_same(items):
    assert parse_csv(write_csv(items)) == items


@settings(deadline=None)  # the machine may be busy
@given(tables())
def test_a_table_that_goes_through_json_rows_is_the_same(items):
    assert check_rows(list(items.rows)) == items


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_a_guarded_file_has_no_cell_that_a_spreadsheet_would_run(start):
    items = CsvItems(("name", "text"), ({"name": f"{start}1+1", "text": f"a {start}1"},))
    written = list(csv.reader(io.StringIO(write_csv(items, guard_formulas=True).decode())))
    assert written[1] == [f"'{start}1+1", f"a {start}1"]
    assert parse_csv(write_csv(items)) == items


def test_a_guarded_file_is_the_plain_file_when_nothing_looks_like_a_formula():
    assert write_csv(CARDS, guard_formulas=True) == write_csv(CARDS)


def test_cells_are_written_under_their_columns_whatever_the_order_of_a_rows_keys():
    items = CsvItems(("value", "suit"), ({"suit": "Spades", "value": "Ace"},))
    assert parse_csv(write_csv(items)).rows == ({"value": "Ace", "suit": "Spades"},)
