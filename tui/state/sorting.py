"""In which order runs are listed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.runs.status import State
from tui.state.formatting import heldout_loss, recent_loss
from tui.state.snapshot import RunSnapshot


class SortKey(NamedTuple):
    """Something that runs are sorted by.

    `value` is None for a run that has none, which then comes last in either direction. `descending` is the
    direction that one usually wants.
    """

    name: str
    value: Callable[[RunSnapshot], float | None] | None
    descending: bool = False


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_STATE_ORDER: Final = (
    *(State.RUNNING, State.STOPPING, State.STARTING, State.QUEUED),
    *(State.FAILED, State.CRASHED, State.STOPPED, State.FINISHED),
)

AGE: Final = SortKey("age", None)
SORT_KEYS: Final = (
    SortKey("loss", lambda run: _finite(recent_loss(run))),
    SortKey("held-out", lambda run: _finite(heldout_loss(run))),
    SortKey("state", lambda run: float(_STATE_ORDER.index(run.state))),
    SortKey("speed", lambda run: run.status.images_per_second or None, descending=True),
    SortKey("pass rate", lambda run: run.pass_rate, descending=True),
)


@dataclass(frozen=True, slots=True)
class SortOrder:
    """A sort key and a direction; `changes` says whether runs can change places while they train."""

    key: SortKey = AGE
    descending: bool = False

    @property
    def changes_while_training(self) -> bool:
        return self.key is not AGE

    @property
    def text(self) -> str:
        """What the header says; empty for the usual order."""
        if self.key is AGE:
            return "newest first" if self.descending else ""
        return f"by {self.key.name} {'▼' if self.descending else '▲'}"

    def next(self) -> "SortOrder":
        """The next key, in its usual direction; oldest first and newest first are two of them."""
        cycle = [SortOrder(), SortOrder(AGE, True), *(SortOrder(key, key.descending) for key in SORT_KEYS)]
        at = next(place for place, order in enumerate(cycle) if order.key is self.key)
        at += self == cycle[1]
        return cycle[(at + 1) % len(cycle)]

    def reversed(self) -> "SortOrder":
        return SortOrder(self.key, not self.descending)


class Sorter:
    """Sorts runs again and again; what a run is sorted by is worked out once for each of its versions."""

    def __init__(self) -> None:
        self._order = SortOrder()
        self._values: dict[str, tuple[int, float | None]] = {}

    def sort(self, runs: list[RunSnapshot], order: SortOrder) -> list[RunSnapshot]:
        """The runs in an order; those that are equal stay as they came.

        Args:
            runs: oldest first.
            order: the order.
        """
        if order.key is AGE:
            return runs[::-1] if order.descending else list(runs)
        if order.key is not self._order.key:
            self._values = {}
        self._order = order
        known = [(self._value(run, order.key), run) for run in runs]
        found = [(value, run) for value, run in known if value is not None]
        found.sort(key=lambda entry: entry[0], reverse=order.descending)
        return [run for _, run in found] + [run for value, run in known if value is None]

    def _value(self, run: RunSnapshot, key: SortKey) -> float | None:
        kept = self._values.get(run.id)
        if kept is None or kept[0] != run.version:
            kept = self._values[run.id] = (run.version, key.value(run) if key.value else None)
        return kept[1]
