"""Which runs are listed: those of a group, whose words match, in an order. Work only for runs that change."""

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
"""By what runs are put into groups: queued together, or alike in something."""


class RunList:
    """The runs listed.

    `grouping` is one of `GROUPINGS`, `group` one of its `groups` or None for all; `words` must each occur in
    what a run is called, trained on and by, or doing. `runs` are in `order`; `run_indices` are their places by age,
    by id, and `rows` their places on the list; `names` is what they are called, by id, `name_width` how many
    cells the longest name takes. `in_group` counts the runs without the filter, `listed` how often they were put
    in order.
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
        self.has_evaluations = False
        self.revision = 0
        self.totals = RunTotals()
        self._group_runs: dict[str, RunSnapshot] = {}
        self._sorter = Sorter()
        self._search_texts: dict[str, str] = {}

    @property
    def title(self) -> str:
        """What the runs shown are together: the words that they match, or what makes them a group."""
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
        """Look at a newer snapshot; whether it has other runs, so that `rebuild` is due."""
        before, self.snapshot = self.snapshot, snapshot
        if len(before.runs) != len(snapshot.runs):
            return True
        changed = [(old, new) for old, new in zip(before.runs, snapshot.runs, strict=True) if old is not new]
        if any(old.id != new.id or old.file is not new.file for old, new in changed):
            return True
        self._apply_progress([(old, new) for old, new in changed if old.id in self._group_runs])
        return False

    def find_groups(self) -> None:
        """Bring `groups` in line with the snapshot and the grouping."""
        key = GROUPINGS[self.grouping]
        self.groups = tuple(dict.fromkeys(key(run) for run in self.snapshot.runs))

    def rebuild(self) -> None:
        """Work out everything anew: after another grouping, group or set of runs."""
        key = GROUPINGS[self.grouping]
        runs = [run for run in self.snapshot.runs if self.group is None or key(run) == self.group]
        self._group_runs = {run.id: run for run in runs}
        self.group_size = len(runs)
        self.names = run_labels(runs)
        self.name_width = max(map(cell_len, self.names.values()), default=0)
        self._search_texts = {}
        self.apply_filter()

    def apply_filter(self) -> None:
        """Find the runs whose words match, and sort them."""
        wanted = self.filter_text.lower().split()
        runs = [run for run in self._group_runs.values() if not wanted or self._matches(run, wanted)]
        self.colour_index = {run.id: place for place, run in enumerate(runs)}
        self.runs = tuple(self._sorter.sort(runs, self.order))
        self.rows = {run.id: row for row, run in enumerate(self.runs)}
        self.has_several_starts = len({run.group for run in runs}) > 1
        self.has_evaluations = any(run.pass_rate is not None for run in runs)
        self.revision += 1
        self.totals = RunTotals.from_runs(runs)

    def _apply_progress(self, changed: list[tuple[RunSnapshot, RunSnapshot]]) -> None:
        """Some runs of the group went on."""
        if not changed:
            return
        moved = False
        for old, new in changed:
            self._group_runs[new.id] = new
            if old.pass_rate != new.pass_rate:
                self.has_evaluations = True
            if old.state is not new.state:
                self._search_texts.pop(new.id, None)
                moved = True
        if (moved and self.filter_text) or self.order.changes_while_training:
            self.apply_filter()
            return
        runs = list(self.runs)
        shown = [new for _, new in changed if new.id in self.rows]
        for run in shown:
            runs[self.rows[run.id]] = run
        self.runs = tuple(runs)
        if moved or any(run.state.is_ended for run in shown):
            self.totals = RunTotals.from_runs(runs)
        else:
            self.totals = self.totals.with_progress(self._group_runs)

    def _matches(self, run: RunSnapshot, wanted: list[str]) -> bool:
        text = self._search_texts.get(run.id)
        if text is None:
            parts = (run.id, self.names[run.id], run.dataset, run.state, run.group, run.file.config.recipe)
            text = self._search_texts[run.id] = sanitize("\n".join(parts)).lower()
        return all(word in text for word in wanted)
