"""Notices about runs that ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.runs.status import State
from tui.state.formatting import number, pluralize, problem, recent_loss
from tui.state.snapshot import RunSnapshot, Snapshot

NOTIFIED_STATES: Final = (State.FINISHED, State.FAILED, State.CRASHED)
"""Ends that the user did not request, and so wants to be notified of."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice about runs that ended."""

    title: str
    text: str
    severity: Literal["information", "error"]


class RunEvents:
    """Detects which runs ended between two snapshots."""

    def __init__(self) -> None:
        self._last_snapshot = Snapshot()

    def update(self, snapshot: Snapshot) -> list[Notice]:
        """Return notices about runs that ended since the last call, one for successes and one for failures.

        A run that had already ended when it was first seen causes no notice.
        """
        before, self._last_snapshot = self._last_snapshot, snapshot
        pending = {run.id for run in before.runs if not run.state.is_ended}
        if not pending:
            return []
        ended = [run for run in snapshot.runs if run.state in NOTIFIED_STATES and run.id in pending]
        outcomes = ((State.FINISHED,), (State.FAILED, State.CRASHED))
        return [
            _notice(runs) for states in outcomes if (runs := [run for run in ended if run.state in states])
        ]


def _notice(runs: Sequence[RunSnapshot]) -> Notice:
    first, done = runs[0], runs[0].state is State.FINISHED
    title = f"{pluralize(len(runs), 'run')} {'finished' if done else 'failed'}"
    if len(runs) == 1:
        title = f"{first.label} {first.state}"
        text = f"loss {number(recent_loss(first))}" if done else f"{problem(first)} - l: log"
    else:
        text = ", ".join(run.label for run in runs[:5]) + (" ..." if len(runs) > 5 else "")
    return Notice(title, text, "information" if done else "error")
