"""The user's selection: the runs shown, the run under the cursor, and the marked runs."""

from collections.abc import Callable, Mapping
from typing import Final

from core.runs.status import State
from tui.state.run_list import GROUPINGS, RunList
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.sorting import SortOrder

MAX_UNMARKED: Final = 20
"""The maximum number of runs that are drawn as curves or compared without being marked."""


class RunSelection:
    """One group of runs, or all runs, with a cursor and marks that persist while runs are added and deleted.

    The cursor follows its run, and stays in its row if the run is deleted. While `follows_newest_run` is set, it moves
    to the newest run that trains.

    Attributes:
        epoch: the epoch whose images are shown; None is the latest.
        row: the cursor's row.

    Args:
        on_change: called after each change by the user, but not after `update`.
    """

    def __init__(self, on_change: Callable[[], object] = lambda: None) -> None:
        self._on_change = on_change
        self.snapshot: Snapshot | None = None
        self.run_list = RunList()
        self.follows_newest_group = True
        self.follows_newest_run = True
        self.epoch: int | None = None
        self.marked: set[str] = set()
        self.row = 0
        self._selected_id = ""
        self._had_unread = False

    @property
    def runs(self) -> tuple[RunSnapshot, ...]:
        """The runs shown, in their order."""
        return self.run_list.runs

    @property
    def is_empty(self) -> bool:
        """True if the runs folder has been read and has no runs; a list without a match is not empty."""
        return self.snapshot is not None and not self.snapshot.runs and not self.snapshot.unread

    @property
    def group(self) -> str | None:
        """The group shown; None is all."""
        return self.run_list.group

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups, in the order of their oldest runs."""
        return self.run_list.groups

    @property
    def colour_index(self) -> Mapping[str, int]:
        """The index of each run shown by age, by id, which gives its digit and colour in every order."""
        return self.run_list.colour_index

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor; None if there are no runs."""
        row = self.run_list.rows.get(self._selected_id)
        return self.runs[row] if row is not None else None

    @property
    def visible_page(self) -> tuple[RunSnapshot, ...]:
        """All runs shown, or the page of `MAX_UNMARKED` that contains the cursor if there are more."""
        if len(self.runs) <= MAX_UNMARKED:
            return self.runs
        first = self.row // MAX_UNMARKED * MAX_UNMARKED
        return self.runs[first : first + MAX_UNMARKED]

    @property
    def compared(self) -> tuple[RunSnapshot, ...]:
        """The marked runs among those shown; `visible_page` if none is marked."""
        marked = [run_id for run_id in self.marked if run_id in self.run_list.rows]
        if not marked:
            return self.visible_page
        return tuple(self.runs[row] for row in sorted(self.run_list.rows[run_id] for run_id in marked))

    @property
    def swept(self) -> tuple[RunSnapshot, ...]:
        """The runs that a sweep pools: the marked ones, or else all runs shown, however many they are."""
        return self.compared if self.marked & self.run_list.rows.keys() else tuple(self.runs)

    def update(self, snapshot: Snapshot) -> None:
        """Take over a newer snapshot; the selection stays."""
        self.snapshot = snapshot
        if self.follows_newest_run and self._had_unread:
            # Older runs were read since, and sort before the run that was read first.
            self._selected_id, self.row = "", 0
        self._had_unread = snapshot.unread > 0
        if self.run_list.update(snapshot):
            self.marked &= {run.id for run in snapshot.runs}
            self._update_run_list()
        self._update_cursor()

    def show_group(self, group: str | None, grouping: str = "start") -> None:
        """Show a group, or all runs for None, and keep it when newer groups appear."""
        self.run_list.grouping, self.run_list.group = grouping, group
        self.follows_newest_group, self.epoch = False, None
        self._rebuild()

    def follow_newest(self) -> None:
        """Show the newest group from now on, with the cursor on the newest run that trains."""
        self.run_list.grouping, self.follows_newest_group, self.epoch, self.follows_newest_run = (
            "start",
            True,
            None,
            True,
        )
        self._rebuild()

    def next_group(self) -> None:
        """Go on to the next older group, then to all runs, then to the newest group again."""
        order: list[str | None] = [*reversed(self.groups), None]
        index = order.index(self.group) if self.group in order else -1
        group = order[(index + 1) % len(order)]
        self.show_group(group, self.run_list.grouping)
        self.follows_newest_group = (
            self.run_list.grouping == "start" and group is not None and index == len(order) - 1
        )

    def toggle_all(self) -> None:
        """Show all runs, or the group of the selected run again."""
        run, grouping = self.selected, self.run_list.grouping
        self.follows_newest_run = False
        if self.group is not None:
            self.show_group(None, grouping)
        elif run is not None:
            self.show_group(GROUPINGS[grouping](run), grouping)

    def next_grouping(self) -> None:
        """Group runs by the next of `GROUPINGS`, and show the group of the selected run."""
        names = list(GROUPINGS)
        grouping = names[(names.index(self.run_list.grouping) + 1) % len(names)]
        run = self.selected
        self.show_group(GROUPINGS[grouping](run) if run is not None else None, grouping)

    def filter(self, words: str) -> None:
        """Show the runs of all groups that contain all of these words; without words those of the group."""
        if words != self.run_list.filter_text:
            self.run_list.filter(words)
            self._update_cursor()
            self._on_change()

    def sort(self, order: SortOrder) -> None:
        """Show the runs in another order."""
        self.run_list.order = order
        self.run_list.apply_filter()
        self._update_cursor()
        self._on_change()

    def select(self, row: int) -> None:
        """Move the cursor to a row, or to the nearest one that exists."""
        if runs := self.runs:
            self.select_run(runs[min(max(0, row), len(runs) - 1)].id)

    def select_index(self, index: int) -> None:
        """Move the cursor to the run with this index by age, or to the newest run."""
        if self.colour_index:
            wanted = min(index, len(self.colour_index) - 1)
            self.select_run(next(run_id for run_id, found in self.colour_index.items() if found == wanted))

    def select_run(self, run_id: str) -> None:
        """Move the cursor to this run, if it is shown."""
        self._selected_id, self.follows_newest_run = run_id, False
        self._update_cursor()
        self._on_change()

    def pin(self) -> None:
        """Keep the cursor on its run from now on, because the user acts on it."""
        self.follows_newest_run = False

    def toggle_mark(self, run_id: str) -> None:
        """Mark a run, or remove its mark."""
        self.marked ^= {run_id}
        self._on_change()

    def show_epoch(self, epoch: int | None) -> None:
        """Show the images of an epoch, or of the latest for None."""
        self.epoch = epoch
        self._on_change()

    def _rebuild(self) -> None:
        self._update_run_list()
        self._update_cursor()
        self._on_change()

    def _update_run_list(self) -> None:
        """Update the groups to the snapshot, and list the runs of the group shown."""
        self.run_list.find_groups()
        groups, group = self.groups, self.group
        if self.follows_newest_group or (group is not None and group not in groups):
            self.run_list.group = groups[-1] if groups else None
        self.run_list.rebuild()

    def _update_cursor(self) -> None:
        """Move the cursor to its run, to the newest run that trains, or to the nearest row."""
        if self.follows_newest_run:
            pending = self.run_list.totals.pending
            live = [run for run in pending if run.state.is_live]
            if live:
                running = [run for run in live if run.state is State.RUNNING]
                self._selected_id = max(running or live, key=lambda run: self.colour_index[run.id]).id
        row = self.run_list.rows.get(self._selected_id)
        if row is not None:
            self.row = row
        elif self.runs:
            self.row = min(self.row, len(self.runs) - 1)
            self._selected_id = self.runs[self.row].id
