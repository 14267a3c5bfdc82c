"""Figures 6.7 and 6.8: mean, minimum and maximum loss of each epoch, and the held-out loss."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from core.comparison.grouping import Member
from core.figures.figure_data import CannotDrawError, FigureData, Series, seed_count_text
from core.figures.layout import (
    annotate_rows,
    drawable,
    format_log_axis,
    mark_empty,
    panel_grid,
    set_row_ylabels,
)
from core.figures.style import FAINT, INK, SeriesStyle, typeset

THESIS_LONG_EPOCHS: Final = 190
"""Epochs of the linear schedule in the thesis's figure 6.8."""
THESIS_EPOCHS: Final = 100
"""Epochs of all other schedules in the thesis."""

LossTable = NDArray[np.float64]


def pooled_losses(members: Sequence[Member]) -> LossTable:
    """Pool the losses of runs that differ in their seed.

    Returns:
        float64 [5, epochs]: epoch, mean over the runs of the mean batch loss, smallest and largest batch loss of any
        run, mean over the runs of the held-out loss. NaN where a run's loss was not finite or not measured.
    """
    by_epoch: dict[int, list[tuple[float, float, float, float]]] = {}
    for member in members:
        for record in member.epochs:
            row = (record.mean, record.min, record.max, record.heldout)
            by_epoch.setdefault(record.epoch, []).append(row)
    if not by_epoch:
        return np.empty((5, 0))
    columns = []
    for epoch, found in sorted(by_epoch.items()):
        means, lows, highs, heldouts = np.array(found).T
        columns.append((epoch, means.mean(), lows.min(), highs.max(), heldouts.mean()))
    return np.array(columns, dtype=np.float64).T


def draw_losses(data: FigureData) -> tuple[Figure, str]:
    """Draw figure 6.7: a panel for each schedule and data set, with the means of the other schedules behind.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has completed an epoch.
    """
    tables = {(series.dataset, series.label): pooled_losses(series.members) for series in data.series}
    if not any(table.size for table in tables.values()):
        raise CannotDrawError("no run has completed an epoch yet")
    labels, datasets = data.labels, data.datasets
    figure, axes = panel_grid(
        len(datasets), len(labels), height=1.15, left=0.55, right=0.3, top=0.5, bottom=0.4, across=0.1,
        down=0.12, sharex=True, sharey=True,
    )  # fmt: skip
    for row, dataset in zip(axes, datasets, strict=True):
        here = {label: tables[dataset, label] for label in labels if (dataset, label) in tables}
        for axis, label in zip(row, labels, strict=True):
            if not here.get(label, np.empty(0)).size:
                mark_empty(axis, "no epoch yet" if data.find(dataset, label) else "no run")
                continue
            for other, table in here.items():
                if other != label:
                    axis.plot(table[0], drawable(table[1]), color=FAINT, alpha=0.45, linewidth=0.5)
            _draw_losses(axis, here[label], data.styles[label])
    for axis, label in zip(axes[0], labels, strict=True):
        axis.set_title(typeset(label), pad=4)
    annotate_rows(axes, [data.titles[dataset] for dataset in datasets])
    _finish_axes(figure, axes)
    return figure, f"{_capital(seed_count_text(data.series))}. Thin grey lines: the other schedules."


def draw_long(data: FigureData) -> tuple[Figure, str, str]:
    """Draw figure 6.8: the linear schedule trained for 190 epochs, or as long as any run was.

    Returns:
        The figure, its title and its caption.

    Raises:
        CannotDrawError: no linear run has completed an epoch.
    """
    chosen = [one for one in map(_longest, data.series) if one is not None]
    if not chosen:
        raise CannotDrawError("no run with the linear schedule has completed an epoch yet")
    most = max(_length(one.first) for one in chosen)
    chosen = [one for one in chosen if _length(one.first) == most]
    figure, axes = panel_grid(1, len(chosen), height=2.2, left=0.55, top=0.5, bottom=0.42, sharey=True)
    for axis, one in zip(axes[0], chosen, strict=True):
        _draw_losses(axis, pooled_losses(one.members), one.style)
        axis.set_title(typeset(one.title), pad=4)
        if most > THESIS_EPOCHS:
            axis.axvline(THESIS_EPOCHS, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    _finish_axes(figure, axes)
    # The dotted line marks the length of the other runs, to which a resumed run had been trained before.
    note = (
        f" Dotted: epoch {THESIS_EPOCHS}, where the thesis ends the other schedules."
        if most > THESIS_EPOCHS
        else ""
    )
    title = f"The linear schedule trained for {most} epoch{'s' * (most != 1)}"
    if most < THESIS_LONG_EPOCHS:
        title += f" (no run has {THESIS_LONG_EPOCHS})"
    return figure, title, f"{_capital(seed_count_text(chosen))}.{note}"


def _longest(series: Series) -> Series | None:
    """Keep the longest-trained members of a linear series; None for other schedules, and without a completed epoch."""
    most = max(map(_length, series.members))
    if series.first.config.schedule.name != "linear" or not most:
        return None
    kept = tuple(member for member in series.members if _length(member) == most)
    return replace(series, members=kept)


def _length(member: Member) -> int:
    return member.epochs[-1].epoch if member.epochs else 0


def _draw_losses(axes: Axes, table: LossTable, style: SeriesStyle) -> None:
    epoch, mean, low, high, heldout = table[0], *map(drawable, table[1:])
    alone = len(epoch) == 1
    mark: dict[str, Any] = {"marker": "o", "markersize": 3} if alone else {}
    axes.fill_between(epoch, low, high, color=style.color, alpha=0.2, linewidth=0.8 if alone else 0)
    axes.plot(epoch, mean, color=style.color, **mark)
    axes.plot(epoch, heldout, color=INK, linewidth=0.9, linestyle=(0, (2.5, 1.5)), **mark)
    finite = np.flatnonzero(np.isfinite(mean))
    if len(finite) and finite[-1] < len(mean) - 1:
        # A cross marks the last finite loss.
        axes.plot(epoch[finite[-1]], mean[finite[-1]], color=INK, marker="x", markersize=5)


def _finish_axes(figure: Figure, axes: NDArray[np.object_]) -> None:
    for axis in axes.ravel():
        axis.set_yscale("log")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    format_log_axis(axes[0, 0].yaxis)
    set_row_ylabels(figure, axes, ["loss"] * len(axes))
    handles = [
        Line2D([], [], color=FAINT, label="mean of the batches"),
        Patch(color=FAINT, alpha=0.35, linewidth=0, label="smallest to largest batch"),
        Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (2.5, 1.5)), label="held-out images"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=3, borderaxespad=0.2)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
