"""Follows every address that an answer names, and looks in every answer for what it must not hold."""

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import numpy
from PIL import Image as Pillow

NEAR = 10  # bits of 64 that the hashes of two copies of one picture differ by at most
HOST = "http://testserver"
NOT_FOLLOWED = ("/static/", "/auth/", "/admin/")
SOURCES = ("src", "srcset", "href", "action", "poster")


def perceptual_hash(picture: Pillow.Image) -> int:
    """pHash as of Marr and Zauner: signs of the 64 lowest frequencies of the grey picture against their median."""
    grey = numpy.asarray(picture.convert("L").resize((32, 32), Pillow.Resampling.BICUBIC), float)
    wave = numpy.arange(32)
    cosines = numpy.cos(numpy.pi * numpy.outer(numpy.arange(8), 2 * wave + 1) / 64)
    low = (cosines @ grey @ cosines.T).ravel()
    return sum(1 << place for place, value in enumerate(low) if value > numpy.median(low))


@dataclass
class Secret:
    """A picture of which the viewer may get nothing, or its blurred rendition alone."""

    name: str
    hash: int
    sha256: str
    files: set[bytes]  # everything that is made of it
    blurred: bytes | None  # what the viewer may get instead; None: nothing at all


@dataclass
class Crawl:
    client: object
    secrets: list[Secret]
    words: re.Pattern  # of prompts, labels and names that no answer may hold
    within: str = "/"  # only addresses that begin so are followed
    leaks: list[str] = field(default_factory=list)
    visited: dict[str, int] = field(default_factory=dict)  # address → status
    pictures: int = 0
    blurred: int = 0

    def run(self, *seeds: str) -> "Crawl":
        waiting = list(seeds)
        while waiting:
            address = waiting.pop()
            if address in self.visited:
                continue
            response = self.client.get(address)
            body = b"".join(response) if response.streaming else response.content
            self.visited[address] = response.status_code
            assert len(self.visited) < 5000, "The crawler goes round in circles."
            assert response.status_code < 500 or address == "/api/health", address
            self.look_at_text(
                address, "\n".join(f"{name}: {value}" for name, value in response.headers.items())
            )
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            named = self.look(address, kind, body)
            if "Location" in response.headers:
                named.append(response.headers["Location"])
            waiting += [found for found in (self.clean(address, name) for name in named) if found]
        return self

    def look(self, address: str, kind: str, body: bytes) -> list[str]:
        """Look at an answer; return the addresses that it names."""
        if kind.startswith("image/"):
            self.look_at_picture(address, body)
            return []
        if kind == "application/zip":
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                for name in archive.namelist():
                    self.look_at_text(f"{address} in it", name)
                    self.look_at_picture(f"{address} in it {name}", archive.read(name))
            return []
        text = body.decode("utf-8", "replace")
        self.look_at_text(address, text)
        if "json" in kind:
            return list(addresses_in(json.loads(text))) if text else []
        if kind == "text/html":
            reader = Reader()
            reader.feed(text)
            return reader.found
        return re.findall(rf"{HOST}[^\s<]*", text)

    def look_at_text(self, address: str, text: str) -> None:
        for found in {*self.words.findall(text), *self.words.findall(unescape(unquote(text)))}:
            self.leaks.append(f"{address} tells {found!r}")
        for secret in self.secrets:
            if secret.sha256[:12] in text:
                self.leaks.append(f"{address} tells the hash of {secret.name}")

    def look_at_picture(self, address: str, body: bytes) -> None:
        self.pictures += 1
        if any(body == secret.blurred for secret in self.secrets):
            self.blurred += 1
            return
        close = [secret.name for secret in self.secrets if body in secret.files]
        shown = perceptual_hash(Pillow.open(io.BytesIO(body)))
        close += [secret.name for secret in self.secrets if (shown ^ secret.hash).bit_count() <= NEAR]
        self.leaks += [f"{address} shows {name}" for name in close]

    def clean(self, base: str, address: str) -> str | None:
        """The address without host, fragment and way back, if it is one of those to follow."""
        try:
            parts = urlsplit(urljoin(f"{HOST}{base}", address))
        except ValueError:
            return None
        if f"{parts.scheme}://{parts.netloc}" != HOST:
            return None
        query = "&".join(part for part in parts.query.split("&") if not part.startswith("next=/"))
        query = "" if parts.path == "/age-confirmation" else query
        path = urlunsplit(("", "", parts.path or "/", query, ""))
        return path if path.startswith(self.within) and not path.startswith(NOT_FOLLOWED) else None


class Reader(HTMLParser):
    """Every value of an attribute that can be an address."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if not value:
                continue
            if "srcset" in name:
                self.found += [part.split()[0] for part in value.split(",") if part.split()]
            elif name in SOURCES or value.startswith(("/", "?", "http")):
                self.found.append(value)


def addresses_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from addresses_in(part)
    elif isinstance(value, str) and value.startswith(("/", HOST)) and "{" not in value:
        yield value
