"""Exports of the datasets screen: the visible tiles, and the grey histogram of each side."""

import csv
import io
from collections.abc import Sequence

from tui.export.image_files import png, render_wall
from tui.export.item import ExportItem
from tui.screens.datasets.grey_histogram import GREY_BINS, GreyShares
from tui.widgets.images.image_wall import WallColumn


def dataset_items(
    rows: Sequence[Sequence[WallColumn]], greys: Sequence[tuple[str, GreyShares]]
) -> list[ExportItem]:
    """The tiles as one image, and the grey histograms as CSV; nothing if there are no tiles.

    Args:
        rows: the tiles, row by row.
        greys: the name and the histogram of each side.
    """
    if not rows:
        return []
    return [
        ExportItem("pictures.png", lambda: png(render_wall(rows))),
        ExportItem("greys.csv", lambda: _table(greys)),
    ]


def _table(greys: Sequence[tuple[str, GreyShares]]) -> bytes:
    """A line for each bin of grey values, with shares of pixels from 0 to 1."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["from", "to", *(name for name, _ in greys)])
    for index, grey_bin in enumerate(GREY_BINS):
        table.writerow([*grey_bin, *(one.shares[index] for _, one in greys)])
    return text.getvalue().encode()
