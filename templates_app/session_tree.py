"""A session's steps as the rows of a tree that is drawn flat: no nesting, whatever its depth. Pure functions.

The first child of a step goes on below it in the same lane; its other children are branches, one lane further in,
between the two. So a session without branches is one straight line, on a phone too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_LANE = 6  # deeper ones are drawn there
MAX_ROWS = 80


@dataclass(frozen=True)
class Row:
    step: int  # its id
    lane: int
    parent: int | None
    hidden_before: int = 0  # steps that are left out in front of it


def lay_out(
    parents: Mapping[int, int | None], *, current: int | None = None, most: int = MAX_ROWS
) -> list[Row]:
    """The rows of the tree, at most ``most`` of them.

    :param parents: parent of each step, by id, in the order in which the steps were taken.
    :param current: the step that is looked at: it, the way to it, what goes on from it and then the latest steps
        are what a large tree shows.
    """
    rows = _flatten(parents)
    if len(rows) <= most:
        return rows
    wanted = _most_wanted(parents, current, most)
    shown, hidden = [], 0
    for row in rows:
        if row.step in wanted:
            shown.append(Row(row.step, row.lane, row.parent, hidden))
            hidden = 0
        else:
            hidden += 1
    return shown


def _flatten(parents: Mapping[int, int | None]) -> list[Row]:
    children: dict[int | None, list[int]] = {}
    for step, parent in parents.items():
        children.setdefault(parent, []).append(step)
    rows = []
    # roots stand side by side; what is popped comes first
    waiting = [(step, 0) for step in reversed(children.get(None, []))]
    while waiting:
        step, lane = waiting.pop()
        rows.append(Row(step, min(lane, MAX_LANE), parents[step]))
        trunk, *branches = children.get(step, [None])
        if trunk is not None:
            waiting.append((trunk, lane))
        waiting += [(branch, lane + 1) for branch in reversed(branches)]
    return rows


def _most_wanted(parents: Mapping[int, int | None], current: int | None, most: int) -> set[int]:
    way: list[int] = []
    step = current
    while step is not None:
        way.append(step)
        step = parents[step]
    next_ones = [step for step, parent in parents.items() if parent == current]
    ranked: Sequence[int] = [*way[: most // 2], *next_ones[: most // 4], *reversed(parents)]
    return set(list(dict.fromkeys(ranked))[:most])
