"""Evaluations side by side: a column for each run, values with their intervals, the best ones marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual.content import Content

from core.comparison.compare import Comparison
from core.comparison.formatting import metric_title, narrow_texts, short_text
from core.runs.metric_definitions import GROUPS, better_direction
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import RunEvaluation
from tui.state.formatting import NOTHING, shorten

HEADLINE_METRICS: Final[tuple[str, ...]] = (
    "kid",
    "frechet",
    "balanced_pass_rate",
    "grey_pass_rate",
    "coverage",
    "bits_per_dim",
    "area_distance",
    "copies",
)
"""Metrics shown where not all fit, in this order."""
BEST_MARK: Final = "*"
MAX_LABEL: Final = 14
GAP: Final = 1
_ARROWS: Final = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A run and its evaluation, shown as one column."""

    run_id: str
    name: str
    style: SeriesStyle
    evaluation: RunEvaluation


@dataclass(frozen=True, slots=True)
class _Column:
    """Cells of a column from the heading down, and the `best` ones, which are marked."""

    cells: list[str]
    best: frozenset[int]
    color: str

    @property
    def width(self) -> int:
        return max(min(cell_len(self.cells[0]), MAX_LABEL), *(cell_len(cell) + 1 for cell in self.cells[1:]))


def metric_names(comparison: Comparison, *, headlines_only: bool = False) -> list[str]:
    """Return the metrics of any run: all, group by group, or only the headline metrics."""
    found = {name for row in comparison.rows for name in row.scores}
    every = [name for names in GROUPS.values() for name in names if name in found]
    if not headlines_only:
        return every
    chosen = [name for name in HEADLINE_METRICS if name in found]
    return chosen or every[: len(HEADLINE_METRICS)]


def evaluation_table(
    runs: Sequence[EvaluatedRun], comparison: Comparison, names: Sequence[str], width: int, *, first: int = 0
) -> Content:
    """Return a line for each metric, with all values marked that are not clearly worse than the best one.

    Args:
        runs: the columns, in their order.
        comparison: of these runs, each a row of its own.
        names: of the metrics, from `core.runs.METRICS`.
        width: cells.
        first: index of the first column shown where not all fit.
    """
    for narrow in (False, True):
        heads, columns, reference = _columns(runs, comparison, names, narrow=narrow)
        head_width = max(map(cell_len, heads)) + 1
        shown, hidden = _visible_columns(columns, head_width, width, first)
        if len(shown) == len(columns):
            break
    if reference is not None and not hidden and _total_width([*shown, reference]) + head_width <= width:
        shown = [*shown, reference]
    heads[0] = f"{hidden} more" if hidden else ""
    lines = []
    for index, head in enumerate(heads):
        parts: list[Content | str | tuple[str, str]] = [(f" {head}".ljust(head_width), "$text-muted")]
        for column in shown:
            parts += [" " * GAP, _cell(column, index)]
        lines.append(Content.assemble(*parts))
    return Content("\n").join(lines)


def _columns(
    runs: Sequence[EvaluatedRun], comparison: Comparison, names: Sequence[str], *, narrow: bool
) -> tuple[list[str], list[_Column], _Column | None]:
    """Return the heads of the lines, a column for each run, and one for real images if all runs are on one dataset.

    Narrow columns leave out an interval that would make them wide.
    """
    rows = {row.members[0].info.directory.id: row for row in comparison.rows}
    heads, texts, best = ["", "evaluated epoch"], [], []
    real_metrics = comparison.real_metrics(comparison.datasets[0]) if len(comparison.datasets) == 1 else {}
    measured = {name for row in comparison.rows for name in row.scores}
    for name in names:
        scores = [rows[run.run_id].scores.get(name) for run in runs]
        estimates = [*(score.estimate if score else None for score in scores), real_metrics.get(name)]
        head, line = metric_title(name), [short_text(name, estimate) for estimate in estimates]
        if narrow:
            head, line = narrow_texts(name, estimates)
        heads.append(head + _ARROWS[better_direction(name, measured)])
        texts.append(line)
        winners = {dataset: comparison.best(dataset, name) for dataset in comparison.datasets}
        best.append([rows[run.run_id].label in winners[rows[run.run_id].dataset] for run in runs])
    columns = [
        _Column(
            [f"{run.style.marker} {run.name}", _epoch_text(run.evaluation), *(line[index] for line in texts)],
            frozenset(row + 2 for row, marks in enumerate(best) if marks[index]),
            run.style.color,
        )
        for index, run in enumerate(runs)
    ]
    reference = _Column(["real data", "", *(line[-1] for line in texts)], frozenset(), "")
    return heads, columns, None if real_metrics.keys().isdisjoint(names) else reference


def _cell(column: _Column, index: int) -> tuple[str, str]:
    text, width = column.cells[index], column.width
    if index == 0:
        return _right(shorten(text, width), width), f"bold {column.color}"
    if index == 1 or text == NOTHING or not column.color:
        return _right(f"{text} ", width), "$text-muted"
    mark = index in column.best
    return _right(text + (BEST_MARK if mark else " "), width), "bold" if mark else ""


def _visible_columns(
    columns: Sequence[_Column], head_width: int, width: int, first: int
) -> tuple[list[_Column], int]:
    """Return as many columns from `first` on as fit, at least one, and the number of those left out."""
    first = min(max(0, first), max(0, len(columns) - 1))
    shown: list[_Column] = []
    for column in columns[first:]:
        if shown and head_width + _total_width([*shown, column]) > width:
            break
        shown.append(column)
    return shown, len(columns) - len(shown)


def _total_width(columns: Sequence[_Column]) -> int:
    return sum(column.width + GAP for column in columns)


def _epoch_text(evaluated: RunEvaluation) -> str:
    if evaluated.progress:
        return evaluated.progress
    if evaluated.evaluation is None:
        return "failed" if evaluated.problem else NOTHING
    return f"{evaluated.evaluation.epoch}{', old' if evaluated.stale else ''}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
