"""Chart of the noise-prediction error over log SNR, one line per run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.statistics.noise_error_bins import MAX_LOG_SNR, MIN_LOG_SNR, Array, NoiseErrorBins
from tui.state.formatting import first_fitting
from tui.widgets.charts.base import Chart
from tui.widgets.charts.binning import Extents, column_edges, connected, interpolate_points
from tui.widgets.charts.canvas import GUTTER, Canvas, Curve, label_margin, to_strips
from tui.widgets.charts.ticks import log_ticks, value_label

TITLE: Final = "error of the predicted noise over log SNR (left: most noise)"
HELDOUT_TITLE: Final = "error of the predicted noise on held-out images over log SNR"
NOTHING: Final = ("no epoch has recorded its error of the predicted noise yet", "no errors yet")
_PAD: Final = 0.04


@dataclass(frozen=True, slots=True)
class NoiseErrorLine:
    """One run: a marker of one cell, its colour, and the errors of an epoch."""

    marker: str
    color: str
    bins: NoiseErrorBins


class NoiseErrorChart(Chart):
    """Errors on a logarithmic axis over log SNR, each line with its marker at the end."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "errors--title",
        "errors--axis",
        "errors--grid",
        "errors--empty",
    }
    DEFAULT_CSS = """
    NoiseErrorChart {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    NoiseErrorChart > .errors--title { color: $text-muted; }
    NoiseErrorChart > .errors--axis { color: $text-muted; }
    NoiseErrorChart > .errors--grid { color: $foreground 18%; }
    NoiseErrorChart > .errors--empty { color: $text-disabled; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[NoiseErrorLine, ...] = ()
        self._on_top: int | None = None
        self._heldout = False

    def show(
        self, lines: Sequence[NoiseErrorLine], *, on_top: int | None = None, heldout: bool = False
    ) -> None:
        """Show lines, and draw again only if they differ.

        Args:
            lines: one per run.
            on_top: index of the line over the others.
            heldout: the errors are those of held-out images instead of the training's own.
        """
        if (tuple(lines), on_top, heldout) != (self._lines, self._on_top, self._heldout):
            self._lines, self._on_top, self._heldout = tuple(lines), on_top, heldout
            self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        name = HELDOUT_TITLE if self._heldout else TITLE
        title = Strip([Segment(f" {name}", self.get_component_rich_style("errors--title"))])
        title = title.adjust_cell_length(width, self.rich_style)
        margin = label_margin(len(self._lines), width)
        plot_width, plot_height = width - GUTTER - margin, height - 3
        curves = [line.bins.curve() for line in self._lines]
        logs = np.concatenate([np.log10(error) for _, error in curves]) if curves else np.empty(0)
        if plot_width < 4 or plot_height < 1 or not len(logs):
            small = ("too small for a chart", "too small")
            text = first_fitting(list(small if len(logs) else NOTHING), width).center(width)
            return [title, Strip([Segment(text, self.get_component_rich_style("errors--empty"))])][:height]
        low, high = float(logs.min()), float(logs.max())
        pad = (high - low) * _PAD or 0.5
        y_range = low - pad, high + pad
        edges = column_edges(MIN_LOG_SNR, MAX_LOG_SNR, 2 * plot_width, log=False)
        drawn = [_curve(log_snr, np.log10(error), edges) for log_snr, error in curves]
        canvas = Canvas(plot_width, plot_height, y_range, log_y=True, margin=margin)
        canvas.draw_lines(drawn, on_top=self._on_top)
        ticks = log_ticks(10 ** y_range[0], 10 ** y_range[1], max(2, plot_height // 3))
        canvas.draw_grid([(float(np.log10(tick)), value_label(tick)) for tick in ticks])
        canvas.draw_labels(drawn, [line.marker for line in self._lines])
        base = self.rich_style
        axis, grid = (self.get_component_rich_style(f"errors--{part}") for part in ("axis", "grid"))
        colors = [base + Style.parse(line.color) for line in self._lines]
        plot = canvas.finish(edges, log_x=False, unit="log SNR")
        return [title, *to_strips(plot, [base, axis, grid, grid, *colors, *colors], [Style.null()])]


def _curve(log_snr: Array, log_error: Array, edges: Array) -> Curve:
    """The drawn parts of one line."""
    through = interpolate_points(np.clip(log_snr, edges[0], edges[-1]), log_error, edges, log_x=False)
    known = np.flatnonzero(np.isfinite(through))
    end = (int(known[-1]), float(through[known[-1]])) if len(known) else None
    nothing = np.full(len(edges) - 1, np.nan)
    return Curve(connected(through), Extents(nothing, nothing), None, end, [])
