"""Chart of curves over timesteps, one per schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip

from tui.state.formatting import first_fitting
from tui.widgets.charts.base import Chart
from tui.widgets.charts.binning import Extents, column_edges, connected, interpolate_points
from tui.widgets.charts.canvas import GUTTER, Canvas, Curve, label_margin, to_strips
from tui.widgets.charts.ticks import linear_ticks, value_label

Floats = NDArray[np.float64]

OUTLIER_FACTOR: Final = 2.0
"""Multiple of the 95th percentile of a line above which values count as outliers, because few timesteps reach them."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One curve: a marker of one cell, its colour, and a value for each timestep 1..T [T]; NaN is a gap."""

    marker: str
    color: str
    values: Floats


class ScheduleChart(Chart):
    """Lines over t on a linear axis, each with its marker at the end, and a cursor at one t.

    Args:
        title: the line above the plot.
        span: a range that the y axis always includes.
        clip_outliers: leave values that few timesteps reach out of the y axis, so that the line leaves the plot.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "curves--title",
        "curves--axis",
        "curves--grid",
        "curves--cursor",
        "curves--empty",
    }
    DEFAULT_CSS = """
    ScheduleChart {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    ScheduleChart > .curves--title { color: $text-muted; }
    ScheduleChart > .curves--axis { color: $text-muted; }
    ScheduleChart > .curves--grid { color: $foreground 18%; }
    ScheduleChart > .curves--cursor { color: $accent; }
    ScheduleChart > .curves--empty { color: $text-disabled; }
    """

    cursor: reactive[int] = reactive(0)

    def __init__(
        self,
        title: str,
        *,
        span: tuple[float, float] | None = None,
        clip_outliers: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.clip_outliers = clip_outliers
        self.title = title
        self.span = span
        self._lines: tuple[Line, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; nothing is drawn again if they are shown already."""
        new = tuple(lines)
        if len(new) != len(self._lines) or not all(map(_is_same_line, self._lines, new)):
            self._lines = new
            self.redraw()

    def watch_cursor(self) -> None:
        self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        title = Strip([Segment(f" {self.title}", self.get_component_rich_style("curves--title"))])
        title = title.adjust_cell_length(width, self.rich_style)
        margin = label_margin(len(self._lines), width)
        plot_width, plot_height = width - GUTTER - margin, height - 3
        y_range = self._y_range()
        if plot_width < 4 or plot_height < 1 or y_range is None:
            small = ["too small for a chart", "too small"]
            text = first_fitting(small if y_range is not None else ["nothing to draw"], width).center(width)
            return [title, Strip([Segment(text, self.get_component_rich_style("curves--empty"))])][:height]
        timesteps = max(len(line.values) for line in self._lines)
        edges = column_edges(1.0, float(timesteps), 2 * plot_width, log=False)
        curves = [_curve(line.values, edges) for line in self._lines]
        canvas = Canvas(plot_width, plot_height, y_range, log_y=False, margin=margin)
        canvas.draw_lines(curves)
        ticks = linear_ticks(*y_range, max(2, plot_height // 3))
        canvas.draw_grid([(tick, value_label(tick)) for tick in ticks])
        if self.cursor >= 1:
            canvas.draw_cursor(int(np.searchsorted(edges, self.cursor, side="right") - 1) // 2)
        canvas.draw_labels(curves, [line.marker for line in self._lines])
        base = self.rich_style
        parts = [self.get_component_rich_style(f"curves--{part}") for part in ("axis", "grid", "cursor")]
        colors = [base + Style.parse(line.color) for line in self._lines]
        plot = canvas.finish(edges, log_x=False, unit="t")
        return [title, *to_strips(plot, [base, *parts, *colors, *colors], [Style.null()])]

    def _y_range(self) -> tuple[float, float] | None:
        values = [line.values[np.isfinite(line.values)] for line in self._lines]
        ends = [float(end) for part in values if len(part) for end in (part.min(), part.max())]
        if not ends:
            return None
        ends += self.span or ()
        low, high = min(ends), max(ends)
        if self.clip_outliers:
            high = min(
                high, OUTLIER_FACTOR * max(float(np.quantile(part, 0.95)) for part in values if len(part))
            )
        pad = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
        return (low if low == 0.0 else low - pad), high + pad


def _curve(values: Floats, edges: Floats) -> Curve:
    """The drawn parts of one line."""
    through = interpolate_points(np.arange(1.0, len(values) + 1), values, edges, log_x=False)
    known = np.flatnonzero(np.isfinite(through))
    end = (int(known[-1]), float(through[known[-1]])) if len(known) else None
    nothing = np.full(len(edges) - 1, np.nan)
    return Curve(connected(through), Extents(nothing, nothing), None, end, [])


def _is_same_line(before: Line, after: Line) -> bool:
    same = before.values is after.values or np.array_equal(before.values, after.values, equal_nan=True)
    return same and (before.marker, before.color) == (after.marker, after.color)
