"""True against predicted noise of one run by noise level: joint densities as heatmaps, distributions below."""

from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.runs.predicted_noise import CELLS, NoiseTable, PredictedNoise
from tui.state.formatting import first_fitting
from tui.widgets.charts.base import Chart
from tui.widgets.charts.noise_error_heatmap import multiple_colors
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.render_mode import current_render_mode

Pixels = NDArray[np.uint8]

NOTHING: Final = (
    "no evaluation has kept the predicted noise yet: enter in view 3 evaluates",
    "not evaluated yet",
)
NOT_VISITED: Final = "not visited"
GUTTER: Final = 3
GAP: Final = 2
MIN_PANEL: Final = 8
MIN_DISTRIBUTION: Final = 4
"""Lines of the distributions; with fewer they are left out."""
PERFECT: Final = (110, 110, 110)
BOTH, ONLY_TRUE, ONLY_PREDICTED = (87, 117, 110), (120, 120, 120), (253, 234, 69)


def coarser(table: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Merge cells of a table, so that at most `width` are left, a power of two of them."""
    cells = len(table)
    while cells > width and cells > 1:
        cells //= 2
    factor = len(table) // cells
    merged: NDArray[np.int64] = table.reshape(cells, factor, cells, factor).sum(axis=(1, 3))
    return merged


def joint_pixels(table: NDArray[np.int64], width: int) -> Pixels:
    """Return the pixels of a joint density, uint8 [W, W, 3], true noise to the right, predicted noise upwards.

    Colours are logarithmic in the number of pixels, brightest for the most; cells without one are black. A grey
    diagonal is the perfect prediction.

    Args:
        table: [CELLS, CELLS], as of `NoiseTable`.
        width: the most that W may be.
    """
    counts = coarser(table, width).astype(np.float64).T[::-1]
    most = max(float(counts.max()), 2.0)
    # The heatmap's colours are of multiples from 1 to 10.
    multiples = np.where(counts > 0, 10.0 ** (np.log(np.maximum(counts, 1.0)) / np.log(most)), np.nan)
    pixels = multiple_colors(multiples)
    diagonal = np.eye(len(counts), dtype=bool)[::-1]
    pixels[diagonal & (counts == 0)] = PERFECT
    return pixels


def distribution_pixels(table: NDArray[np.int64], width: int, height: int) -> Pixels:
    """Return both distributions as bars from the bottom, uint8 [height, W, 3].

    Args:
        table: [CELLS, CELLS], as of `NoiseTable`.
        width: the most that W may be.
        height: pixels; the highest bar fills them.
    """
    counts = coarser(table, width)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    most = max(int(true.max()), int(predicted.max()), 1)
    level = (np.arange(height)[::-1, None] + 0.5) / height * most
    below_true, below_predicted = level < true, level < predicted
    pixels = np.zeros((height, len(counts), 3), dtype=np.uint8)
    pixels[below_true & below_predicted] = BOTH
    pixels[below_true & ~below_predicted] = ONLY_TRUE
    pixels[~below_true & below_predicted] = ONLY_PREDICTED
    return pixels


class PredictedNoiseChart(Chart):
    """Panels of the noise levels side by side."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"predicted--title", "predicted--axis", "predicted--empty"}
    DEFAULT_CSS = """
    PredictedNoiseChart {
        height: 1fr;
        width: 1fr;
        min-height: 4;
    }
    PredictedNoiseChart > .predicted--title { color: $text-muted; }
    PredictedNoiseChart > .predicted--axis { color: $text-muted; }
    PredictedNoiseChart > .predicted--empty { color: $text-disabled; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[str, str, PredictedNoise | None] = ("", "", None)

    def show(self, name: str, color: str, found: PredictedNoise | None) -> None:
        """Show a run; draw again only if something differs.

        Args:
            name: its marker and name.
            color: its colour.
            found: its tables; None if it has none.
        """
        if self._shown != (name, color, found):
            self._shown = name, color, found
            self.redraw()

    def draw(self) -> list[Strip]:
        width, height = self.content_size
        name, color, found = self._shown
        base = self.rich_style
        muted = self.get_component_rich_style("predicted--title")
        head = Segment(f" {name}", base + Style.parse(color) if color else base)
        if found is None or not found.levels:
            empty = self.get_component_rich_style("predicted--empty")
            text = first_fitting(NOTHING, max(1, width - 1))
            lines = [Strip([head]), Strip([Segment(f" {text}", empty)])]
            return [line.adjust_cell_length(width, base) for line in lines][:height]
        about = (
            f"  epoch {found.epoch}, {found.images} held-out images: predicted noise (up) over true noise",
            f"  epoch {found.epoch}: predicted noise over true noise",
            f"  epoch {found.epoch}",
        )
        title = [head, Segment(first_fitting(about, max(1, width - len(name) - 2)), muted)]
        return [Strip(title).adjust_cell_length(width, base), *self._panels(found, width, height - 1)][
            :height
        ]

    def _panels(self, found: PredictedNoise, width: int, height: int) -> list[Strip]:
        base, axis = self.rich_style, self.get_component_rich_style("predicted--axis")
        count = len(found.levels)
        panel = (width - GUTTER + GAP) // count - GAP
        side = min(CELLS, panel, 2 * (height - 2))
        while side >= 1 and CELLS % side:
            side -= 1
        if side < MIN_PANEL:
            return [Strip([Segment(" too small", axis)]).adjust_cell_length(width, base)]
        joint, left = (
            side // 2,
            height - side // 2 - 2,
        )  # without levels and errors, and the labels of the axis
        below = left - 2 if left - 2 >= MIN_DISTRIBUTION else 0
        below = min(below, joint)
        rows = [[Segment(" " * GUTTER, base)] for _ in range(2 + joint + (2 + below if below else 0))]
        for index, level in enumerate(found.levels):
            gap = Segment(" " * (GAP if index + 1 < count else 0), base)
            for row, cells in zip(rows, self._panel(level, found.limit, panel, side, below), strict=True):
                row += [*cells, gap]
        return [Strip(row).adjust_cell_length(width, base) for row in rows]

    def _panel(
        self, level: NoiseTable, limit: float, panel: int, side: int, below: int
    ) -> list[list[Segment]]:
        """Return the lines of a panel: levels, heatmap, axis, and where they fit a legend and the distributions."""
        axis, mode = self.get_component_rich_style("predicted--axis"), current_render_mode(self).mode
        table = level.table
        names = [f"log SNR {level.wanted:g}"]
        if level.error is not None:
            names.insert(0, f"log SNR {level.wanted:g}   m {level.error:.2g}")
            names.insert(1, f"{level.wanted:g}  m {level.error:.2g}")

        def text(line: str) -> list[Segment]:
            return [Segment(set_cell_size(line, panel), axis)]

        ends = f"{-limit:g}".ljust(side // 2) + "0" + f"{limit:g}".rjust(side - side // 2 - 1)
        rest = Segment(" " * (panel - side), self.rich_style)
        if table is None:
            blank = [text("") for _ in range(1 + side // 2 + (2 + below if below else 0))]
            blank[side // 4] = text(NOT_VISITED.center(side))
            return [text(first_fitting(names, panel)), *blank]
        lines = [text(first_fitting(names, panel))]
        lines += [[*cells, rest] for cells in cell_lines(joint_pixels(table, side), mode=mode)]
        lines.append(text(ends))
        if below:
            lines.append(self._legend(panel, text))
            bars = cell_lines(distribution_pixels(table, side, 2 * below), mode=mode)
            lines += [[*cells, rest] for cells in bars]
            lines.append(text(ends))
        return lines

    def _legend(self, panel: int, text: Callable[[str], list[Segment]]) -> list[Segment]:
        """Return the colours of the distributions, one by one, in as many words as fit."""
        mode = current_render_mode(self).mode
        words = first_fitting(("  true   predicted ", "  true   pred. "), panel)
        if len(words) > panel:
            return text("true, predicted")
        legend: list[Segment] = []
        for colour, word in zip((ONLY_TRUE, ONLY_PREDICTED), words.split(), strict=True):
            swatch = np.full((2, 1, 3), colour, dtype=np.uint8)
            legend += cell_lines(swatch, mode=mode)[0]
            legend.append(Segment(f" {word} ", self.get_component_rich_style("predicted--axis")))
        taken = sum(segment.cell_length for segment in legend)
        return [*legend, Segment(" " * (panel - taken), self.rich_style)]
