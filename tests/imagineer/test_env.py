import pytest

from imagineer.env import Environment


@pytest.fixture
def env(monkeypatch):
    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Environment()

    return read


@pytest.mark.parametrize(
    ("raw", "meant"), [("1", True), ("true", True), ("YES", True), ("0", False), ("off", False)]
)
def test_flags_are_read_as_people_write_them(env, raw, meant):
    reader = env(IMAGINEER_X=raw)
    assert reader.flag("IMAGINEER_X", not meant) is meant
    assert not reader.problems


def test_a_flag_that_is_neither_keeps_the_default_and_is_a_problem(env):
    reader = env(IMAGINEER_X="maybe")
    assert reader.flag("IMAGINEER_X", default=False) is False
    assert "IMAGINEER_X" in reader.problems[0]


@pytest.mark.parametrize("raw", ["many", "0", "11", "1.5", "-1"])
def test_a_number_outside_its_limits_keeps_the_default_and_says_the_limits(env, raw):
    reader = env(IMAGINEER_X=raw)
    assert reader.number("IMAGINEER_X", 5, least=1, most=10) == 5
    assert "from 1 to 10" in reader.problems[0]


@pytest.mark.parametrize(
    "raw", ["*", "https://*.example.org", "example.org", "https://example.org/path", "https://[bad"]
)
def test_an_origin_that_would_open_more_than_it_says_is_refused(env, raw):
    reader = env(IMAGINEER_X=f"https://good.example.org,{raw}")
    assert reader.origins("IMAGINEER_X") == ["https://good.example.org"]
    assert len(reader.problems) == 1


def test_a_database_address_that_cannot_be_used_is_a_problem_that_repeats_no_password(env):
    reader = env(IMAGINEER_X="mysql://user:hunter2@host/name")
    assert reader.database("IMAGINEER_X", "sqlite:////tmp/x.sqlite3")["ENGINE"].endswith("sqlite3")
    assert "hunter2" not in reader.problems[0]


def test_an_env_file_is_read_and_the_environment_wins(env, tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text("IMAGINEER_FROM_FILE=file\nIMAGINEER_FROM_BOTH=file\n")
    monkeypatch.setenv("IMAGINEER_FROM_BOTH", "environment")
    monkeypatch.setenv("IMAGINEER_FROM_FILE", "")
    monkeypatch.delenv("IMAGINEER_FROM_FILE")
    reader = Environment(file)
    assert (reader.text("IMAGINEER_FROM_FILE"), reader.text("IMAGINEER_FROM_BOTH")) == ("file", "environment")
