"""What runs were judged by, side by side: a column a run, values with their intervals, winners marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from core.comparison.compare import Comparison
from core.comparison.formatting import metric_title, narrow_texts, short_text
from core.runs.results import GROUPS, METRICS
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import RunEvaluation
from tui.state.formatting import NOTHING

HEADLINE: Final[tuple[str, ...]] = (
    "balanced_pass_rate",
    "grey_pass_rate",
    "coverage",
    "bits_per_dim",
    "area_distance",
    "copies",
)
"""What is shown where there is not room for all, in this order."""
BEST: Final = "*"
MOST_LABEL: Final = 14
GAP: Final = 1
_ARROWS: Final = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """One column: the run's id, its name, how it is told apart, and what is known of it."""

    run_id: str
    name: str
    style: SeriesStyle
    evaluation: RunEvaluation


@dataclass(frozen=True, slots=True)
class _Column:
    """Texts from the head down, and the width that they need; `best` are the lines that are marked."""

    cells: list[str]
    best: frozenset[int]
    color: str

    @property
    def width(self) -> int:
        return max(min(cell_len(self.cells[0]), MOST_LABEL), *(cell_len(cell) + 1 for cell in self.cells[1:]))


def measured(comparison: Comparison, most: int | None = None) -> list[str]:
    """The names of what any run was judged by: all, group by group, or at most so many of the headlines."""
    found = {name for row in comparison.rows for name in row.scores}
    if most is None:
        return [name for names in GROUPS.values() for name in names if name in found]
    chosen = [name for name in HEADLINE if name in found] or [name for name in METRICS if name in found]
    return chosen[:most]


def evaluation_table(
    runs: Sequence[EvaluatedRun], comparison: Comparison, names: Sequence[str], width: int, *, first: int = 0
) -> Content:
    """A line for each number, its best values marked: of all that are not clearly worse than the best one.

    Args:
        runs: the columns, in their order.
        comparison: of these runs, each by itself.
        names: of the numbers, of `METRICS`.
        width: cells.
        first: the column to begin with, where not all have room.
    """
    for narrow in (False, True):
        heads, columns, reference = _columns(runs, comparison, names, narrow=narrow)
        head_width = max(map(cell_len, heads)) + 1
        shown, hidden = _fitting(columns, head_width, width, first)
        if len(shown) == len(columns):
            break
    if reference is not None and not hidden and _needed([*shown, reference]) + head_width <= width:
        shown = [*shown, reference]
    heads[0] = f"{hidden} more" if hidden else ""
    lines = []
    for at, head in enumerate(heads):
        parts: list[Content | str | tuple[str, str]] = [(f" {head}".ljust(head_width), "$text-muted")]
        for column in shown:
            parts += [" " * GAP, _cell(column, at)]
        lines.append(Content.assemble(*parts))
    return Content("\n").join(lines)


def _columns(
    runs: Sequence[EvaluatedRun], comparison: Comparison, names: Sequence[str], *, narrow: bool
) -> tuple[list[str], list[_Column], _Column | None]:
    """The heads of the lines, a column a run, and one of what real pictures score beside runs of one data set.

    Narrow columns leave out an interval that would make them wide.
    """
    rows = {row.members[0].info.directory.id: row for row in comparison.rows}
    heads, texts, best = ["", "judged at epoch"], [], []
    real = comparison.real_metrics(comparison.datasets[0]) if len(comparison.datasets) == 1 else {}
    for name in names:
        scores = [rows[run.run_id].scores.get(name) for run in runs]
        estimates = [*(score.estimate if score else None for score in scores), real.get(name)]
        head, line = metric_title(name), [short_text(name, estimate) for estimate in estimates]
        if narrow:
            head, line = narrow_texts(name, estimates)
        heads.append(head + _ARROWS[METRICS[name].better])
        texts.append(line)
        winners = {dataset: comparison.best(dataset, name) for dataset in comparison.datasets}
        best.append([rows[run.run_id].label in winners[rows[run.run_id].dataset] for run in runs])
    columns = [
        _Column(
            [f"{run.style.marker} {run.name}", _when(run.evaluation), *(line[place] for line in texts)],
            frozenset(at + 2 for at, marks in enumerate(best) if marks[place]),
            run.style.color,
        )
        for place, run in enumerate(runs)
    ]
    reference = _Column(["real data", "", *(line[-1] for line in texts)], frozenset(), "")
    return heads, columns, None if real.keys().isdisjoint(names) else reference


def _cell(column: _Column, at: int) -> tuple[str, str]:
    text, width = column.cells[at], column.width
    if at == 0:
        return _right(_cut(text, width), width), f"bold {column.color}"
    if at == 1 or text == NOTHING or not column.color:
        return _right(f"{text} ", width), "$text-muted"
    mark = at in column.best
    return _right(text + (BEST if mark else " "), width), "bold" if mark else ""


def _fitting(
    columns: Sequence[_Column], head_width: int, width: int, first: int
) -> tuple[list[_Column], int]:
    """As many columns from `first` on as have room, at least one, and how many have not."""
    first = min(max(0, first), max(0, len(columns) - 1))
    shown: list[_Column] = []
    for column in columns[first:]:
        if shown and head_width + _needed([*shown, column]) > width:
            break
        shown.append(column)
    return shown, len(columns) - len(shown)


def _needed(columns: Sequence[_Column]) -> int:
    return sum(column.width + GAP for column in columns)


def _when(evaluated: RunEvaluation) -> str:
    if evaluated.progress:
        return evaluated.progress
    if evaluated.evaluation is None:
        return "failed" if evaluated.problem else NOTHING
    return f"{evaluated.evaluation.epoch}{', old' if evaluated.stale else ''}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
