"""What a person looks at: which runs are shown, which one is under the cursor, which are marked."""

from collections.abc import Callable

from tui.live import RunSnapshot, Snapshot


class RunChoice:
    """A group of runs, or all, with a cursor and marks; they hold while runs come and go.

    `epoch` is the one whose pictures are shown; None is the latest. `row` is where the cursor is. The cursor
    follows its run, and stays where that run was when it is gone.

    Args:
        changed: called after each change that a person asked for, but not after `take`.
    """

    def __init__(self, changed: Callable[[], object] = lambda: None) -> None:
        self._changed = changed
        self.snapshot: Snapshot | None = None
        self.group: str | None = None
        self.newest_group = True
        self.epoch: int | None = None
        self.marked: set[str] = set()
        self.row = 0
        self._selected_id = ""

    @property
    def runs(self) -> tuple[RunSnapshot, ...]:
        """The runs shown: those of the group, or all."""
        return self.snapshot.of_group(self.group) if self.snapshot is not None else ()

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor; None where there are no runs."""
        return next((run for run in self.runs if run.id == self._selected_id), None)

    @property
    def chosen(self) -> tuple[RunSnapshot, ...]:
        """The marked ones of the runs shown, or all of them where none is marked."""
        return tuple(run for run in self.runs if run.id in self.marked) or self.runs

    def take(self, snapshot: Snapshot) -> None:
        """Look at the same in a newer snapshot."""
        self.snapshot = snapshot
        self.marked &= {run.id for run in snapshot.runs}
        self._settle()

    def show_group(self, group: str | None) -> None:
        """Show a group, or all runs for None, and stay there when newer groups come."""
        self.group, self.newest_group, self.epoch = group, False, None
        self._settle()
        self._changed()

    def follow_newest(self) -> None:
        """Show the newest group, and newer ones as they come."""
        self.newest_group, self.epoch = True, None
        self._settle()
        self._changed()

    def next_group(self) -> None:
        """From the newest group to older ones, then all runs, then the newest again."""
        groups = self.snapshot.groups if self.snapshot is not None else ()
        order: list[str | None] = [*reversed(groups), None]
        place = order.index(self.group) if self.group in order else -1
        self.show_group(order[(place + 1) % len(order)])
        self.newest_group = bool(groups) and self.group == groups[-1]

    def select(self, row: int) -> None:
        """Put the cursor on the run in this row, or on the nearest that there is."""
        if runs := self.runs:
            self._selected_id = runs[min(max(0, row), len(runs) - 1)].id
            self._settle()
            self._changed()

    def select_run(self, run_id: str) -> None:
        """Put the cursor on this run, if it is shown."""
        self._selected_id = run_id
        self._settle()
        self._changed()

    def mark(self, run_id: str) -> None:
        """Mark a run, or unmark it."""
        self.marked ^= {run_id}
        self._changed()

    def show_epoch(self, epoch: int | None) -> None:
        """Show the pictures of an epoch, or the latest for None."""
        self.epoch = epoch
        self._changed()

    def _settle(self) -> None:
        """Bring group and cursor in line with the runs that there are."""
        groups = self.snapshot.groups if self.snapshot is not None else ()
        if self.newest_group or (self.group is not None and self.group not in groups):
            self.group = groups[-1] if groups else None
        ids = [run.id for run in self.runs]
        if self._selected_id in ids:
            self.row = ids.index(self._selected_id)
        elif ids:
            self.row = min(self.row, len(ids) - 1)
            self._selected_id = ids[self.row]
