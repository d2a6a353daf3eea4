"""Reading the environment without letting one wrong value stop the explanation of the others.

Every reader returns its default when a value cannot be used and remembers a sentence about it;
``imagineer.checks`` turns those sentences into system checks, so that ``manage.py check`` and every
start of the program name each wrong setting at once.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import environ

TRUE = {"1", "true", "yes", "on"}
FALSE = {"", "0", "false", "no", "off"}


class Environment:
    def __init__(self, env_file: Path | None = None):
        self.problems: list[str] = []
        if env_file and env_file.is_file():
            environ.Env.read_env(env_file)
        self._env = environ.Env()

    def text(self, name: str, default: str = "") -> str:
        return self._env.str(name, default).strip()

    def words(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """A comma-separated list; blanks are dropped."""
        raw = self._env.str(name, None)
        return list(default) if raw is None else [word.strip() for word in raw.split(",") if word.strip()]

    def flag(self, name: str, default: bool = False) -> bool:
        raw = self._env.str(name, None)
        if raw is None:
            return default
        if raw.strip().lower() in TRUE | FALSE:
            return raw.strip().lower() in TRUE
        self._refuse(name, raw, "write 1 or 0")
        return default

    def number(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        raw = self.text(name)
        if not raw:
            return default
        try:
            value = int(raw)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            self._refuse(name, raw, f"write a whole number from {least} to {most}")
            return default
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        raw = self.text(name, default)
        if raw in choices:
            return raw
        self._refuse(name, raw, f"write one of {', '.join(choices)}")
        return default

    def address_prefix(self, name: str) -> str:
        """The beginning of addresses on this host, such as ``/_media``, without a slash at its end."""
        prefix = self.text(name).rstrip("/")
        if not prefix or re.fullmatch(r"(/[\w.-]+)+", prefix, re.ASCII):
            return prefix
        self._refuse(name, prefix, "write the internal location of your proxy, such as /_media")
        return ""

    def origin(self, name: str) -> str:
        """One exact origin (scheme, host and port), without the slash that people write at its end; or nothing."""
        raw = self.text(name).rstrip("/")
        if not raw or _is_origin(raw):
            return raw
        self._refuse(name, raw, "write an address such as https://gallery.example.org, without a path")
        return ""

    def origins(self, name: str) -> list[str]:
        """Exact origins: a wildcard or a path is refused, so nothing is opened by mistake."""
        good = []
        for word in self.words(name):
            if _is_origin(word):
                good.append(word)
            else:
                self._refuse(
                    name, word, "write exact origins such as https://example.org, separated by commas"
                )
        return good

    def database(self, name: str, default: str) -> dict:
        raw = self.text(name, default)
        try:
            database = environ.Env.db_url_config(raw)
        except (ValueError, KeyError, environ.ImproperlyConfigured):
            database = None
        if not database or not database.get("ENGINE", "").endswith(("sqlite3", "postgresql")):
            # the value may hold a password, so it is not repeated
            self._refuse(
                name, "…", "write sqlite:////path/to/file or postgres://user:password@host:5432/name"
            )
            return environ.Env.db_url_config(default)
        return database

    def _refuse(self, name: str, value: str, remedy: str) -> None:
        self.problems.append(f"{name} is {value!r}, which cannot be used: {remedy}.")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        beyond = parts.path or parts.query or parts.fragment or parts.username
        return bool(parts.scheme in {"http", "https"} and parts.hostname and "*" not in text and not beyond)
    except ValueError:
        return False
