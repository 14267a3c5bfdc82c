"""What to say when runs end, and whether that is worth a bell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.runs.status import State
from tui.state.formatting import number, pluralize, problem, recent_loss
from tui.state.snapshot import RunSnapshot, Snapshot

NOTIFIED_STATES: Final = (State.FINISHED, State.FAILED, State.CRASHED)
"""What a person has not brought about, and so may want to be called for."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say of runs that ended."""

    title: str
    text: str
    severity: Literal["information", "error"]


class RunEvents:
    """Knows which runs had not ended when it last looked."""

    def __init__(self) -> None:
        self._last_snapshot = Snapshot()

    def update(self, snapshot: Snapshot) -> list[Notice]:
        """What has ended since the last look, those of a kind together; no run that was seen for the first time."""
        before, self._last_snapshot = self._last_snapshot, snapshot
        known = {run.id: run.state for run in before.runs if not run.state.is_ended}
        if not known:
            return []
        news = [
            run
            for run in snapshot.runs
            if run.state in NOTIFIED_STATES and run.id in known and known[run.id] is not run.state
        ]
        kinds = ((State.FINISHED,), (State.FAILED, State.CRASHED))
        return [_notice(runs) for kind in kinds if (runs := [run for run in news if run.state in kind])]


def _notice(runs: Sequence[RunSnapshot]) -> Notice:
    first, done = runs[0], runs[0].state is State.FINISHED
    title = f"{pluralize(len(runs), 'run')} {'finished' if done else 'failed'}"
    if len(runs) == 1:
        title = f"{first.label} {first.state}"
        said = f"loss {number(recent_loss(first))}" if done else f"{problem(first)} - l: log"
    else:
        said = ", ".join(run.label for run in runs[:5]) + (" ..." if len(runs) > 5 else "")
    return Notice(title, said, "information" if done else "error")
