"""What a person looks at: which runs are shown, which one is under the cursor, which are marked."""

from collections.abc import Callable, Mapping
from typing import Final

from core.runs.status import State
from tui.state.run_list import GROUPINGS, RunList
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.sorting import SortOrder

MAX_UNMARKED: Final = 20
"""The most runs that are drawn as curves or compared without having been marked."""


class RunSelection:
    """A group of runs, or all, with a cursor and marks; they hold while runs come and go.

    `epoch` is the one whose pictures are shown; None is the latest. `row` is where the cursor is. The cursor
    follows its run, and stays where that run was when it is gone; while `following`, it goes to the newest
    run that trains.

    Args:
        changed: called after each change that a person asked for, but not after `take`.
    """

    def __init__(self, changed: Callable[[], object] = lambda: None) -> None:
        self._on_change = changed
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
        """The runs shown, in the order shown."""
        return self.run_list.runs

    @property
    def group(self) -> str | None:
        """The group shown; None is all."""
        return self.run_list.group

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups, the one whose oldest run is newest last."""
        return self.run_list.groups

    @property
    def colour_index(self) -> Mapping[str, int]:
        """The place of each run shown by age, by id: its number and its colour, in whatever order it is shown."""
        return self.run_list.colour_index

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor; None where there are no runs."""
        row = self.run_list.rows.get(self._selected_id)
        return self.runs[row] if row is not None else None

    @property
    def visible_page(self) -> tuple[RunSnapshot, ...]:
        """All runs shown, or where they are very many, a page of them with the selected one."""
        if len(self.runs) <= MAX_UNMARKED:
            return self.runs
        first = self.row // MAX_UNMARKED * MAX_UNMARKED
        return self.runs[first : first + MAX_UNMARKED]

    @property
    def compared(self) -> tuple[RunSnapshot, ...]:
        """The marked ones of the runs shown, or where none is marked all of them, or a page of very many."""
        marked = [run_id for run_id in self.marked if run_id in self.run_list.rows]
        if not marked:
            return self.visible_page
        return tuple(self.runs[row] for row in sorted(self.run_list.rows[run_id] for run_id in marked))

    def update(self, snapshot: Snapshot) -> None:
        """Look at the same in a newer snapshot."""
        self.snapshot = snapshot
        if self.follows_newest_run and self._had_unread:
            # Older runs have come before the one that happened to be read first.
            self._selected_id, self.row = "", 0
        self._had_unread = snapshot.unread > 0
        if self.run_list.update(snapshot):
            self.marked &= {run.id for run in snapshot.runs}
            self._update_run_list()
        self._update_cursor()

    def show_group(self, group: str | None, grouping: str = "start") -> None:
        """Show a group, or all runs for None, and stay there when newer groups come."""
        self.run_list.grouping, self.run_list.group = grouping, group
        self.follows_newest_group, self.epoch = False, None
        self._rebuild()

    def follow_newest(self) -> None:
        """Show the newest group, and newer ones as they come; the cursor goes to the newest run that trains."""
        self.run_list.grouping, self.follows_newest_group, self.epoch, self.follows_newest_run = (
            "start",
            True,
            None,
            True,
        )
        self._rebuild()

    def next_group(self) -> None:
        """From the newest group to older ones, then all runs, then the newest again."""
        order: list[str | None] = [*reversed(self.groups), None]
        place = order.index(self.group) if self.group in order else -1
        group = order[(place + 1) % len(order)]
        self.show_group(group, self.run_list.grouping)
        self.follows_newest_group = (
            self.run_list.grouping == "start" and group is not None and place == len(order) - 1
        )

    def next_grouping(self) -> None:
        """Put runs into groups by something else, and show the group of the selected run."""
        names = list(GROUPINGS)
        grouping = names[(names.index(self.run_list.grouping) + 1) % len(names)]
        run = self.selected
        self.show_group(GROUPINGS[grouping](run) if run is not None else None, grouping)

    def filter(self, words: str) -> None:
        """Show the runs of the group in which all of these words occur."""
        if words != self.run_list.filter_text:
            self.run_list.filter_text = words
            self._apply_filter()

    def sort(self, order: SortOrder) -> None:
        """Show the runs in another order."""
        self.run_list.order = order
        self._apply_filter()

    def select(self, row: int) -> None:
        """Put the cursor on the run in this row, or on the nearest that there is."""
        if runs := self.runs:
            self.select_run(runs[min(max(0, row), len(runs) - 1)].id)

    def select_index(self, place: int) -> None:
        """Put the cursor on the run of this place by age, or on the youngest."""
        if self.colour_index:
            wanted = min(place, len(self.colour_index) - 1)
            self.select_run(next(run_id for run_id, at in self.colour_index.items() if at == wanted))

    def select_run(self, run_id: str) -> None:
        """Put the cursor on this run, if it is shown."""
        self._selected_id, self.follows_newest_run = run_id, False
        self._update_cursor()
        self._on_change()

    def toggle_mark(self, run_id: str) -> None:
        """Mark a run, or unmark it."""
        self.marked ^= {run_id}
        self._on_change()

    def show_epoch(self, epoch: int | None) -> None:
        """Show the pictures of an epoch, or the latest for None."""
        self.epoch = epoch
        self._on_change()

    def _rebuild(self) -> None:
        self._update_run_list()
        self._update_cursor()
        self._on_change()

    def _apply_filter(self) -> None:
        self.run_list.apply_filter()
        self._update_cursor()
        self._on_change()

    def _update_run_list(self) -> None:
        """Bring the groups in line with the runs that there are, and list those of the group."""
        self.run_list.find_groups()
        groups, group = self.groups, self.group
        if self.follows_newest_group or (group is not None and group not in groups):
            self.run_list.group = groups[-1] if groups else None
        self.run_list.rebuild()

    def _update_cursor(self) -> None:
        """Bring the cursor in line with the runs that are shown."""
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
