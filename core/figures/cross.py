"""Training schedule by sampling schedule: the networks of runs sampled at each other's levels of noise."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from core.comparison.formatting import MISSING, metric_title, value_text
from core.figures.figure_data import CannotDrawError, FigureData, Series
from core.figures.layout import panel_grid, text_width
from core.figures.style import typeset
from core.runs import METRICS
from core.runs.cross import CrossCell, read_cross_cells

_CELL: Final = 0.36
_MAX_METRICS: Final = 2


def draw_cross(data: FigureData) -> tuple[Figure, str]:
    """Draw a panel per metric for the first data set that has a crossing; of several, the newest.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has cells.
    """
    for dataset in data.datasets:
        found = [(one, read_cross_cells(one.first.info.directory)) for one in data.on(dataset)]
        if any(cells for _, cells in found):
            return _draw([(one, cells) for one, cells in found if cells])
    raise CannotDrawError("no run was sampled at the levels of other schedules; run core evaluate --cross")


def _draw(found: list[tuple[Series, list[CrossCell]]]) -> tuple[Figure, str]:
    newest = found[0][1][-1]
    rows = [(one.label, _newest_by_schedule(cells, newest)) for one, cells in found]
    columns = list(dict.fromkeys(name for _, cells in rows for name in cells))
    names = list(newest.metrics)[:_MAX_METRICS]
    left = 0.2 + max(text_width(typeset(label), 7.0) for label, _ in rows)
    figure, axes = panel_grid(
        1, max(len(names), 1), height=_CELL * len(rows), widest=0.55 * len(columns), left=left, top=0.45,
        bottom=0.15, across=0.25, sharey="row",
    )  # fmt: skip
    for axis, name in zip(axes[0], names, strict=False):
        estimates = [
            [cells[c].metrics.get(name) if c in cells else None for c in columns] for _, cells in rows
        ]
        values = np.array(
            [[np.nan if e is None or e.value is None else e.value for e in row] for row in estimates]
        )
        shades = values if METRICS[name].better == "higher" else -values
        axis.imshow(shades, cmap="Greys_r", aspect="auto", interpolation="nearest")
        middle = (np.nanmin(shades) + np.nanmax(shades)) / 2 if np.isfinite(shades).any() else 0.0
        for i, (_, cells) in enumerate(rows):
            for j, column in enumerate(columns):
                text = value_text(name, estimates[i][j]) if column in cells else MISSING
                mark = "*" if column in cells and cells[column].beyond else ""
                axis.text(
                    j, i, text + mark, ha="center", va="center", fontsize=6.5,
                    color="black" if shades[i, j] > middle else "white",
                )  # fmt: skip
        axis.set_title(metric_title(name), pad=16, fontsize=8)
        axis.set_xticks(range(len(columns)), [typeset(column) for column in columns])
        axis.set_yticks(range(len(rows)), [typeset(label) for label, _ in rows])
        axis.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False, left=False)
        axis.grid(visible=False)
    return figure, (
        "Rows: training schedule; columns: schedule whose levels of noise were sampled. "
        f"{newest.count} samples a cell, {newest.sampler}. * its first levels are noisier than all of the training."
    )


def _newest_by_schedule(cells: list[CrossCell], like: CrossCell) -> dict[str, CrossCell]:
    return {
        cell.schedule: cell
        for cell in cells
        if (cell.sampler, cell.count, cell.start, cell.heldout)
        == (like.sampler, like.count, like.start, like.heldout)
    }
