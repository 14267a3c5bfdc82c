"""Samples that are most like copies, each above its nearest training image, from the sheets of `core evaluate`."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from core.figures.figure_data import CannotDrawError, Series
from core.figures.layout import TileRow, tile_figure
from core.imaging import read_sheet

SHOWN: Final = 8


def draw_nearest(series: Sequence[Series]) -> tuple[Figure, str]:
    """Draw two rows per series: samples of the first run that has them, and their nearest training images.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has a sheet, which `core evaluate` makes of images other than triangles.
        UserError: a sheet is damaged.
    """
    rows = []
    for one in series:
        sheets = [member.info.directory.nearest_sheet for member in one.members]
        path = next((path for path in sheets if path.is_file()), None)
        if path is None:
            continue
        sheet = read_sheet(path)
        samples, beside = sheet.images[:SHOWN], sheet.images[sheet.columns : sheet.columns + SHOWN]
        rows += [TileRow(one.label, list(samples), one.style), TileRow("nearest in training", list(beside))]
    if not rows:
        raise CannotDrawError(
            "no run on these data has such a sheet; core evaluate makes it of images other than triangles"
        )
    return tile_figure(rows), (
        "Of all evaluated samples those whose nearest training image is nearest in relation to the second nearest."
    )
