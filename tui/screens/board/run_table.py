"""Table of runs, one line for each, drawn from cached strips."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from core.runs.status import State
from tui.settings.series_colors import series_style
from tui.state.formatting import (
    NOTHING,
    STATE_GLYPHS,
    approx_duration,
    created_at,
    first_fitting,
    heldout_loss,
    number,
    problem,
    recent_loss,
    seconds_left,
    shorten,
)
from tui.state.snapshot import RunSnapshot
from tui.textual_ext.strip_widget import StripWidget
from tui.widgets.charts.sparkline import loss_sparkline

GUTTER: Final = 3
MIN_TREND: Final = 9
MAX_TREND: Final = 60
PROBLEM_TREND: Final = 6
PROBLEM_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the table.

    Attributes:
        run: the run.
        label: its name in this list.
        index: by age among the listed runs: its color and number.
        marked: whether it is marked for comparison.
        hint: shown beside the trend while the run waits or starts.
    """

    run: RunSnapshot
    label: str
    index: int
    marked: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RowList:
    """Rows of a table, each made when it becomes visible.

    Args:
        count: number of rows.
        row: makes the row at an index.
        label_width: cells of the longest label.
        groups: whether the runs are of several groups.
        seconds: whether two groups were queued within the same minute.
        evaluated: whether any of the runs has been evaluated.
        empty: text shown where there are no rows.
        total: number of rows without a filter.
    """

    count: int = 0
    row: Callable[[int], RunRow] = [].__getitem__
    label_width: int = 0
    groups: bool = False
    seconds: bool = False
    evaluated: bool = False
    empty: str = ""
    total: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """Column of text."""

    name: str
    heading: str
    width: int
    right: bool = False
    gap: int = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that fit in a width, and the cells left for the trend."""

    fixed: tuple[Column, ...]
    trend: int


def choose_columns(width: int, label_width: int, *, groups: bool, evaluated: bool = False) -> Columns:
    """Return the columns that fit in `width` cells, chosen by importance.

    Args:
        width: cells.
        label_width: cells of the longest label.
        groups: whether the runs are of several groups; a column then shows when each was queued.
        evaluated: whether any run has a pass rate.
    """
    label = Column("label", "schedule", min(max(label_width, 9), max(11, width // 4)), gap=1)
    columns = [
        label,
        *([Column("started", "started", 12)] if groups else []),
        Column("state", "state", 10, gap=1),
        Column("epoch", "epoch", 8, right=True, gap=0),
        Column("loss", "loss", 7, right=True),
        Column("heldout", "held-out", 8, right=True),
        *([Column("passed", "pass", 6, right=True)] if evaluated else []),
        Column("speed", "img/s", 6, right=True),
        Column("left", "left", 7, right=True),
    ]
    optional = ("started", "passed", "heldout", "speed", "left")
    chosen = {column.name for column in columns} - set(optional)
    widths = {column.name: column.width + column.gap for column in columns}
    used = GUTTER + sum(widths[name] for name in chosen)
    for name in optional:
        trend = 24 if name in ("speed", "left") else MIN_TREND
        if name in widths and used + widths[name] + 4 + trend <= width:
            chosen.add(name)
            used += widths[name]
    fixed = tuple(column for column in columns if column.name in chosen)
    return Columns(fixed, max(0, min(MAX_TREND, width - used - 4)))


class RunTable(StripWidget, can_focus=False):
    """Rows under a heading, one of them selected."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--heading",
        "table--cursor",
        "table--quiet",
        "table--mark",
        "table--problem",
        "table--live",
        "table--waiting",
        "table--halted",
        "table--done",
    }

    class Selected(Message):
        """A run was selected by a click or the wheel, or `opened` by a double click."""

        def __init__(self, run_id: str, *, opened: bool) -> None:
            super().__init__()
            self.run_id = run_id
            self.opened = opened

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._list = RowList()
        self._cursor = 0
        self._top = 0
        self._columns = Columns((), 0)
        self._visible_rows: dict[int, RunRow] = {}
        self._strips: dict[int, Strip] = {}

    def show(self, rows: RowList, cursor: int) -> None:
        """Show these rows with one of them selected; make visible lines only, and draw only those that differ.

        Args:
            rows: from top to bottom.
            cursor: index of the selected row.
        """
        before, old_cursor, old_top, old_columns = self._list, self._cursor, self._top, self._columns
        old_rows = self._visible_rows
        self._list, self._cursor = rows, cursor
        self._fit()
        last = min(rows.count, self._top + max(0, self.size.height - 1))
        self._visible_rows = {index: rows.row(index) for index in range(self._top, last)}
        if (before.count, before.total, before.seconds, old_top, old_columns) != (
            *(rows.count, rows.total, rows.seconds, self._top, self._columns),
        ) or (not rows.count and before.empty != rows.empty):
            self._redraw()
            return
        if old_cursor != cursor and self._hidden:
            self.refresh(Region(0, 0, self.size.width, 1))
        for index, new in self._visible_rows.items():
            old = old_rows.get(index)
            moved = old_cursor != cursor and index in (old_cursor, cursor)
            if (
                moved
                or old is None
                or old.run.version != new.run.version
                or _appearance(old) != _appearance(new)
            ):
                self._strips.pop(index, None)
                self.refresh(Region(0, index - self._top + 1, self.size.width, 1))

    @property
    def _hidden(self) -> bool:
        """Return whether some rows do not fit."""
        return self._list.count > max(1, self.size.height - 1)

    def _fit(self) -> None:
        rows = self._list
        self._columns = choose_columns(
            self.size.width, rows.label_width, groups=rows.groups, evaluated=rows.evaluated
        )
        visible = max(1, self.size.height - 1)
        top = min(max(self._top, self._cursor - visible + 1), self._cursor)
        self._top = max(0, min(top, rows.count - visible))

    def _redraw(self) -> None:
        self._strips.clear()
        self.refresh()

    def on_resize(self) -> None:
        self.show(self._list, self._cursor)
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._select(self._cursor + 1)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._select(self._cursor - 1)
        event.stop()

    def _select(self, index: int, *, opened: bool = False) -> None:
        if 0 <= index < self._list.count:
            self.post_message(self.Selected(self._list.row(index).run.id, opened=opened))

    def on_click(self, event: events.Click) -> None:
        if event.y > 0:
            self._select(self._top + event.y - 1, opened=event.chain > 1)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y == 0:
            return self._heading().adjust_cell_length(width, base)
        index = self._top + y - 1
        if not self._list.count and y == 2:
            text = set_cell_size(shorten(" " * GUTTER + self._list.empty, width), width)
            return Strip([Segment(text, self.get_component_rich_style("table--heading"))], width)
        if index not in self._visible_rows:
            return Strip.blank(width, base)
        strip = self._strips.get(index)
        if strip is None:
            strip = self._strips[index] = self._draw(index)
        return strip

    def _heading(self) -> Strip:
        style = self.get_component_rich_style("table--heading")
        cells = [" " * GUTTER, *(_cell(column.heading, column) for column in self._columns.fixed)]
        text = "".join(cells)
        more = first_fitting(self._position_texts(), self.size.width - cell_len(text) - 1)
        trend = "   trend"
        if self._columns.trend >= 5 and cell_len(text + trend) + 1 + len(more) <= self.size.width:
            text += trend
        if more:
            text = set_cell_size(text, self.size.width - len(more)) + more
        return Strip([Segment(text, style)], cell_len(text))

    def _position_texts(self) -> list[str]:
        """The cursor's row and the number of rows where some are hidden, the longest text first."""
        if not self._hidden:
            return [""]
        row, count = f"{self._cursor + 1:,}", f"{self._list.count:,}"
        return [f"{row} of {count} ", f"{row}/{count} ", f"{row} ", ""]

    def _draw(self, index: int) -> Strip:
        row, selected, width = self._visible_rows[index], index == self._cursor, self.size.width
        base = self.rich_style
        if selected:
            base += self.get_component_rich_style("table--cursor", partial=True)
        quiet = base + self._component_style("quiet")
        series = series_style(row.index, self.app.theme_variables)
        color = base + Style.parse(series.color)
        number_key = series.marker if row.index < 9 else " "
        segments = [
            Segment(">" if selected else " ", base + Style(bold=True)),
            Segment(number_key, color + Style(bold=True)),
            Segment("✓" if row.marked else " ", base + self._component_style("mark")),
        ]
        texts = self._texts(row)
        state_style = base + self._component_style(_state_component(row.run.state))
        for column in self._columns.fixed:
            text = texts[column.name]
            style = {"label": color + Style(bold=selected), "state": state_style}.get(column.name, base)
            segments.append(Segment(_cell(text, column), quiet if text == NOTHING else style))
        segments.append(Segment("   ", base))
        segments.extend(self._trend(row, color, quiet, base))
        return Strip(segments).adjust_cell_length(width, base).simplify()

    def _trend(self, row: RunRow, color: Style, quiet: Style, base: Style) -> list[Segment]:
        """Sparkline of the loss, and beside it the run's problem or hint."""
        room = self._columns.trend
        wrong = problem(row.run)
        note = wrong or row.hint
        line = loss_sparkline(
            row.run.losses, min(PROBLEM_TREND, max(0, room - PROBLEM_WORDS)) if wrong else room
        )
        segments = [Segment(line, color)]
        left = room - len(line)
        if note and left > 6:
            lead = "  " if line else ""
            text = shorten(note, left - len(lead))
            segments.append(Segment(lead + text, base + self._component_style("problem") if wrong else quiet))
        return segments

    def _texts(self, row: RunRow) -> dict[str, str]:
        run = row.run
        status = run.status
        live = run.state.is_live
        loss = recent_loss(run)
        left = seconds_left([run]) if run.state is State.RUNNING else None
        return {
            "label": row.label,
            "state": f"{STATE_GLYPHS[run.state]} {run.state}",
            "epoch": f"{status.epoch}/{status.epochs or run.file.config.train.epochs}",
            "loss": number(loss),
            "passed": f"{run.pass_rate:.1%}" if run.pass_rate is not None else NOTHING,
            "heldout": number(heldout_loss(run)),
            "speed": f"{status.images_per_second:,.0f}" if live and status.images_per_second else NOTHING,
            "left": approx_duration(left) if left is not None else NOTHING,
            "started": created_at(run)
            .astimezone()
            .strftime("%d %H:%M:%S" if self._list.seconds else "%b %d %H:%M"),
        }

    def _component_style(self, name: str) -> Style:
        return self.get_component_rich_style(f"table--{name}", partial=True)


def _appearance(row: RunRow) -> tuple[object, ...]:
    return row.run.id, row.label, row.index, row.marked, row.hint


def _state_component(state: State) -> str:
    if state.is_live:
        return "live"
    return {
        State.QUEUED: "waiting",
        State.STOPPED: "halted",
        State.FINISHED: "done",
    }.get(state, "problem")


def _cell(text: str, column: Column) -> str:
    text = shorten(text, column.width)
    space = " " * (column.width - cell_len(text))
    return " " * column.gap + (space + text if column.right else text + space)
