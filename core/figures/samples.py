"""Figures 6.2, 6.4 and 6.6: samples from five starting noises, one row per schedule."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from core.comparison.grouping import Member
from core.figures.figure_data import CannotDrawError, Series
from core.figures.layout import TileRow, tile_figure
from core.figures.reverse import epochs_text
from core.figures.style import printable_line, typeset
from core.imaging import Sheet, read_sheet
from core.imaging.sheet_classes import sheet_classes

SAMPLE_COUNT: Final = 5
_HEAD_WIDTH: Final = 12
"""Characters of a class above its column."""


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
    rows, epochs, classes = list[TileRow](), list[int](), list[tuple[str, ...]]()
    for one in series:
        sheet = next(filter(None, map(latest_sheet, one.members)), None)
        if sheet is not None:
            rows.append(TileRow(one.label, list(sheet[1].images[:SAMPLE_COUNT]), one.style))
            epochs.append(sheet[0])
            classes.append(sheet_classes(sheet[1].meta))
    if not rows:
        raise CannotDrawError("no run on these data has drawn samples yet")
    columns = max(len(row.tiles) for row in rows)
    caption = f"Each column has the same starting noise; {epochs_text(epochs)}."
    if not any(classes):
        heads = ["start 1", *[str(start) for start in range(2, columns + 1)]]
    elif len(set(classes)) == 1:  # image i of a sheet is of class i mod K
        names = [_head(name) for name in classes[0]]
        heads = [typeset(names[column % len(names)]) for column in range(columns)]
        caption = f"Each column has a class and the same starting noise; {epochs_text(epochs)}."
    else:
        heads = []
    return tile_figure(rows, heads), caption


def _head(name: str) -> str:
    shown = printable_line(name)
    return shown if len(shown) <= _HEAD_WIDTH else shown[: _HEAD_WIDTH - 1] + "…"
