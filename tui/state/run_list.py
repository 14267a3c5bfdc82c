"""The list of runs: grouped, filtered and sorted, and updated only for runs that change."""

from collections.abc import Callable, Mapping
from typing import Final

from rich.cells import cell_len

from core.config import DataConfig
from core.files.sanitize import sanitize
from tui.state.formatting import run_labels
from tui.state.run_totals import RunTotals
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.sorting import Sorter, SortOrder

GROUPINGS: Final[Mapping[str, Callable[[RunSnapshot], str]]] = {
    "start": lambda run: run.group,
    "recipe": lambda run: run.file.config.recipe,
    "dataset": lambda run: run.dataset,
    "schedule": lambda run: run.label,
}
"""The groupings of runs: queued together, or with one property in common."""


MINUTE_LENGTH: Final = len("2026-11-24T10:15")


class RunList:
    """The listed runs.

    Attributes:
        grouping: one of `GROUPINGS`.
        group: one of `groups`; None shows all runs.
        filter_text: words that must all occur in a run's id, label, dataset, state, group or recipe; a filter looks at
            the runs of all groups.
        runs: the listed runs, in `order`.
        colour_index: the index of each listed run by age, by id.
        rows: the index of each listed run in `runs`, by id.
        names: the label of each run in the group, or of all runs while there is a filter, by id.
        name_width: the width of the longest label in cells.
        group_size: the number of runs in the group; of all runs while there is a filter.
        has_several_starts: whether the listed runs were queued together at more than one time.
        shows_seconds: whether two of these times are within the same minute.
        has_evaluations: whether any listed run has a pass rate.
        revision: the number of times that the list was rebuilt, filtered or sorted.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.grouping = "start"
        self.group: str | None = None
        self.filter_text = ""
        self.order = SortOrder()
        self.groups: tuple[str, ...] = ()
        self.runs: tuple[RunSnapshot, ...] = ()
        self.colour_index: dict[str, int] = {}
        self.rows: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.name_width = 0
        self.group_size = 0
        self.has_several_starts = False
        self.shows_seconds = False
        self.has_evaluations = False
        self.revision = 0
        self.totals = RunTotals()
        self._group_runs: dict[str, RunSnapshot] = {}
        self._sorter = Sorter()
        self._search_texts: dict[str, str] = {}

    @property
    def title(self) -> str:
        """A title for the listed runs: the filter that they match, or the name of their group."""
        if self.filter_text:
            return f"/{sanitize(self.filter_text)}: {len(self.runs):,} of {self.group_size:,}"
        if self.group is None and len(self.groups) > 1:
            return "all runs"
        if self.group is not None and self.grouping == "dataset":
            return f"dataset {sanitize(DataConfig(dataset=self.group).title)}"
        if self.group is not None and self.grouping != "start":
            return f"{self.grouping} {sanitize(self.group)}"
        return ", ".join(self.totals.recipes[:2])

    def update(self, snapshot: Snapshot) -> bool:
        """Take over a newer snapshot; return whether its set of runs differs, which requires a `rebuild`."""
        before, self.snapshot = self.snapshot, snapshot
        if len(before.runs) != len(snapshot.runs):
            return True
        changed = [(old, new) for old, new in zip(before.runs, snapshot.runs, strict=True) if old is not new]
        if any(old.id != new.id or old.file is not new.file for old, new in changed):
            return True
        self._apply_progress([(old, new) for old, new in changed if old.id in self._group_runs])
        return False

    def find_groups(self) -> None:
        """Update `groups` to the snapshot and the grouping."""
        key = GROUPINGS[self.grouping]
        self.groups = tuple(dict.fromkeys(key(run) for run in self.snapshot.runs))

    def rebuild(self) -> None:
        """Recompute everything after a change of the grouping, the group or the set of runs."""
        key = GROUPINGS[self.grouping]
        whole = self.group is None or bool(self.filter_text.split())
        runs = [run for run in self.snapshot.runs if whole or key(run) == self.group]
        self._group_runs = {run.id: run for run in runs}
        self.group_size = len(runs)
        self.names = run_labels(runs)
        self.name_width = max(map(cell_len, self.names.values()), default=0)
        self._search_texts = {}
        self.apply_filter()

    def filter(self, text: str) -> None:
        """Show the runs that match a text, or all of the group if it is empty."""
        was_filtered = bool(self.filter_text.split())
        self.filter_text = text
        if bool(text.split()) is was_filtered:
            self.apply_filter()
        else:
            self.rebuild()

    def apply_filter(self) -> None:
        """Find the runs that match the filter, and sort them."""
        words = self.filter_text.lower().split()
        runs = [run for run in self._group_runs.values() if not words or self._matches(run, words)]
        self.colour_index = {run.id: index for index, run in enumerate(runs)}
        self.runs = tuple(self._sorter.sort(runs, self.order))
        self.rows = {run.id: row for row, run in enumerate(self.runs)}
        starts = {run.group: run.file.created for run in reversed(runs)}
        self.has_several_starts = len(starts) > 1
        self.shows_seconds = len({created[:MINUTE_LENGTH] for created in starts.values()}) < len(starts)
        self.has_evaluations = any(run.pass_rate is not None for run in runs)
        self.revision += 1
        self.totals = RunTotals.from_runs(runs)

    def _apply_progress(self, changed: list[tuple[RunSnapshot, RunSnapshot]]) -> None:
        """Replace the snapshots of runs in the group; filter and sort again only if the changes may affect that."""
        if not changed:
            return
        state_changed = False
        for old, new in changed:
            self._group_runs[new.id] = new
            if old.pass_rate != new.pass_rate:
                self.has_evaluations = True
            if old.state is not new.state:
                self._search_texts.pop(new.id, None)
                state_changed = True
        if (state_changed and self.filter_text) or self.order.changes_while_training:
            self.apply_filter()
            return
        runs = list(self.runs)
        listed = [new for _, new in changed if new.id in self.rows]
        for run in listed:
            runs[self.rows[run.id]] = run
        self.runs = tuple(runs)
        if state_changed or any(run.state.is_ended for run in listed):
            self.totals = RunTotals.from_runs(runs)
        else:
            self.totals = self.totals.with_progress(self._group_runs)

    def _matches(self, run: RunSnapshot, words: list[str]) -> bool:
        text = self._search_texts.get(run.id)
        if text is None:
            parts = (run.id, self.names[run.id], run.dataset, run.state, run.group, run.file.config.recipe)
            text = self._search_texts[run.id] = sanitize("\n".join(parts)).lower()
        return all(word in text for word in words)
