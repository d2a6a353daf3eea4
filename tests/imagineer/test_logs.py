import logging

import pytest

from imagineer.logs import LineFormatter, current_job


def line(message, *args, **extra) -> str:
    record = logging.LogRecord("imagineer.test", logging.INFO, "file.py", 1, message, args, None)
    record.__dict__.update(extra)
    return LineFormatter().format(record)


def test_an_event_is_one_line_with_its_fields_and_its_job():
    token = current_job.set("12")
    try:
        said = line("finished", fields={"status": "completed", "pictures": 54})
    finally:
        current_job.reset(token)
    assert said.endswith("INFO imagineer.test job=12 finished status=completed pictures=54")


@pytest.mark.parametrize("name", ["two\nlines", "carriage\rreturn", "\x1b[31mred", "para\u2028graph"])
def test_a_hostile_name_cannot_forge_a_line(name):
    said = line("uploaded %s", name)
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Token s3cret-s3cret",
        "Authorization: Bearer s3cret-s3cret",
        "api_key=s3cret-s3cret",
        '{"password": "s3cret-s3cret"}',
        "postgres://user:s3cret-s3cret@host/name",
        "Cookie: sessionid=s3cret-s3cret",
    ],
)
def test_what_looks_like_a_credential_is_blacked_out(text):
    assert "s3cret" not in line("request with %s", text)


def test_a_traceback_stays_on_the_line_of_its_event():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "broke", (), (ValueError, error, error.__traceback__)
        )
    said = LineFormatter().format(record)
    assert len(said.splitlines()) == 1
    assert "ValueError" in said
