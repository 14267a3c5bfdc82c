"""Chart of the losses of several runs as braille curves, drawn from one bucket per column."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.reactive import reactive
from textual.strip import Strip

from tui.settings.series_colors import MARKERS
from tui.state.formatting import first_fitting
from tui.widgets.charts.base import Chart
from tui.widgets.charts.binning import SMOOTHINGS, column_edges
from tui.widgets.charts.canvas import BASE, FIRST_SERIES, GUTTER, Canvas, Plot, label_margin, to_strips
from tui.widgets.charts.cursor_readout import Reading, readout_box
from tui.widgets.charts.decimation import BucketedSeries
from tui.widgets.charts.loss_lines import SHOWN_LOSSES, LossLines, View, loss_at, make_loss_lines, x_extent
from tui.widgets.charts.series import Series, is_same_series
from tui.widgets.charts.ticks import linear_ticks, log_ticks, value_label
from tui.widgets.charts.x_axis import UNITS, Span, time_unit, x_text

Floats = NDArray[np.float64]

BAND_STRENGTH = 0.28
HELDOUT_STRENGTH = 0.7


class LossChart(Chart):
    """Loss against step for several runs: means as lines, held-out losses dashed, extents as a tinted band.

    The band belongs to the highlighted series, or to the only one. Losses that are not finite break a line and are
    marked ✖. A digit at the end of each line identifies its run without colour.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--axis",
        "chart--grid",
        "chart--cursor",
        "chart--legend",
        "chart--empty",
    }
    DEFAULT_CSS = """
    LossChart {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    LossChart > .chart--axis { color: $text-muted; }
    LossChart > .chart--grid { color: $foreground 18%; }
    LossChart > .chart--cursor { color: $accent; }
    LossChart > .chart--legend { color: $text-muted; }
    LossChart > .chart--empty { color: $text-disabled; }
    """

    log_y: reactive[bool] = reactive(True)
    log_x: reactive[bool] = reactive(False)
    unit: reactive[str] = reactive(UNITS[0])
    """The unit of the x axis, one of `UNITS`; the scales of the series convert to it."""
    span: reactive[Span | None] = reactive(None)
    """The visible part of the x axis, in its unit; None for the whole."""
    smoothing: reactive[int] = reactive(1)
    shown: reactive[str] = reactive(SHOWN_LOSSES[0])
    """The losses that are drawn, one of `SHOWN_LOSSES`."""
    legend: reactive[bool] = reactive(True)
    highlight: reactive[int | None] = reactive(None)
    cursor: reactive[float | None] = reactive(None)
    """The x of the cursor, in the unit of the axis."""
    show_readout: reactive[bool] = reactive(False)
    """Show the values at the cursor in a box."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series: tuple[Series, ...] = ()
        self._buckets: list[BucketedSeries] = []
        self._lines: LossLines | None = None

    @property
    def series(self) -> tuple[Series, ...]:
        return self._series

    def show(self, series: Sequence[Series]) -> None:
        """Show these series; nothing is drawn again if they are shown already."""
        new = tuple(series)
        if len(new) == len(self._series) and all(map(is_same_series, self._series, new)):
            return
        self._series = new
        del self._buckets[len(new) :]
        self._buckets.extend(BucketedSeries() for _ in range(len(new) - len(self._buckets)))
        for buckets, one in zip(self._buckets, new, strict=True):
            buckets.update(one.steps, one.losses)
        self.redraw()

    def describe(self) -> str:
        """The axes, the smoothing and the selection in a few words."""
        parts = ["log y" if self.log_y else "linear y", "log x" if self.log_x else "linear x"]
        if self.shown != "held-out":
            parts.append(f"smoothing {SMOOTHINGS[self.smoothing]}")
        if self.shown != "both":
            parts.append(f"{self.shown} only")
        if self.span is not None:
            parts.append("zoomed")
        return " · ".join(parts)

    def cycle_shown(self) -> None:
        """Switch to the next of `SHOWN_LOSSES`."""
        self.shown = SHOWN_LOSSES[(SHOWN_LOSSES.index(self.shown) + 1) % len(SHOWN_LOSSES)]

    def validate_smoothing(self, level: int) -> int:
        return level % len(SMOOTHINGS)

    def watch_log_y(self) -> None:
        self.redraw()

    def watch_log_x(self) -> None:
        self.redraw()

    def watch_unit(self) -> None:
        self.redraw()

    def watch_span(self) -> None:
        self.redraw()

    def watch_smoothing(self) -> None:
        self.redraw()

    def watch_shown(self) -> None:
        self.redraw()

    def watch_legend(self) -> None:
        self.redraw()

    def watch_highlight(self) -> None:
        self.redraw()

    def watch_cursor(self) -> None:
        self._redraw_cursor()

    def watch_show_readout(self) -> None:
        self._redraw_cursor()

    def redraw(self) -> None:
        self._lines = None
        super().redraw()

    def _redraw_cursor(self) -> None:
        """Draw again from the computed lines, because only the cursor changed."""
        self._strips = None
        self.refresh()

    def full_span(self) -> Span | None:
        """The whole x axis; None if there are no losses."""
        ends = x_extent(self._series, self.shown)
        if ends is None:
            return None
        first, last, step = ends
        if self.log_x:
            first = max(first, step)
        return Span(first, max(last, first + step))

    @property
    def plot_width(self) -> int:
        """The number of columns of cells between the axis and the labels at the ends of lines."""
        return max(
            0, self.content_size.width - GUTTER - label_margin(len(self._series), self.content_size.width)
        )

    def x_at(self, column: int) -> float | None:
        """The x in the middle of a column of the plot; None outside the plot."""
        edges = self._edges()
        if edges is None or not 0 <= column < len(edges) // 2:
            return None
        return float(edges[2 * column + 1])

    def x_at_offset(self, offset: int) -> float | None:
        """The x under a column of the widget; None beside the plot."""
        return self.x_at(offset - GUTTER)

    def column_at(self, x: float) -> int | None:
        """The column of the plot that contains x; None if x is out of sight."""
        dot = self._dot_column_at(x)
        return None if dot is None else dot // 2

    def _dot_column_at(self, x: float | None) -> int | None:
        """The column of dots that contains x."""
        edges = self._edges()
        if edges is None or x is None or not edges[0] <= x <= edges[-1]:
            return None
        return min(int(np.searchsorted(edges, x, side="right")) - 1, len(edges) - 2)

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        legend = 1 if self.legend and height >= 6 else 0
        margin = label_margin(len(self._series), width)
        plot_width, plot_height = width - GUTTER - margin, height - legend - 2
        if plot_width < 4 or plot_height < 1:
            return [self._message("too small for a chart", "too small")]
        blank = [Strip.blank(width, self.rich_style)] * (height // 2)
        if self._lines is None:
            self._lines = self._make_lines()
        lines = self._lines
        if lines is None:
            return [*blank, self._message("no losses yet")]
        y_range = lines.y_range
        if y_range is None:
            return [*blank, self._message("no finite losses here" if self.span else "no finite losses yet")]
        canvas = Canvas(plot_width, plot_height, y_range, log_y=self.log_y, margin=margin)
        canvas.draw_lines(lines.curves, on_top=self.highlight)
        canvas.draw_grid(self._y_ticks(y_range, plot_height))
        dot = self._dot_column_at(self.cursor)
        if dot is not None:
            canvas.draw_cursor(dot // 2)
        canvas.draw_labels(lines.curves, [self._marker(index) for index in range(len(self._series))])
        if self.show_readout and dot is not None:
            self._draw_readout(canvas, lines, dot)
        strips = self._to_strips(self._finish(canvas, lines))
        return [self._legend(width), *strips] if legend else strips

    def readings(self) -> list[Reading]:
        """The values of each series at the cursor; empty if there is no cursor, or it is out of sight."""
        dot = self._dot_column_at(self.cursor)
        return [] if self._lines is None or dot is None else self._read(self._lines, dot)

    def _read(self, lines: LossLines, dot: int) -> list[Reading]:
        found = []
        for index, one in enumerate(self._series):
            values = [
                loss_at(float(part[index][dot]), log_y=self.log_y) if np.isfinite(part[index][dot]) else None
                for part in (lines.means, lines.heldouts)
            ]
            if lines.broken[index][dot]:
                values[0] = float("nan")
            found.append(Reading(self._marker(index), one.name, *values))
        return found

    def _draw_readout(self, canvas: Canvas, lines: LossLines, dot: int) -> None:
        both = self.shown == "both" and any(one.heldout is not None for one in self._series)
        readings = self._read(lines, dot)
        if self.shown == "held-out":
            readings = [one._replace(loss=one.heldout) for one in readings]
        head = x_text(self.cursor or 0.0, self.unit)
        cells = readout_box(head, readings, canvas.width // 2, canvas.height, both=both)
        canvas.draw_box(
            [
                [(text, BASE if series is None else FIRST_SERIES + series) for text, series in line]
                for line in cells
            ],
            last=canvas.width - 1 if dot < canvas.width else dot // 2 - 2,
        )

    def _edges(self) -> Floats | None:
        """The edges of the columns of dots, in the unit of the x axis; None if there is no plot."""
        span, ends = self.span or self.full_span(), x_extent(self._series, self.shown)
        if span is None or ends is None or not self.plot_width:
            return None
        min_span = min(ends[2], span.high - span.low)
        return column_edges(*span, 2 * self.plot_width, log=self.log_x, min_span=min_span)

    def _make_lines(self) -> LossLines | None:
        edges = self._edges()
        if edges is None:
            return None
        view = View(self.log_x, self.log_y, self.smoothing, self.shown, self.highlight)
        return make_loss_lines(self._series, self._buckets, edges, view, whole=self.span is None)

    def _finish(self, canvas: Canvas, lines: LossLines) -> Plot:
        if self.unit != "time":
            return canvas.finish(lines.edges, log_x=self.log_x, unit=self.unit)
        seconds, name = time_unit(float(lines.edges[-1]))
        return canvas.finish(lines.edges / seconds, log_x=self.log_x, unit=name)

    def _y_ticks(self, y_range: tuple[float, float], rows: int) -> list[tuple[float, str]]:
        """The positions of the ticks on the y axis, and their labels."""
        if self.log_y:
            ticks = log_ticks(10 ** y_range[0], 10 ** y_range[1], max(2, rows // 2))
            return [(float(np.log10(tick)), value_label(tick)) for tick in ticks if tick > 0]
        return [(tick, value_label(tick)) for tick in linear_ticks(*y_range, max(2, rows // 3))]

    def _marker(self, index: int) -> str:
        return self._series[index].marker or MARKERS[index % len(MARKERS)]

    def _legend(self, width: int) -> Strip:
        quiet, base = self.get_component_rich_style("chart--legend"), self.rich_style
        segments = [Segment(" ", base)]
        for index, one in enumerate(self._series):
            style = base + Style.parse(one.color)
            marker = self._marker(index)
            segments += [
                Segment(f"{marker} ", style + Style(bold=True)),
                Segment(f"{one.name}  ", style + Style(bold=index == self.highlight)),
            ]
        if any(one.heldout is not None for one in self._series) and self.shown == "both":
            segments.append(Segment("╌╌ held-out  ", quiet))
        strip = Strip(segments)
        words = Strip([Segment(self.describe() + " ", quiet)])
        space = width - strip.cell_length - words.cell_length
        if space >= 0:
            return Strip.join([strip, Strip.blank(space, base), words])
        return strip.adjust_cell_length(width, base)

    def _message(self, *texts: str) -> Strip:
        width = self.content_size.width
        text = first_fitting(texts, width).center(width)
        return Strip([Segment(text, self.get_component_rich_style("chart--empty"))])

    def _to_strips(self, plot: Plot) -> list[Strip]:
        base = self.rich_style
        styles = [base] + [
            self.get_component_rich_style(f"chart--{part}") for part in ("axis", "grid", "cursor")
        ]
        background = self.background_colors[1]
        band_styles: list[Style] = [Style.null()]
        heldout_styles = []
        only_heldout = self.shown == "held-out"
        for index, one in enumerate(self._series):
            color = Color.parse(one.color)
            bold = Style(bold=True) if index == self.highlight else Style.null()
            styles.append(base + Style(color=color.rich_color) + bold)
            heldout = color if only_heldout else background.blend(color, HELDOUT_STRENGTH)
            heldout_styles.append(base + Style(color=heldout.rich_color))
            band_styles.append(Style(bgcolor=background.blend(color, BAND_STRENGTH).rich_color))
        return to_strips(plot, styles + heldout_styles, band_styles)
