"""Targets of the dashboard's benchmark, and rows that compare measurements with them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from bench.harness.report import Row, format_number, make_row

EMPTY, DASHBOARD = "empty app", "dashboard"
Measured = dict[str, dict[str, list[float]]]
"""Measurements of each program, by short names."""


class Target(NamedTuple):
    """A row's name, its unit, and the largest acceptable median; None for a row without target."""

    name: str
    unit: str
    limit: float | None = None


FIRST: Final = Target("first frame over the empty app's", "x", 1.5)
KEY: Final = Target("key to painted frame above the empty app's, five live runs", "ms", 20)
TAIL: Final = Target("the same, 95th of 100", "ms", 50)
TARGETS: Final = {
    "redraw": Target("redraw of 5 curves of a million points", "ms", 10),
    "idle": Target("idle", "% of a core", 2),
    "board": Target("five live runs, board", "% of a core", 8),
    "compare": Target("five live runs, comparison", "% of a core", 8),
    "slower": Target("training slower with it open, a core left free", "%", 1),
    "board sent": Target("sent, five live runs, board with wall", "KB/s", 50),
    "compare sent": Target("sent, five live runs, comparison with wall", "KB/s", 50),
    "noise sent": Target("sent, noise that plays", "KB/s", 50),
    "memory": Target("memory with all of that", "MB", 150),
    "growth": Target("memory grown in an hour, after its first third", "MB", 8),
}
REPORTED: Final = {
    "first": Target("first frame", "ms"),
    "all": Target("newest runs shown", "ms"),
    "key": Target("key to painted frame", "ms"),
    "crowded": Target("training on all cores slower with it open", "%"),
}


def result_rows(found: Measured) -> list[Row]:
    """A row for each target, then the measurements of each program."""
    empty, ours = found[EMPTY], found[DASHBOARD]
    base = float(np.median(empty["key"]))
    above = [key - base for key in ours["key"]]
    tail = float(np.quantile(ours["key"], 0.95) - np.quantile(empty["key"], 0.95))
    rows = [
        target_row(FIRST, [one / other for one, other in zip(ours["first"], empty["first"], strict=True)]),
        target_row(KEY, above),
        target_row(TAIL, [tail]),
        *(target_row(wanted, ours[what]) for what, wanted in TARGETS.items() if what in ours),
    ]
    return rows + [
        make_row(f"{wanted.name}: {name}", wanted.unit, found[name][what])
        for what, wanted in REPORTED.items()
        for name in found
        if what in found[name]
    ]


def target_row(wanted: Target, values: Sequence[float]) -> Row:
    """A row with its target, and whether the median meets it."""
    if wanted.limit is None:
        return make_row(wanted.name, wanted.unit, values)
    met = "met" if float(np.median(values)) <= wanted.limit else "NOT MET"
    return make_row(wanted.name, wanted.unit, values, f"at most {format_number(wanted.limit)}: {met}")
