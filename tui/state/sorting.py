"""Sort orders of the run list."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.runs.status import State
from tui.state.formatting import heldout_loss, recent_loss
from tui.state.snapshot import RunSnapshot


class SortKey(NamedTuple):
    """A property to sort runs by.

    `value` returns None for a run without the property, which then comes last in both directions. `descending` is the
    default direction.
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
    """A sort key and a direction."""

    key: SortKey = AGE
    descending: bool = False

    @property
    def changes_while_training(self) -> bool:
        """True if training runs can move within the order."""
        return self.key is not AGE

    @property
    def text(self) -> str:
        """The order's name for the header; empty for the default order."""
        if self.key is AGE:
            return "newest first" if self.descending else ""
        return f"by {self.key.name} {'▼' if self.descending else '▲'}"

    def next(self) -> "SortOrder":
        """The next key in its default direction; age is in the cycle twice, oldest first and newest first."""
        cycle = [SortOrder(), SortOrder(AGE, True), *(SortOrder(key, key.descending) for key in SORT_KEYS)]
        index = next(index for index, order in enumerate(cycle) if order.key is self.key)
        index += self == cycle[1]
        return cycle[(index + 1) % len(cycle)]

    def reversed(self) -> "SortOrder":
        return SortOrder(self.key, not self.descending)


class Sorter:
    """Sorts runs repeatedly, and computes a run's sort value once for each of its versions."""

    def __init__(self) -> None:
        self._order = SortOrder()
        self._values: dict[str, tuple[int, float | None]] = {}

    def sort(self, runs: list[RunSnapshot], order: SortOrder) -> list[RunSnapshot]:
        """Sort runs by an order; equal runs keep their relative order.

        Args:
            runs: the runs, oldest first.
            order: the order.
        """
        if order.key is AGE:
            return runs[::-1] if order.descending else list(runs)
        if order.key is not self._order.key:
            self._values = {}
        self._order = order
        pairs = [(self._value(run, order.key), run) for run in runs]
        known = [(value, run) for value, run in pairs if value is not None]
        known.sort(key=lambda pair: pair[0], reverse=order.descending)
        return [run for _, run in known] + [run for value, run in pairs if value is None]

    def _value(self, run: RunSnapshot, key: SortKey) -> float | None:
        cached = self._values.get(run.id)
        if cached is None or cached[0] != run.version:
            cached = self._values[run.id] = (run.version, key.value(run) if key.value else None)
        return cached[1]
