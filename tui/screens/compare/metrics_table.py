"""Runs side by side in numbers: a line a run, and the settings in which they differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from core.runs.status import State
from tui.screens.compare.summary import Difference, Figures
from tui.settings.series_colors import SeriesStyle
from tui.state.formatting import NOTHING, STATE_GLYPHS, number, small_number

MAX_LABEL: Final = 28
_PROBLEM: Final = (State.FAILED, State.CRASHED)
_TERMINAL_STYLES: Final = {"good": "$text-success", "doubtful": "$text-warning", "bad": "$text-error"}


@dataclass(frozen=True, slots=True)
class Line:
    """One run: its name, how it is told apart, and its numbers."""

    label: str
    style: SeriesStyle
    figures: Figures


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int
    text: Callable[[Figures], str]
    left: bool = False
    rank: int = 0
    """Columns of high rank are the first to go where room is short."""


_COLUMNS: Final = (
    _Column("state", 10, lambda f: f"{STATE_GLYPHS[f.state]} {f.state}", left=True),
    _Column("epoch", 7, lambda f: f"{f.epoch}/{f.epochs}", rank=3),
    _Column("train", 6, lambda f: number(f.train)),
    _Column("held-out", 8, lambda f: number(f.heldout)),
    _Column("best", 6, lambda f: number(f.best), rank=4),
    _Column("at", 3, lambda f: str(f.best_epoch) if f.best_epoch else "", rank=6),
    _Column("img/s", 5, lambda f: f"{f.images_per_second:,.0f}" if f.images_per_second else NOTHING, rank=5),
    _Column("abar_T", 7, lambda f: small_number(f.terminal_alpha_bar), rank=2),
    _Column("terminal", 8, lambda f: f.terminal, left=True, rank=1),
)


def metric_table(lines: Sequence[Line], width: int) -> Content:
    """The runs as a table that fits into `width` cells; nobody wins by losses, which schedules put on other scales.

    Args:
        lines: one a run.
        width: cells.
    """
    wanted = min(MAX_LABEL, max((cell_len(line.label) for line in lines), default=0))
    wanted = max(8, wanted)
    columns = list(_COLUMNS)
    while 3 + wanted + _needed(columns) > width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
    label = max(1, min(wanted, width - 3 - _needed(columns)))
    spare = width - 3 - label - _needed(columns)
    gap = 2 if spare >= len(columns) else 1
    heading = f"   {'schedule':{label}}"[: 3 + label]
    heading += "".join(" " * gap + _aligned(c.heading, c) for c in columns)
    rows = [Content.styled(heading.rstrip(), "$text-muted")]
    for line in lines:
        parts: list[Content | str | tuple[str, str]] = [
            (f" {line.style.marker} ", f"bold {line.style.color}"),
            (_cut(line.label, label), line.style.color),
        ]
        for column in columns:
            parts += [" " * gap, (_aligned(column.text(line.figures), column), _style(line, column))]
        rows.append(Content.assemble(*parts))
    return Content("\n").join(rows)


def difference_table(
    found: Sequence[Difference], styles: Sequence[SeriesStyle], width: int, *, runs: int
) -> Content:
    """The settings that differ, each value after the digits of the runs that have it.

    Args:
        found: the differences.
        styles: of the runs, by place.
        width: cells.
        runs: how many are compared.
    """
    if not found:
        text = "one run: nothing to compare it with" if runs == 1 else "the settings are the same in all runs"
        return Content.styled(f" {text}", "$text-muted")
    key_width = min(max(len(one.key) for one in found), 26)
    rows = []
    for one in found:
        groups = [_group(value, [styles[place] for place in at]) for value, at in one.values]
        rows += _wrapped(Content.styled(f" {_cut(one.key, key_width)}  ", "$text-muted"), groups, width)
    return Content("\n").join(rows)


def _group(value: str, styles: Sequence[SeriesStyle]) -> Content:
    markers = [Content.styled(style.marker, f"bold {style.color}") for style in styles]
    return Content.assemble(*markers, f" {value}")


def _wrapped(head: Content, groups: Sequence[Content], width: int) -> list[Content]:
    """Groups after their heading, on as many lines as they need, three cells between them."""
    lines, indent = [head], head.cell_length
    for group in groups:
        first = lines[-1].cell_length <= indent
        if not first and lines[-1].cell_length + 3 + group.cell_length > width:
            lines.append(Content(" " * indent))
            first = True
        lines[-1] = Content.assemble(lines[-1], "" if first else "   ", group)
    return [line.truncate(width, ellipsis=True) for line in lines]


def _needed(columns: Sequence[_Column]) -> int:
    return sum(column.width + 1 for column in columns)


def _aligned(text: str, column: _Column) -> str:
    text = _cut(text, column.width).rstrip()
    space = " " * (column.width - cell_len(text))
    return text + space if column.left else space + text


def _cut(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _style(line: Line, column: _Column) -> str:
    text = column.text(line.figures)
    if column.heading == "state":
        return "bold $text-error" if line.figures.state in _PROBLEM else ""
    if column.heading == "terminal":
        return _TERMINAL_STYLES.get(text, "")
    if text == NOTHING or column.heading in ("epoch", "at"):
        return "$text-muted"
    return "bold $text-error" if text == "NaN" else ""
