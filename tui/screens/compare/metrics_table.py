"""Tables of a comparison: training metrics, one line for each run, and the settings in which runs differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual.content import Content

from core.runs.status import State
from tui.screens.compare.summary import RunMetrics, SettingDifference
from tui.settings.series_colors import SeriesStyle
from tui.state.formatting import NOTHING, STATE_GLYPHS, number, shorten, small_number

MAX_LABEL: Final = 28
_PROBLEM: Final = (State.FAILED, State.CRASHED)
_TERMINAL_STYLES: Final = {"good": "$text-success", "doubtful": "$text-warning", "bad": "$text-error"}


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """A run's name, its color and number, its metrics, and one cell that tells whether it is selected or hidden."""

    label: str
    style: SeriesStyle
    metrics: RunMetrics
    mark: str = " "


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int
    text: Callable[[RunMetrics], str]
    left: bool = False
    rank: int = 0
    """Columns of high rank are left out first where not all fit."""


_COLUMNS: Final = (
    _Column("state", 10, lambda f: f"{STATE_GLYPHS[f.state]} {f.state}", left=True),
    _Column("epoch", 7, lambda f: f"{f.epoch}/{f.epochs}", rank=3),
    _Column("loss", 6, lambda f: number(f.loss)),
    _Column("held-out", 8, lambda f: number(f.heldout)),
    _Column("best", 6, lambda f: number(f.best), rank=4),
    _Column("at", 3, lambda f: str(f.best_epoch) if f.best_epoch else "", rank=6),
    _Column("img/s", 5, lambda f: f"{f.images_per_second:,.0f}" if f.images_per_second else NOTHING, rank=5),
    _Column("abar_T", 7, lambda f: small_number(f.terminal_alpha_bar), rank=2),
    _Column("terminal", 8, lambda f: f.terminal, left=True, rank=1),
)


def metric_table(lines: Sequence[MetricsRow], width: int) -> Content:
    """Return the runs as a table that fits into `width` cells.

    No best value is marked, because schedules put losses on different scales.

    Args:
        lines: one for each run.
        width: cells.
    """
    wanted = min(MAX_LABEL, max((cell_len(line.label) for line in lines), default=0))
    wanted = max(8, wanted)
    columns = list(_COLUMNS)
    while 3 + wanted + _total_width(columns) > width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
    label = max(1, min(wanted, width - 3 - _total_width(columns)))
    spare = width - 3 - label - _total_width(columns)
    gap = 2 if spare >= len(columns) else 1
    heading = f"   {'schedule':{label}}"[: 3 + label]
    heading += "".join(" " * gap + _aligned(c.heading, c) for c in columns)
    rows = [Content.styled(heading.rstrip(), "$text-muted")]
    for line in lines:
        parts: list[Content | str | tuple[str, str]] = [
            (line.mark, "bold"),
            (f"{line.style.marker} ", f"bold {line.style.color}"),
            (_padded(line.label, label), line.style.color),
        ]
        for column in columns:
            parts += [" " * gap, (_aligned(column.text(line.metrics), column), _cell_style(line, column))]
        rows.append(Content.assemble(*parts))
    return Content("\n").join(rows)


def difference_table(
    found: Sequence[SettingDifference], styles: Sequence[SeriesStyle], width: int, *, runs: int
) -> Content:
    """Return the settings that differ, each value after the numbers of the runs that have it.

    Args:
        found: the differences.
        styles: of the runs, in their order.
        width: cells.
        runs: number of runs compared.
    """
    if not found:
        text = "one run: nothing to compare it with" if runs == 1 else "the settings are the same in all runs"
        return Content.styled(f" {text}", "$text-muted")
    key_width = min(max(len(one.key) for one in found), 26)
    rows = []
    for one in found:
        groups = [_value_group(value, [styles[index] for index in indices]) for value, indices in one.values]
        rows += _wrapped(Content.styled(f" {_padded(one.key, key_width)}  ", "$text-muted"), groups, width)
    return Content("\n").join(rows)


def _value_group(value: str, styles: Sequence[SeriesStyle]) -> Content:
    markers = [Content.styled(style.marker, f"bold {style.color}") for style in styles]
    return Content.assemble(*markers, f" {value}")


def _wrapped(head: Content, groups: Sequence[Content], width: int) -> list[Content]:
    """Return the groups after their heading, on as many lines as they need, three cells apart."""
    lines, indent = [head], head.cell_length
    for group in groups:
        first = lines[-1].cell_length <= indent
        if not first and lines[-1].cell_length + 3 + group.cell_length > width:
            lines.append(Content(" " * indent))
            first = True
        lines[-1] = Content.assemble(lines[-1], "" if first else "   ", group)
    return [line.truncate(width, ellipsis=True) for line in lines]


def _total_width(columns: Sequence[_Column]) -> int:
    return sum(column.width + 1 for column in columns)


def _aligned(text: str, column: _Column) -> str:
    text = shorten(text, column.width).rstrip()
    space = " " * (column.width - cell_len(text))
    return text + space if column.left else space + text


def _padded(text: str, width: int) -> str:
    text = shorten(text, width)
    return text + " " * (width - cell_len(text))


def _cell_style(line: MetricsRow, column: _Column) -> str:
    text = column.text(line.metrics)
    if column.heading == "state":
        return "bold $text-error" if line.metrics.state in _PROBLEM else ""
    if column.heading == "terminal":
        return _TERMINAL_STYLES.get(text, "")
    if text == NOTHING or column.heading in ("epoch", "at"):
        return "$text-muted"
    return "bold $text-error" if text == "NaN" else ""
