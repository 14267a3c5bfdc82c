"""Losses of several runs as braille curves, drawn from one bucket a column however long the runs are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.reactive import reactive
from textual.strip import Strip

from tui.palette import MARKERS
from tui.widgets.axes import linear_ticks, log_ticks, value_label
from tui.widgets.buckets import LARGEST, BucketedSeries, Buckets
from tui.widgets.chart import Chart
from tui.widgets.chart_canvas import GUTTER, LABEL_ROOM, Canvas, Curve, Plot, to_strips
from tui.widgets.curves import (
    DASHED,
    DOTTED,
    SMOOTHINGS,
    Extents,
    at_points,
    bridged,
    column_edges,
    connected,
    envelope,
    patterned,
    smoothed,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BAND_STRENGTH: Final = 0.28
HELDOUT_STRENGTH: Final = 0.7
SHOWN: Final = ("both", "training", "held-out")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One run's losses.

    Args:
        name: what the legend calls it.
        color: of its lines.
        steps: ascending [n].
        losses: one a step [n]; NaN where it was not finite.
        heldout: steps and losses [m] of the held-out set; None when there are none.
        dashed: draw the line with gaps.
        marker: one cell that stands for the run; empty takes its place's.
    """

    name: str
    color: str
    steps: Floats
    losses: Floats
    heldout: tuple[Floats, Floats] | None = None
    dashed: bool = False
    marker: str = ""


class LossChart(Chart):
    """Loss against step for several runs: means as lines, held-out losses dotted, extents as a tinted band.

    The band belongs to the highlighted series, or to the only one. Not-finite losses break a line and are
    marked ✖. A digit at the end of each line says whose it is, so colour is not needed to tell.
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
    smoothing: reactive[int] = reactive(1)
    shown: reactive[str] = reactive(SHOWN[0])
    """Which losses are drawn: one of `SHOWN`."""
    legend: reactive[bool] = reactive(True)
    highlight: reactive[int | None] = reactive(None)
    cursor: reactive[float | None] = reactive(None)

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series: tuple[Series, ...] = ()
        self._buckets: list[BucketedSeries] = []

    @property
    def series(self) -> tuple[Series, ...]:
        return self._series

    def show(self, series: Sequence[Series]) -> None:
        """Show these series; nothing is drawn again when they are what is shown already."""
        new = tuple(series)
        if len(new) == len(self._series) and all(map(_alike, self._series, new)):
            return
        self._series = new
        del self._buckets[len(new) :]
        self._buckets.extend(BucketedSeries() for _ in range(len(new) - len(self._buckets)))
        for buckets, one in zip(self._buckets, new, strict=True):
            buckets.update(one.steps, one.losses)
        self.redraw()

    def describe(self) -> str:
        """The axes and the smoothing in a few words."""
        parts = ["log y" if self.log_y else "linear y", "log x" if self.log_x else "linear x"]
        if self.shown != "held-out":
            parts.append(f"smoothing {SMOOTHINGS[self.smoothing]}")
        if self.shown != "both":
            parts.append(f"{self.shown} only")
        return " · ".join(parts)

    def next_shown(self) -> None:
        """Go on to the next of `SHOWN`."""
        self.shown = SHOWN[(SHOWN.index(self.shown) + 1) % len(SHOWN)]

    def validate_smoothing(self, level: int) -> int:
        return level % len(SMOOTHINGS)

    def watch_log_y(self) -> None:
        self.redraw()

    def watch_log_x(self) -> None:
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
        self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        legend = 1 if self.legend and height >= 6 else 0
        plot_width, plot_height = width - GUTTER - LABEL_ROOM, height - legend - 2
        if plot_width < 4 or plot_height < 1:
            return [self._words("too small for a chart")]
        x_range = self._x_range()
        if x_range is None:
            blank = Strip.blank(width, self.rich_style)
            return [blank] * (height // 2) + [self._words("no losses yet")]
        edges = column_edges(*x_range, 2 * plot_width, log=self.log_x)
        curves = [
            self._curve(index, one, buckets.buckets(edges), edges)
            for index, (one, buckets) in enumerate(zip(self._series, self._buckets, strict=True))
        ]
        y_range = self._y_range(curves)
        if y_range is None:
            blank = Strip.blank(width, self.rich_style)
            return [blank] * (height // 2) + [self._words("no finite losses yet")]
        canvas = Canvas(plot_width, plot_height, y_range, log_y=self.log_y)
        canvas.draw_lines(curves, on_top=self.highlight)
        canvas.draw_grid(self._y_ticks(y_range, plot_height))
        if self.cursor is not None:
            canvas.draw_cursor(int(np.searchsorted(edges, self.cursor, side="right") - 1) // 2)
        canvas.draw_labels(
            curves, [s.marker or MARKERS[i % len(MARKERS)] for i, s in enumerate(self._series)]
        )
        plot = canvas.finish(edges, log_x=self.log_x)
        strips = self._to_strips(plot)
        return [self._legend(width), *strips] if legend else strips

    def _x_range(self) -> tuple[float, float] | None:
        ends: list[float] = []
        for one in self._series:
            arrays = [one.heldout[0]] if one.heldout is not None and self.shown != "training" else []
            if self.shown != "held-out":
                arrays.append(one.steps)
            for array in arrays:
                if len(array):
                    ends += [float(array[0]), float(array[-1])]
        if not ends:
            return None
        return min(ends), max(ends)

    def _curve(self, index: int, one: Series, buckets: Buckets, edges: Floats) -> Curve:
        """What to draw of one series; values are already on the scale of the y axis."""
        nothing = np.full(len(edges) - 1, np.nan)
        broken = (buckets.total > 0) & (buckets.finite == 0)
        raw = self.smoothing == 0
        band = None
        if self.shown == "held-out":
            mean, line = nothing, Extents(nothing, nothing)
            broken = np.zeros_like(broken)
        else:
            mean = bridged(self._scaled(smoothed(buckets, self.smoothing)), broken)
            scaled = Extents(self._scaled(buckets.low), self._scaled(buckets.high))
            line = (
                envelope(bridged(scaled.low, broken), bridged(scaled.high, broken))
                if raw
                else connected(mean)
            )
            if not raw and (self.highlight == index or len(self._series) == 1):
                band = Extents(bridged(scaled.low, broken), bridged(scaled.high, broken))
        heldout = Extents(nothing, nothing)
        last = mean
        if one.heldout is not None and self.shown != "training":
            through = at_points(one.heldout[0], self._scaled(one.heldout[1]), edges, log_x=self.log_x)
            heldout = connected(through)
            if self.shown == "held-out":
                last = through
            else:
                heldout = patterned(heldout, DOTTED)
        if one.dashed:
            line = patterned(line, DASHED)
        known = np.flatnonzero(np.isfinite(last))
        end = (int(known[-1]), float(last[known[-1]])) if len(known) else None
        breaks = [
            (int(column), float(last[known[before - 1]]) if before else float("nan"))
            for column in np.flatnonzero(broken & ~np.append(False, broken[:-1]))
            for before in [int(np.searchsorted(known, column))]
        ]
        return Curve(line, heldout, band, end, breaks)

    def _scaled(self, values: Floats) -> Floats:
        values = np.where(np.abs(values) <= LARGEST, values, np.nan)
        if not self.log_y:
            return values
        scaled: Floats = np.log10(values, out=np.full(len(values), np.nan), where=values > 1 / LARGEST)
        return scaled

    def _y_range(self, curves: Sequence[Curve]) -> tuple[float, float] | None:
        """What the y axis spans. A linear axis leaves out the first steps, which would flatten all that
        follows."""
        lows = [extents.low for curve in curves for extents in (curve.line, curve.heldout)]
        highs = [extents.high for curve in curves for extents in (curve.line, curve.heldout)]
        low_values, high_values = np.concatenate(lows), np.concatenate(highs)
        if not np.isfinite(low_values).any():
            return None
        low, high = float(np.nanmin(low_values)), float(np.nanmax(high_values))
        if not self.log_y:
            settled = np.concatenate([array[len(array) // 12 :] for array in highs])
            if np.isfinite(settled).any():
                high = max(float(np.nanmax(settled)), low)
            if 0 <= low < 0.4 * high:
                low = 0.0
        for curve in curves:
            if curve.band is not None and np.isfinite(curve.band.low).any():
                low = min(low, float(np.nanpercentile(curve.band.low, 5)))
                if self.log_y:
                    high = max(high, float(np.nanpercentile(curve.band.high, 95)))
        pad = (high - low) * 0.04 or (0.1 if self.log_y else abs(high) * 0.1 or 1.0)
        return (low - pad if low != 0.0 or self.log_y else 0.0), high + pad

    def _y_ticks(self, y_range: tuple[float, float], rows: int) -> list[tuple[float, str]]:
        """Where the ticks are on the axis' scale, and what they say."""
        most = max(2, rows // 2)
        if self.log_y:
            ticks = log_ticks(10 ** y_range[0], 10 ** y_range[1], most)
            return [(float(np.log10(tick)), value_label(tick)) for tick in ticks if tick > 0]
        return [(tick, value_label(tick)) for tick in linear_ticks(*y_range, max(2, rows // 3))]

    def _legend(self, width: int) -> Strip:
        quiet = self.get_component_rich_style("chart--legend")
        segments = [Segment(" ", self.rich_style)]
        for index, one in enumerate(self._series):
            style = self.rich_style + Style.parse(one.color)
            marker = one.marker or MARKERS[index % len(MARKERS)]
            segments += [
                Segment(f"{marker} ", style + Style(bold=True)),
                Segment(f"{one.name}  ", style + Style(bold=index == self.highlight)),
            ]
        if any(one.heldout is not None for one in self._series) and self.shown == "both":
            segments.append(Segment("⠄⠄ held-out  ", quiet))
        strip = Strip(segments)
        words = Strip([Segment(self.describe() + " ", quiet)])
        space = width - strip.cell_length - words.cell_length
        if space >= 0:
            return Strip.join([strip, Strip.blank(space, self.rich_style), words])
        return strip.adjust_cell_length(width, self.rich_style)

    def _words(self, text: str) -> Strip:
        width = self.content_size.width
        return Strip([Segment(text[:width].center(width), self.get_component_rich_style("chart--empty"))])

    def _to_strips(self, plot: Plot) -> list[Strip]:
        base = self.rich_style
        styles = [base] + [
            self.get_component_rich_style(f"chart--{part}") for part in ("axis", "grid", "cursor")
        ]
        ground = self.background_colors[1]
        grounds: list[Style] = [Style.null()]
        quiet = []
        alone = self.shown == "held-out"
        for index, one in enumerate(self._series):
            color = Color.parse(one.color)
            strong = Style(bold=True) if index == self.highlight else Style.null()
            styles.append(base + Style(color=color.rich_color) + strong)
            quiet.append(
                base + Style(color=(color if alone else ground.blend(color, HELDOUT_STRENGTH)).rich_color)
            )
            grounds.append(Style(bgcolor=ground.blend(color, BAND_STRENGTH).rich_color))
        return to_strips(plot, styles + quiet, grounds)


def _alike(before: Series, after: Series) -> bool:
    same_heldout = before.heldout is after.heldout or (
        before.heldout is not None
        and after.heldout is not None
        and all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(before.heldout, after.heldout, strict=True)
        )
    )
    return (
        before.steps is after.steps
        and before.losses is after.losses
        and same_heldout
        and (before.name, before.color, before.dashed, before.marker)
        == (after.name, after.color, after.dashed, after.marker)
    )
