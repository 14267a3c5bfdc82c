"""Choice of the curves in a comparison: the selected run, whose curve is on top, and the runs that are hidden."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

SELECTED_MARK: Final = ">"
HIDDEN_MARK: Final = "-"


@dataclass(slots=True)
class CurveChoice:
    """The runs whose curves are drawn.

    Attributes:
        selected: id of the selected run; the first run if it is not among the compared ones.
        hidden: ids of runs that the user has hidden.
        alone: whether only the curve of the selected run is drawn.
    """

    selected: str = ""
    hidden: set[str] = field(default_factory=set)
    alone: bool = False

    def selected_index(self, run_ids: Sequence[str]) -> int:
        """The index of the selected run among at least one run."""
        return run_ids.index(self.selected) if self.selected in run_ids else 0

    def select(self, run_ids: Sequence[str], steps: int) -> None:
        """Select the run that many places further; after the last comes the first."""
        if run_ids:
            self.selected = run_ids[(self.selected_index(run_ids) + steps) % len(run_ids)]

    def is_drawn(self, run_ids: Sequence[str], run_id: str) -> bool:
        """Return whether the curve of a run is drawn."""
        if self.alone:
            return run_id == run_ids[self.selected_index(run_ids)]
        return run_id not in self.hidden

    def toggle_hidden(self, run_ids: Sequence[str]) -> bool:
        """Hide the selected run or show it again; return False, and change nothing, if no other would be left."""
        run_id = run_ids[self.selected_index(run_ids)]
        if run_id in self.hidden:
            self.hidden.discard(run_id)
        elif all(other in self.hidden or other == run_id for other in run_ids):
            return False
        else:
            self.hidden.add(run_id)
        self.alone = False
        return True

    def mark(self, run_ids: Sequence[str], run_id: str) -> str:
        """One cell that tells whether a run is selected or hidden."""
        if not self.is_drawn(run_ids, run_id):
            return HIDDEN_MARK
        return SELECTED_MARK if run_id == run_ids[self.selected_index(run_ids)] and len(run_ids) > 1 else " "

    def describe(self, run_ids: Sequence[str]) -> str:
        """The curves that are missing, in a few words; empty if all are drawn."""
        if self.alone and len(run_ids) > 1:
            return f"1 of {len(run_ids)} alone"
        hidden = sum(run_id in self.hidden for run_id in run_ids)
        return f"{hidden} hidden" if hidden else ""
