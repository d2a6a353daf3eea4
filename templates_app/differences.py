"""What changed between two versions of a template: texts word by word, columns, and rows. Pure: no database."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from templates_app.prompts import item_name

MAX_SHOWN_ROWS = 200  # of which each cell is compared word by word
MAX_WORDS = 400  # a longer text is shown before and after

TEXTS = ("base_prompt", "prompt_template", "style_suffix", "example_theme", "negative_prompt")
FACTS = ("width", "height", "rating", "lora_config")
LABELS = {"lora_config": "LoRAs"}

_WORDS = re.compile(r"\s+|[^\s]+")


@dataclass(frozen=True)
class Piece:
    """A stretch of text: ``kept``, ``removed`` or ``added``."""

    kind: str
    text: str


@dataclass(frozen=True)
class TextChange:
    name: str
    pieces: list[Piece]


@dataclass(frozen=True)
class RowChange:
    """A row by its positions from 1; None where it does not stand."""

    name: str
    was: int | None
    now: int | None
    is_moved: bool = False  # against its neighbours, not by what was put in before it
    cells: list[TextChange] = field(default_factory=list)

    @property
    def kind(self) -> str:
        if self.was is None:
            return "added"
        if self.now is None:
            return "removed"
        return "changed" if self.cells else "moved"


@dataclass(frozen=True)
class Difference:
    texts: list[TextChange]
    columns: list[str]  # sentences
    rows: list[RowChange]  # the first of them, in the order of the new version
    counts: dict[str, int]  # of all rows: added, removed, changed, moved

    @property
    def is_empty(self) -> bool:
        return not (self.texts or self.columns or any(self.counts.values()))

    @property
    def hidden_rows(self) -> int:
        return sum(self.counts.values()) - len(self.rows)


def compare_versions(old, new) -> Difference:
    """:param old, new: objects with the content of a ``BatchTemplateVersion``."""
    texts = [
        TextChange(name.replace("_", " "), compare_words(getattr(old, name), getattr(new, name)))
        for name in TEXTS
        if getattr(old, name) != getattr(new, name)
    ]
    texts += [
        TextChange(LABELS.get(name, name), _replaced(_fact(old, name), _fact(new, name)))
        for name in FACTS
        if getattr(old, name) != getattr(new, name)
    ]
    pairs, removed, added = _pair_rows(old, new)
    renamed = _renamed_columns(old, new, pairs)
    columns = {
        name: renamed.get(name, name) for name in old.columns if renamed.get(name, name) in new.columns
    }
    changes = [RowChange(_name(old, at), at + 1, None) for at in removed]
    changes += [RowChange(_name(new, at), None, at + 1) for at in added]
    moved = _moved(pairs)
    shown = 0
    for was, now in pairs:
        before, after = old.rows[was], new.rows[now]
        differing = [(a, b) for a, b in columns.items() if before[a] != after[b]]
        if not differing and was not in moved:
            continue
        shown += 1
        compare = compare_words if shown <= MAX_SHOWN_ROWS else _replaced
        cells = [TextChange(b, compare(before[a], after[b])) for a, b in differing]
        changes.append(RowChange(_name(new, now), was + 1, now + 1, was in moved, cells))
    changes.sort(key=lambda change: (change.now or change.was, change.now is None))
    counts = dict.fromkeys(("added", "removed", "changed", "moved"), 0)
    for change in changes:
        counts[change.kind] += 1
    return Difference(texts, _column_sentences(old, new, renamed), changes[:MAX_SHOWN_ROWS], counts)


def compare_words(old: str, new: str) -> list[Piece]:
    """The two texts as one, with what was taken out and what was put in."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(before), len(after)) > MAX_WORDS:
        return _replaced(old, new)
    pieces = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("kept", "".join(before[a:b])))
            continue
        pieces += _replaced("".join(before[a:b]), "".join(after[c:d]))
    return pieces


def _replaced(old: str, new: str) -> list[Piece]:
    return [piece for piece in (Piece("removed", old), Piece("added", new)) if piece.text]


def _fact(version, name: str) -> str:
    value = getattr(version, name)
    if name == "lora_config":
        return ", ".join(f"{use['lora']} × {use['weight']:g}" for use in value) or "none"
    return str(value) or "none"


def _name(version, at: int) -> str:
    return item_name(version.rows[at], version.columns)


def _pair_rows(old, new) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """(pairs of places in old and new, places in old alone, places in new alone).

    Rows belong together that would draw pictures of the same name, the first of a name with the first; what is
    left belongs together where it stands at the same place: a row whose name has changed.
    """
    places_of: dict[str, list[int]] = {}
    for now in reversed(range(len(new.rows))):
        places_of.setdefault(_name(new, now), []).append(now)
    pairs, removed = [], []
    for was in range(len(old.rows)):
        places = places_of.get(_name(old, was))
        if places:
            pairs.append((was, places.pop()))
        else:
            removed.append(was)
    added = {now for places in places_of.values() for now in places}
    same_place = [at for at in removed if at in added]
    pairs += [(at, at) for at in same_place]
    kept = set(same_place)
    return sorted(pairs), [at for at in removed if at not in kept], sorted(added - kept)


def _moved(pairs: list[tuple[int, int]]) -> set[int]:
    """Places in old of the rows that left their neighbours: all but a longest run that kept its order."""
    ends: list[int] = []  # ends[n]: the smallest end of an ascending run of n + 1
    lengths = []
    for _was, now in pairs:
        place = bisect_left(ends, now)
        ends[place : place + 1] = [now]
        lengths.append(place + 1)
    moved, wanted, last = set(), len(ends), None
    for (was, now), length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted and (last is None or now < last):
            wanted, last = wanted - 1, now
        else:
            moved.add(was)
    return moved


def _renamed_columns(old, new, pairs: list[tuple[int, int]]) -> dict[str, str]:
    """Columns that are gone, by the new one that holds the same cells."""
    gone = [name for name in old.columns if name not in new.columns]
    fresh = [name for name in new.columns if name not in old.columns]
    renamed = {}
    for name in gone:
        for candidate in fresh:
            if (
                candidate not in renamed.values()
                and pairs
                and all(old.rows[was][name] == new.rows[now][candidate] for was, now in pairs)
            ):
                renamed[name] = candidate
                break
    return renamed


def _column_sentences(old, new, renamed: dict[str, str]) -> list[str]:
    sentences = [f"The column “{name}” is called “{renamed[name]}” now." for name in renamed]
    sentences += [
        f"The column “{name}” is gone."
        for name in old.columns
        if name not in new.columns and name not in renamed
    ]
    sentences += [
        f"The column “{name}” is new."
        for name in new.columns
        if name not in old.columns and name not in renamed.values()
    ]
    before = [renamed.get(name, name) for name in old.columns if renamed.get(name, name) in new.columns]
    if before != [name for name in new.columns if name in before]:
        sentences.append(f"The columns stand in another order: {', '.join(new.columns)}.")
    return sentences
