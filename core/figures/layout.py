"""Figure layout in inches: grids of panels with room for labels, and images in rows."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image

from core.figures.style import DPI, FAINT, PAGE_WIDTH, SeriesStyle, typeset

Pixels = NDArray[np.uint8]

MAX_DRAWN: Final = 1e12
"""Limit of drawn numbers; on a logarithmic axis, its inverse is the lower limit."""

_SMALL_CELL: Final = 128
_LARGE_CELL: Final = 192
_GAP: Final = 6
_MAX_LARGE_COLUMNS: Final = 6
_LABEL_WIDTH: Final = 22
_FONT_SIZE: Final = 8.0
_LEGEND_KEY_WIDTH: Final = 0.62
"""Inches of a legend entry in addition to its text."""


@dataclass(frozen=True, eq=False)
class TileRow:
    """A row of images, uint8 [H, W] or [H, W, 3] each, with its label."""

    label: str
    tiles: Sequence[Pixels]
    style: SeriesStyle | None = None


def tile_figure(rows: Sequence[TileRow], heads: Sequence[str] = ()) -> Figure:
    """Draw images in rows, with labels to the left and column heads in matplotlib's markup.

    Images are aligned with pixels of the figure's own resolution, which keeps small ones sharp in every format.

    Args:
        rows: at least one, with at least one image; shorter rows leave blank space at their ends.
        heads: one per column, or none.
    """
    columns = max(len(row.tiles) for row in rows)
    cell = _LARGE_CELL if columns <= _MAX_LARGE_COLUMNS else _SMALL_CELL
    width, height = (count * (cell + _GAP) - _GAP for count in (columns, len(rows)))
    canvas = np.full((height, width, 3), 255, np.uint8)
    for down, row in enumerate(rows):
        for across, tile in enumerate(row.tiles):
            y, x = down * (cell + _GAP), across * (cell + _GAP)
            canvas[y : y + cell, x : x + cell] = _fit_cell(tile, cell)
    labels = [[typeset(line) for line in textwrap.wrap(row.label, _LABEL_WIDTH)] for row in rows]
    widest = max((text_width(line) for lines in labels for line in lines), default=0.0)
    left = round(DPI * (0.16 + widest)) if widest else _GAP
    top = round(DPI * 0.2) if heads else _GAP
    whole_width, whole_height = left + width + _GAP, top + height + _GAP
    figure = Figure(figsize=(whole_width / DPI, whole_height / DPI))
    axes = figure.add_axes(
        (left / whole_width, _GAP / whole_height, width / whole_width, height / whole_height)
    )
    axes.set_axis_off()
    axes.imshow(canvas, aspect="auto", interpolation="none", extent=(0, width, height, 0))
    for down, (row, lines) in enumerate(zip(rows, labels, strict=True)):
        middle = down * (cell + _GAP) + cell / 2
        axes.text(-0.1 * DPI, middle, "\n".join(lines), ha="right", va="center", linespacing=1.15)
        if row.style is not None:
            # A bar in the schedule's colour between the label and the images.
            ends = [middle - 0.3 * cell, middle + 0.3 * cell]
            axes.plot([-0.045 * DPI] * 2, ends, color=row.style.color, linewidth=2.0, clip_on=False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    for across, head in enumerate(heads):
        axes.text(
            across * (cell + _GAP) + cell / 2, -0.05 * DPI, head, ha="center", va="bottom", fontsize=7.0
        )
    return figure


def panel_grid(
    rows: int,
    columns: int,
    *,
    height: float,
    widest: float = PAGE_WIDTH,
    left: float = 0.55,
    right: float = 0.1,
    top: float = 0.25,
    bottom: float = 0.4,
    across: float = 0.12,
    down: float = 0.15,
    **shared: Any,
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a grid of axes; all lengths are in inches.

    Args:
        rows: panels one above the other.
        columns: panels side by side.
        height: of one panel.
        widest: maximum width of one panel.
        left, right, top, bottom: margins of the grid.
        across, down: gaps between panels.
        shared: ``sharex`` and ``sharey`` of `Figure.subplots`.

    Returns:
        The figure, and its axes [rows, columns].
    """
    width = min(widest, max(1.0, (PAGE_WIDTH - left - right - (columns - 1) * across) / columns))
    whole_width = left + columns * width + (columns - 1) * across + right
    whole_height = top + rows * height + (rows - 1) * down + bottom
    figure = Figure(figsize=(whole_width, whole_height))
    axes: NDArray[np.object_] = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / whole_width,
            "right": 1 - right / whole_width,
            "top": 1 - top / whole_height,
            "bottom": bottom / whole_height,
            "wspace": across / width,
            "hspace": down / height,
        },
        **shared,
    )
    return figure, axes


def annotate_rows(axes: NDArray[np.object_], names: Sequence[str]) -> None:
    """Write a name to the right of each row of panels."""
    for row, name in zip(axes, names, strict=True):
        row[-1].annotate(
            typeset(name),
            (1.0, 0.5),
            xytext=(5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            rotation=-90,
            ha="left",
            va="center",
        )


def legend(figure: Figure, entries: Sequence[tuple[str, SeriesStyle]], *, markers: bool = False) -> None:
    """Add a legend of the series at the top, in as many columns as fit the figure's width."""
    handles = [
        Line2D(
            [], [], label=typeset(label), **(style.line_and_marker_kwargs if markers else style.line_kwargs)
        )
        for label, style in entries
    ]
    fit = _legend_columns(entries, figure.get_figwidth())
    figure.legend(handles=handles, loc="upper center", ncols=min(fit, len(handles)), borderaxespad=0.2)


def legend_height(entries: Sequence[tuple[str, SeriesStyle]], width: float = PAGE_WIDTH) -> float:
    """Return the height of `legend` in inches, for a figure of this width in inches."""
    return 0.12 + 0.165 * -(-len(entries) // _legend_columns(entries, width))


def text_width(text: str, size: float = _FONT_SIZE) -> float:
    """Return the width in inches of a line of `typeset` text."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size), ismath="$" in text
    )
    return float(width) / 72.0


def set_row_ylabels(figure: Figure, axes: NDArray[np.object_], names: Sequence[str]) -> None:
    """Label the y axis of each row, with all labels aligned."""
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(name)
        left = row[0].get_position().x0 * figure.get_figwidth()
        wide = row[0].get_position().width * figure.get_figwidth()
        row[0].yaxis.set_label_coords(-(left - 0.2) / wide, 0.5)


def drawable(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace values that a logarithmic axis cannot show by NaN; a loss of 1e300 would flatten all other values."""
    return np.where((values > 1 / MAX_DRAWN) & (values < MAX_DRAWN), values, np.nan)


def format_log_axis(axis: Axis) -> None:
    """Put plain numbers at the ticks of a logarithmic axis, as densely as its range needs; call it after drawing."""
    low, high = axis.get_view_interval()
    if not 0 < low < high:  # nothing was drawn
        return
    decades = math.log10(high / low)
    subs = (
        (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0) if decades < 0.6 else (1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)
    )
    axis.set_major_locator(LogLocator(subs=subs, numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: log_tick_label(value)))
    axis.set_minor_formatter(NullFormatter())


def mark_empty(axes: Axes, reason: str = "no run") -> None:
    """Mark a panel as empty, with the reason in short lines."""
    axes.grid(False)
    axes.tick_params(length=0)
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=7.0)


def _fit_cell(tile: Pixels, cell: int) -> Pixels:
    """Resize an image to uint8 [cell, cell, 3]: small ones by repeating pixels, large ones by averaging."""
    rgb = tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=2)
    height, width = rgb.shape[:2]
    if max(height, width) > cell:
        return np.asarray(Image.fromarray(rgb).resize((cell, cell), Image.Resampling.BOX))
    steps = np.arange(cell)
    fitted: Pixels = rgb[steps * height // cell][:, steps * width // cell]
    return fitted


def log_tick_label(value: float) -> str:
    """Format a number for a logarithmic axis; very large and small ones as a power of ten."""
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    digits, _, exponent = f"{value:e}".partition("e")
    factor = f"{float(digits):g}"
    return f"$10^{{{int(exponent)}}}$" if factor == "1" else rf"${factor}\cdot 10^{{{int(exponent)}}}$"


def _legend_columns(entries: Sequence[tuple[str, SeriesStyle]], width: float) -> int:
    widest = max((text_width(typeset(label)) for label, _ in entries), default=0.0)
    return max(1, int(width / (_LEGEND_KEY_WIDTH + widest)))
