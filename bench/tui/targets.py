"""What is wanted of the dashboard, and whether it was met by what was measured."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from bench.harness.report import Row, number, row

EMPTY, DASHBOARD = "empty app", "dashboard"
Measured = dict[str, dict[str, list[float]]]
"""Of each program, what was measured of it, by short names."""


class Wanted(NamedTuple):
    """A line: what it is called, its unit, and the most that is wanted; None where it is only told."""

    name: str
    unit: str
    most: float | None = None


FIRST: Final = Wanted("first frame over the empty app's", "x", 1.5)
KEY: Final = Wanted("key to painted frame above the empty app's, five live runs", "ms", 20)
TAIL: Final = Wanted("the same, 95th of 100", "ms", 50)
LINES: Final = {
    "redraw": Wanted("redraw of 5 curves of a million points", "ms", 10),
    "idle": Wanted("idle", "% of a core", 2),
    "board": Wanted("five live runs, board", "% of a core", 8),
    "compare": Wanted("five live runs, comparison", "% of a core", 8),
    "slower": Wanted("training slower with it open, a core left free", "%", 1),
    "board sent": Wanted("sent, five live runs, board with wall", "KB/s", 50),
    "compare sent": Wanted("sent, five live runs, comparison with wall", "KB/s", 50),
    "noise sent": Wanted("sent, noise that plays", "KB/s", 50),
    "memory": Wanted("memory with all of that", "MB", 150),
    "growth": Wanted("memory grown in an hour, after its first third", "MB", 8),
}
TOLD: Final = {
    "first": Wanted("first frame", "ms"),
    "all": Wanted("newest runs shown", "ms"),
    "key": Wanted("key to painted frame", "ms"),
    "crowded": Wanted("training on all cores slower with it open", "%"),
}


def rows_of(found: Measured) -> list[Row]:
    """A line for each that is wanted, then what the two programs took by themselves."""
    empty, ours = found[EMPTY], found[DASHBOARD]
    base = float(np.median(empty["key"]))
    above = [key - base for key in ours["key"]]
    tail = float(np.quantile(ours["key"], 0.95) - np.quantile(empty["key"], 0.95))
    rows = [
        line(FIRST, [one / other for one, other in zip(ours["first"], empty["first"], strict=True)]),
        line(KEY, above),
        line(TAIL, [tail]),
        *(line(wanted, ours[what]) for what, wanted in LINES.items() if what in ours),
    ]
    return rows + [
        row(f"{wanted.name}: {name}", wanted.unit, found[name][what])
        for what, wanted in TOLD.items()
        for name in found
        if what in found[name]
    ]


def line(wanted: Wanted, values: Sequence[float]) -> Row:
    """A line with what was wanted, and whether its median is no more than that."""
    if wanted.most is None:
        return row(wanted.name, wanted.unit, values)
    met = "met" if float(np.median(values)) <= wanted.most else "NOT MET"
    return row(wanted.name, wanted.unit, values, f"at most {number(wanted.most)}: {met}")
