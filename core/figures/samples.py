"""Figures 6.2, 6.4 and 6.6: samples from five starting noises, one row per schedule."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from core.comparison.grouping import Member
from core.figures.figure_data import CannotDrawError, Series
from core.figures.layout import TileRow, tile_figure
from core.figures.reverse import epochs_text
from core.imaging import Sheet, read_sheet

SAMPLE_COUNT: Final = 5


def latest_sheet(member: Member) -> tuple[int, Sheet] | None:
    """Read the latest sample sheet of a trained run, with its epoch; None if there is no sheet after epoch 0.

    Raises:
        UserError: the sheet is damaged.
    """
    sheets = [(epoch, path) for epoch, path in member.info.directory.sample_sheets() if epoch]
    return (sheets[-1][0], read_sheet(sheets[-1][1])) if sheets else None


def draw_samples(series: Sequence[Series]) -> tuple[Figure, str]:
    """Draw samples from the same five starting noises, by the first run of each series that has samples.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has samples.
        UserError: a sheet is damaged.
    """
    rows, epochs = [], []
    for one in series:
        sheet = next(filter(None, map(latest_sheet, one.members)), None)
        if sheet is not None:
            rows.append(TileRow(one.label, list(sheet[1].images[:SAMPLE_COUNT]), one.style))
            epochs.append(sheet[0])
    if not rows:
        raise CannotDrawError("no run on these data has drawn samples yet")
    starts = max(len(row.tiles) for row in rows)
    heads = ["start 1", *[str(start) for start in range(2, starts + 1)]]
    return tile_figure(rows, heads), f"Each column has the same starting noise; {epochs_text(epochs)}."
