"""The cells of a chart: lines, bands, axes, ticks and labels, before they have colours."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.imaging.braille import braille_chart
from tui.widgets.charts.binning import Extents
from tui.widgets.charts.ticks import count_label, linear_ticks, log_ticks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GUTTER: Final = 8
"""Cells to the left of the plot: seven for a value, one for the axis."""
LABEL_MARGIN: Final = 2
"""Cells to the right of the plot for one label in each row, and a blank."""
MAX_LABELS: Final = 6
"""Labels that stand side by side in one row before they move to the next one."""
BREAK_MARK: Final = "✖"
BASE, AXIS, GRID, CURSOR, FIRST_SERIES = range(5)


class Curve(NamedTuple):
    """The drawn parts of one series, in the units of the y axis (logarithms if the axis is logarithmic)."""

    line: Extents
    heldout: Extents
    band: Extents | None
    end: tuple[int, float] | None
    breaks: list[tuple[int, float]]


class Plot(NamedTuple):
    """A finished plot [h, w]: a character, a style number and a background number for each cell.

    Styles are `BASE`, `AXIS`, `GRID`, `CURSOR`, then one per series from `FIRST_SERIES` on, then one per series for its
    held-out line. Background 0 is none, then there is one per series for its band.
    """

    chars: NDArray[np.str_]
    styles: Ints
    backgrounds: Ints


class Canvas:
    """The cells of a chart: plot, axes and labels. `width` and `height` are those of the plot alone.

    `margin` is the number of cells to the right of the plot, one more than labels side by side.
    """

    def __init__(
        self,
        width: int,
        height: int,
        y_range: tuple[float, float],
        *,
        log_y: bool,
        margin: int = LABEL_MARGIN,
    ) -> None:
        self.width, self.height, self.y_range, self.log_y = width, height, y_range, log_y
        self.margin = margin
        shape = (height + 2, GUTTER + width + margin)
        self.chars = np.full(shape, " ", dtype="<U1")
        self.styles = np.full(shape, BASE, dtype=np.int64)
        self.backgrounds = np.zeros(shape, dtype=np.int64)
        self._ticks: list[tuple[int, str]] = []

    def row(self, value: float) -> int:
        """The row of cells that contains a value, clipped to the plot."""
        low, high = self.y_range
        share = (high - value) / (high - low)
        return int(np.clip(share * self.height, 0, self.height - 1))

    def draw_lines(self, curves: Sequence[Curve], *, on_top: int | None = None) -> None:
        """Draw bands, then held-out lines, then the lines of the training loss, the one of `on_top` last."""
        for index, curve in enumerate(curves):
            if curve.band is not None:
                self._draw_band(curve.band, index)
        count = len(curves)
        order = sorted(range(count), key=lambda index: index == on_top)
        drawn = [self._clipped(curves[index].heldout) for index in order]
        drawn += [self._clipped(curves[index].line) for index in order]
        chars, owner = braille_chart(drawn, self.height, self.y_range, log_y=False)
        plot = (slice(0, self.height), slice(GUTTER, GUTTER + self.width))
        # Styles of training losses come first, those of held-out ones after them.
        styles = np.array([*(count + index for index in order), *order]) + FIRST_SERIES
        self.chars[plot][owner >= 0] = chars[owner >= 0]
        self.styles[plot][owner >= 0] = styles[owner[owner >= 0]]

    def draw_grid(self, ticks: Sequence[tuple[float, str]]) -> None:
        """Draw the y axis, its labels and a faint line across the plot at each label."""
        self.chars[: self.height, GUTTER - 1] = "│"
        self.styles[: self.height + 2, :GUTTER] = AXIS
        taken: set[int] = set()
        for value, label in ticks:
            row = self.row(value)
            if row in taken:
                continue
            taken.add(row)
            self.chars[row, GUTTER - 1] = "┤"
            if len(label) < GUTTER:
                self._write(row, 0, label.rjust(GUTTER - 1), AXIS)
            across = slice(GUTTER, GUTTER + self.width)
            empty = self.chars[row, across] == " "
            self.chars[row, across][empty] = "┈"
            self.styles[row, across][empty] = GRID

    def draw_cursor(self, column: int) -> None:
        """Draw a vertical line behind the curves."""
        if not 0 <= column < self.width:
            return
        down = (slice(0, self.height), GUTTER + column)
        empty = (self.styles[down] == BASE) | (self.styles[down] == GRID)
        self.chars[down] = np.where(empty, "┊", self.chars[down])
        self.styles[down] = np.where(empty, CURSOR, self.styles[down])

    def draw_labels(self, curves: Sequence[Curve], markers: Sequence[str]) -> None:
        """Draw a marker to the right of each line's end, or of other markers there, and ✖ at each break."""
        for index, curve in enumerate(curves):
            for column, value in curve.breaks:
                if np.isfinite(value):
                    self._write(self.row(value), GUTTER + column // 2, BREAK_MARK, FIRST_SERIES + index)
        ends: list[tuple[float, int, int]] = []
        for index, curve in enumerate(curves):
            if curve.end is not None:
                column = min(curve.end[0] // 2 + 1, self.width)
                if any(broken // 2 == column for broken, _ in curve.breaks):
                    column = min(column + 1, self.width)
                ends.append((curve.end[1], column, index))
        ends.sort(key=lambda end: -end[0])
        wanted = [(self.row(value), column) for value, column, _ in ends]
        cells = place_labels(wanted, self.height, self.width + self.margin - 2)
        for cell, (_, _, index) in zip(cells, ends, strict=True):
            if cell is not None:
                self._write(cell[0], GUTTER + cell[1], markers[index], FIRST_SERIES + index)
                self.backgrounds[cell[0], GUTTER + cell[1]] = 0

    def draw_box(self, lines: Sequence[Sequence[tuple[str, int]]], *, last: int) -> None:
        """Draw text over the curves, at the upper edge of the plot, because falling losses leave room there.

        Args:
            lines: of equal width; for each the texts, one cell per character, and their styles.
            last: the last column of the plot that the text covers.
        """
        width = max((sum(len(text) for text, _ in line) for line in lines), default=0)
        first = GUTTER + max(0, last + 1 - width)
        self.backgrounds[: len(lines), first : first + width] = 0
        for row, line in enumerate(lines):
            column = first
            for text, style in line:
                self._write(row, column, text, style)
                column += len(text)

    def finish(self, edges: Floats, *, log_x: bool, unit: str = "steps") -> Plot:
        """Add the x axis in this unit, and return the cells."""
        axis, labels = self.height, self.height + 1
        self.styles[axis:, :] = AXIS
        self.chars[axis, GUTTER - 1] = "└"
        self.chars[axis, GUTTER : GUTTER + self.width] = "─"
        unit = f" {unit}"
        low, high = float(edges[0]), float(edges[-1])
        max_ticks = max(2, self.width // 12)
        ticks = log_ticks(low, high, max_ticks) if log_x else linear_ticks(low, high, max_ticks)
        self._write(labels, GUTTER + self.width + self.margin - len(unit), unit, AXIS)
        limit = GUTTER + self.width + self.margin - len(unit)
        filled_to = 0
        for tick in ticks:
            column = int(np.clip(np.searchsorted(edges, tick, side="right") - 1, 0, len(edges) - 2)) // 2
            text = count_label(tick)
            start = GUTTER + column - len(text) // 2
            self.chars[axis, GUTTER + column] = "┬"
            if start >= filled_to and start + len(text) <= limit:
                self._write(labels, start, text, AXIS)
                filled_to = start + len(text) + 1
        return Plot(self.chars, self.styles, self.backgrounds)

    def _draw_band(self, band: Extents, index: int) -> None:
        low = np.fmin(band.low[0::2], band.low[1::2])
        high = np.fmax(band.high[0::2], band.high[1::2])
        bottom, top = self.y_range
        size = (top - bottom) / self.height
        first, last = (np.clip(np.rint((top - edge) / size), 0, self.height) for edge in (high, low))
        rows = np.arange(self.height)[:, None]
        self.backgrounds[: self.height, GUTTER : GUTTER + self.width][(first <= rows) & (rows < last)] = (
            index + 1
        )

    def _clipped(self, extents: Extents) -> Extents:
        """Clip extents to the plot; extents wholly outside it become NaN."""
        low, high = self.y_range
        outside = (extents.low > high) | (extents.high < low)
        return Extents(
            np.where(outside, np.nan, np.maximum(extents.low, low)),
            np.where(outside, np.nan, np.minimum(extents.high, high)),
        )

    def _write(self, row: int, column: int, text: str, style: int) -> None:
        for offset, char in enumerate(text):
            if 0 <= column + offset < self.chars.shape[1] and 0 <= row < self.chars.shape[0]:
                self.chars[row, column + offset] = char
                self.styles[row, column + offset] = style


def to_strips(plot: Plot, styles: Sequence[Style], backgrounds: Sequence[Style]) -> list[Strip]:
    """Convert a plot to lines of segments, with one segment for neighbouring cells of equal style.

    Args:
        plot: the cells.
        styles: by the numbers of `Plot.styles`.
        backgrounds: by the numbers of `Plot.backgrounds`.
    """
    combined: dict[int, Style] = {}
    strips = []
    codes = plot.styles * len(backgrounds) + plot.backgrounds
    for row, line in zip(codes, plot.chars, strict=True):
        starts = np.concatenate(([0], np.flatnonzero(np.diff(row)) + 1, [len(row)]))
        text = "".join(line.tolist())
        segments = []
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            code = int(row[start])
            style = combined.get(code)
            if style is None:
                number, background = divmod(code, len(backgrounds))
                style = combined[code] = styles[number] + backgrounds[background]
            segments.append(Segment(text[start:stop], style))
        strips.append(Strip(segments, len(row)))
    return strips


def place_labels(
    wanted: Sequence[tuple[int, int]], height: int, last_column: int
) -> list[tuple[int, int] | None]:
    """Give each label a cell of its own: to the right in the row that it wants, else in the nearest row.

    Args:
        wanted: row and column of each label.
        height: number of rows.
        last_column: the last column in which a label may stand.

    Returns:
        Row and column of each label; None where no cell is left.

    >>> place_labels([(4, 9), (4, 9), (9, 9)], 10, 10), place_labels([(0, 9), (0, 9)], 2, 9)
    ([(4, 9), (4, 10), (9, 9)], [(0, 9), (1, 9)])
    """
    taken: set[tuple[int, int]] = set()
    placed: list[tuple[int, int] | None] = []
    for row, column in wanted:
        near = sorted(range(height), key=lambda other: abs(other - row))
        columns = range(column, min(column + MAX_LABELS - 1, last_column) + 1)
        cell = next(((y, x) for y in near for x in columns if (y, x) not in taken), None)
        if cell is not None:
            taken.add(cell)
        placed.append(cell)
    return placed


def label_margin(labels: int, width: int) -> int:
    """The cells to the right of a plot for so many labels, fewer in a narrow chart.

    >>> label_margin(0, 80), label_margin(1, 80), label_margin(5, 80), label_margin(30, 80), label_margin(5, 26)
    (2, 2, 6, 7, 3)
    """
    return LABEL_MARGIN - 1 + min(max(1, labels), MAX_LABELS, max(1, width // 12))
