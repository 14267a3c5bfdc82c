"""What the datasets screen has to export: the tiles that are seen, and how grey each side is."""

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
    """The tiles as one picture, and the shares of pixels as CSV; nothing where there are no pictures.

    Args:
        rows: tiles, line under line.
        greys: of each side its name and its shares.
    """
    if not rows:
        return []
    return [
        ExportItem("pictures.png", lambda: png(render_wall(rows))),
        ExportItem("greys.csv", lambda: _table(greys)),
    ]


def _table(greys: Sequence[tuple[str, GreyShares]]) -> bytes:
    """A line for each group of grey values, shares of pixels from 0 to 1."""
    kept = io.StringIO()
    lines = csv.writer(kept)
    lines.writerow(["from", "to", *(name for name, _ in greys)])
    for place, group in enumerate(GREY_BINS):
        lines.writerow([*group, *(one.shares[place] for _, one in greys)])
    return kept.getvalue().encode()
