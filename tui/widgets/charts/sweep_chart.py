"""Chart of a metric against a setting: the mean of each value, with its interval over seeds."""

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from core.comparison.sweep import Sweep, SweepLine
from core.runs import METRICS
from tui.settings.series_colors import SeriesStyle
from tui.state.formatting import first_fitting
from tui.widgets.charts.base import Chart
from tui.widgets.charts.binning import Extents, connected, envelope, interpolate_points
from tui.widgets.charts.canvas import AXIS, FIRST_SERIES, GUTTER, Canvas, Curve, Plot, to_strips
from tui.widgets.charts.ticks import linear_ticks, value_label

Floats = NDArray[np.float64]
MAX_BANDS: Final = 3
"""With more lines, bands would hide each other, and each interval is only a stroke."""
NOTHING: Final = ("no run has this number yet", "no numbers yet")
_Y_PAD: Final = 0.06
_X_PAD: Final = 0.04
_BAND_STRENGTH: Final = 0.25


class SweepChart(Chart):
    """Means with the marker of their line, joined if the setting is a number; bands and strokes are intervals."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"sweep--axis", "sweep--grid", "sweep--empty"}
    DEFAULT_CSS = """
    SweepChart {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    SweepChart > .sweep--axis { color: $text-muted; }
    SweepChart > .sweep--grid { color: $foreground 18%; }
    SweepChart > .sweep--empty { color: $text-disabled; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[Sweep | None, bool, tuple[SeriesStyle, ...]] = (None, False, ())

    def show(self, sweep: Sweep | None, styles: Sequence[SeriesStyle], *, log: bool) -> None:
        """Show a sweep, with a style for each of its lines; draw again only if something differs."""
        shown = (sweep, log, tuple(styles))
        if shown != self._shown:
            self._shown = shown
            self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        sweep, log, styles = self._shown
        plot_width, plot_height = width - GUTTER - 1, height - 2
        if sweep is None or not sweep.lines or plot_width < 8 or plot_height < 2:
            texts = ("too small for a chart", "too small") if sweep is not None and sweep.lines else NOTHING
            text = first_fitting(list(texts), width).center(width)
            return [Strip([Segment(text, self.get_component_rich_style("sweep--empty"))])]
        values = sweep.values
        places = {text: place for place, (_, text) in zip(_places(sweep, log), values, strict=True)}
        factor = 100.0 if sweep.metric in METRICS and METRICS[sweep.metric].share else 1.0
        edges = np.linspace(0.0, 1.0, 2 * plot_width + 1)
        curves, means = [], []
        for line in sweep.lines:
            x = np.array([places[point.text] for point in line.points])
            mean, low, high = factor * _points(line)
            curves.append(_curve(x, mean, low, high, edges, sweep, band=len(sweep.lines) <= MAX_BANDS))
            means.append((x, mean))
        low, high = _y_range([factor * _points(line) for line in sweep.lines])
        canvas = Canvas(plot_width, plot_height, (low, high), log_y=False, margin=1)
        canvas.draw_lines(curves)
        canvas.draw_grid(
            [(tick, value_label(tick)) for tick in linear_ticks(low, high, max(2, plot_height // 3))]
        )
        for index, (x, mean) in enumerate(means):
            for place, value in zip(x.tolist(), mean.tolist(), strict=True):
                at = canvas.row(value), GUTTER + min(int(place * plot_width), plot_width - 1)
                canvas.chars[at], canvas.styles[at] = styles[index].marker, FIRST_SERIES + index
        _draw_axis(canvas, [(places[text], text) for _, text in values])
        base = self.rich_style
        axis, grid = (self.get_component_rich_style(f"sweep--{part}") for part in ("axis", "grid"))
        colors = [base + Style.parse(one.color) for one in styles]
        background = self.background_colors[1]
        bands = [
            Style(bgcolor=background.blend(Color.parse(one.color), _BAND_STRENGTH).rich_color)
            for one in styles
        ]
        plot = Plot(canvas.chars, canvas.styles, canvas.backgrounds)
        return to_strips(plot, [base, axis, grid, grid, *colors, *colors], [Style.null(), *bands])


def _places(sweep: Sweep, log: bool) -> list[float]:
    """Positions of the values on the axis, from 0 to 1; categories have equal distances."""
    if sweep.numeric:
        numbers = np.array([float(value) for value, _ in sweep.values])
        if log and numbers.min() > 0:
            numbers = np.log(numbers)
    else:
        numbers = np.arange(len(sweep.values), dtype=np.float64)
    span = float(numbers.max() - numbers.min())
    shares = (numbers - numbers.min()) / span if span else np.full(len(numbers), 0.5)
    found: list[float] = (_X_PAD + (1.0 - 2.0 * _X_PAD) * shares).tolist()
    return found


def _points(line: SweepLine) -> Floats:
    """Means and bounds of a line's points [3, n]; an unknown bound is the mean."""
    rows = []
    for point in line.points:
        estimate = point.score.estimate
        rows.append(
            [
                estimate.value,
                *(estimate.value if bound is None else bound for bound in (estimate.low, estimate.high)),
            ]
        )
    return np.array(rows, dtype=np.float64).T


def _y_range(points: Sequence[Floats]) -> tuple[float, float]:
    low, high = min(float(one.min()) for one in points), max(float(one.max()) for one in points)
    pad = (high - low) * _Y_PAD or abs(high) * _Y_PAD or 1.0
    return low - pad, high + pad


def _curve(
    x: Floats, mean: Floats, low: Floats, high: Floats, edges: Floats, sweep: Sweep, *, band: bool
) -> Curve:
    """Line through the means with a stroke for each interval; categories have strokes only."""
    nothing = np.full(len(edges) - 1, np.nan)
    lowest, highest = nothing.copy(), nothing.copy()
    found_band = None
    if sweep.numeric:
        through = connected(interpolate_points(x, mean, edges, log_x=False))
        lowest, highest = through.low.copy(), through.high.copy()
        if band and len(x) > 1:
            found_band = envelope(
                interpolate_points(x, low, edges, log_x=False),
                interpolate_points(x, high, edges, log_x=False),
            )
    columns = np.clip((x * (len(edges) - 1)).astype(int), 0, len(edges) - 2)
    lowest[columns], highest[columns] = np.fmin(lowest[columns], low), np.fmax(highest[columns], high)
    return Curve(Extents(lowest, highest), Extents(nothing, nothing), found_band, None, [])


def _draw_axis(canvas: Canvas, ticks: Sequence[tuple[float, str]]) -> None:
    """Draw the x axis with a tick at each value, and the labels that do not overlap."""
    axis, labels = canvas.height, canvas.height + 1
    canvas.styles[axis:, :] = AXIS
    canvas.chars[axis, GUTTER - 1] = "└"
    canvas.chars[axis, GUTTER : GUTTER + canvas.width] = "─"
    filled_to, width = 0, canvas.chars.shape[1]
    for place, text in ticks:
        column = GUTTER + min(int(place * canvas.width), canvas.width - 1)
        canvas.chars[axis, column] = "┬"
        start = min(max(column - len(text) // 2, 0), max(0, width - len(text)))
        if start >= filled_to and start + len(text) <= width:
            canvas.chars[labels, start : start + len(text)] = list(text)
            filled_to = start + len(text) + 2
