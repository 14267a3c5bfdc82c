"""Heatmaps of the noise-prediction error: epochs to the right, log SNR upwards, one panel per run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.statistics.noise_error_bins import BINS, EDGES, Array, NoiseErrorBins, multiples_of_best
from tui.state.formatting import shorten
from tui.widgets.charts.base import Chart
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.render_mode import current_render_mode

Pixels = NDArray[np.uint8]

TITLE: Final = "error by epoch, in multiples of the level's lowest:"
MAX_MULTIPLE: Final = 10.0
"""Multiple of the lowest error from which on all have the same colour."""
LEGEND: Final = (1.0, 2.0, 5.0, 10.0)
GUTTER: Final = 5
"""Cells of the labels to the left of the first panel."""
MIN_PANEL: Final = 20
GAP: Final = 2
_COLORS: Final = np.array([(0, 32, 81), (60, 77, 110), (127, 124, 117), (187, 175, 113), (253, 234, 69)])
"""Five colours of matplotlib's cividis, which every kind of colour vision orders by lightness."""


@dataclass(frozen=True, slots=True)
class HeatmapRun:
    """One run: its marker, colour and name, and the errors of its epochs in ascending order."""

    marker: str
    color: str
    name: str
    epochs: tuple[tuple[int, NoiseErrorBins], ...]


def multiple_colors(multiples: Array) -> Pixels:
    """Return the colours of multiples, uint8 with a trailing axis of red, green and blue; NaN is black."""
    share = np.log(np.clip(np.nan_to_num(multiples, nan=1.0), 1.0, MAX_MULTIPLE)) / np.log(MAX_MULTIPLE)
    at = np.linspace(0.0, 1.0, len(_COLORS))
    rgb = np.stack([np.interp(share, at, _COLORS[:, channel]) for channel in range(3)], axis=-1)
    rgb[np.isnan(multiples)] = 0.0
    return rgb.round().astype(np.uint8)


def heatmap_pixels(run: HeatmapRun, last_epoch: int, width: int, height: int) -> Pixels:
    """Return the pixels of a panel, uint8 [height, width, 3], with epochs 1 to `last_epoch` from left to right."""
    table = np.full((last_epoch, BINS), np.nan)
    if run.epochs:
        multiples = multiples_of_best([bins for _, bins in run.epochs])
        for (epoch, _), row in zip(run.epochs, multiples, strict=True):
            if 1 <= epoch <= last_epoch:
                table[epoch - 1] = row
    columns = np.arange(width) * last_epoch // width
    rows = BINS - 1 - np.arange(height) * BINS // height
    return multiple_colors(table[columns][:, rows].T)


class NoiseErrorHeatmap(Chart):
    """Panels of runs side by side, as many as fit."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heatmap--title", "heatmap--axis"}
    DEFAULT_CSS = """
    NoiseErrorHeatmap {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    NoiseErrorHeatmap > .heatmap--title { color: $text-muted; }
    NoiseErrorHeatmap > .heatmap--axis { color: $text-muted; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._runs: tuple[HeatmapRun, ...] = ()

    def show(self, runs: Sequence[HeatmapRun]) -> None:
        """Show these runs, the first ones if not all fit; draw again only if they differ."""
        if tuple(runs) != self._runs:
            self._runs = tuple(runs)
            self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        lines = height - 3  # without title, names and epochs
        fitting = max(1, min(len(self._runs), (width - GUTTER + GAP) // (MIN_PANEL + GAP)))
        runs = self._runs[:fitting]
        panel = (width - GUTTER + GAP) // fitting - GAP
        last_epoch = max((run.epochs[-1][0] for run in runs if run.epochs), default=0)
        title = self._title(width, len(self._runs) - fitting)
        if lines < 1 or panel < 4 or not last_epoch:
            return [title][:height]
        axis = self.get_component_rich_style("heatmap--axis")
        mode = current_render_mode(self).mode
        base = self.rich_style
        names, epochs = [Segment(" " * GUTTER, base)], [Segment(" " * GUTTER, axis)]
        rows = [[Segment(label, axis)] for label in _level_labels(lines)]
        for index, run in enumerate(runs):
            gap = Segment(" " * (GAP if index + 1 < fitting else 0), base)
            label = set_cell_size(shorten(f"{run.marker} {run.name}", panel), panel)
            names += [Segment(label, base + Style.parse(run.color)), gap]
            right = f"epoch {last_epoch}"
            left = "1" if panel >= len(right) + 3 else ""
            epochs += [Segment(left + right.rjust(panel - len(left))[-panel:], axis), gap]
            pixels = heatmap_pixels(run, last_epoch, panel, 2 * lines)
            for row, cells in zip(rows, cell_lines(pixels, mode=mode), strict=True):
                row += [*cells, gap]
        return [title, *(Strip(row).adjust_cell_length(width, base) for row in (names, *rows, epochs))]

    def _title(self, width: int, left_out: int) -> Strip:
        style = self.get_component_rich_style("heatmap--title")
        mode = current_render_mode(self).mode
        parts = [Segment(f" {TITLE}", style)]
        for multiple in LEGEND:
            swatch = np.repeat(multiple_colors(np.array([[multiple]])), 2, axis=0)
            parts.append(Segment(" ", style))
            parts += cell_lines(np.repeat(swatch, 2, axis=1), mode=mode)[0]
            parts.append(Segment(f" {multiple:g}", style))
        if left_out:
            parts.append(Segment(f"  +{left_out}", style))
        return Strip(parts).adjust_cell_length(width, self.rich_style)


def _level_labels(lines: int) -> list[str]:
    """The labels of the lines of a panel: the log SNR at the top, the middle and the bottom."""
    labels = [" " * GUTTER] * lines
    for row, value in ((lines // 2, 0.0), (lines - 1, EDGES[0]), (0, EDGES[-1])):
        labels[row] = f"{value:g}".rjust(GUTTER - 1) + " "
    return labels
