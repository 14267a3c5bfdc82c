"""Noise-prediction error of the trainings by log SNR: after the last epoch, and epoch by epoch."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from core.comparison.grouping import Member
from core.figures.figure_data import CannotDrawError, FigureData, seed_count_text
from core.figures.layout import (
    annotate_rows,
    drawable,
    format_log_axis,
    legend,
    legend_height,
    mark_empty,
    panel_grid,
    set_row_ylabels,
)
from core.figures.reverse import epochs_text
from core.figures.style import FAINT, typeset
from core.runs.noise_error_epochs import have_heldout_errors, held_between, noise_errors_by_epoch
from core.statistics.noise_error_bins import EDGES, NoiseErrorBins, multiples_of_best

NOT_RECORDED: Final = "no run has recorded its noise-prediction error: older versions did not"
AXIS_LABEL: Final = "log SNR"
COLORS: Final = "cividis"
MAX_MULTIPLE: Final = 100.0
"""Multiple of the lowest error from which on all have the same colour."""

BinsByEpoch = dict[int, NoiseErrorBins]


def bins_by_epoch(members: Sequence[Member], *, heldout: bool = False) -> BinsByEpoch:
    """Return the bins of each epoch, ascending, pooled over runs that differ in their seed.

    Args:
        members: the runs.
        heldout: those of held-out images, which epochs without a sheet of samples have from the sheet before, instead
            of those of the training.
    """
    found: dict[int, list[NoiseErrorBins]] = {}
    for member in members:
        errors = noise_errors_by_epoch(member.epochs, heldout=heldout)
        for epoch, bins in (held_between(errors) if heldout else errors).items():
            if np.isfinite(bins.errors_by_bin()).any():
                found.setdefault(epoch, []).append(bins)
    return {epoch: NoiseErrorBins.pooled(found[epoch]) for epoch in sorted(found)}


def draw_curves(data: FigureData) -> tuple[Figure, str]:
    """Draw the error of the last epoch over log SNR, a panel for each data set with a line for each series.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has recorded the error.
    """
    found = _recorded(data)
    labels = [label for label in data.labels if any(key[1] == label for key in found)]
    datasets = [name for name in data.datasets if any(key[0] == name for key in found)]
    entries = [(label, data.styles[label]) for label in labels]
    figure, axes = panel_grid(
        1, len(datasets), height=2.4, widest=4.4, top=legend_height(entries) + 0.22, bottom=0.42,
        sharex=True, sharey=True,
    )  # fmt: skip
    for axis, dataset in zip(axes[0], datasets, strict=True):
        axis.set_title(typeset(data.titles[dataset]), pad=4)
        axis.set_xlabel(AXIS_LABEL)
        for label in labels:
            if (dataset, label) in found:
                log_snr, error = list(found[dataset, label].values())[-1].curve()
                style: dict[str, Any] = {**data.styles[label].line_and_marker_kwargs, "markersize": 3.0}
                axis.plot(log_snr, drawable(error), **style)
    axes[0, 0].set_yscale("log")
    format_log_axis(axes[0, 0].yaxis)
    set_row_ylabels(figure, axes, [r"$\|\epsilon - \hat\epsilon\|^2 / d$"])
    legend(figure, entries, markers=True)
    shown = [one for one in data.series if (one.dataset, one.label) in found]
    epochs = epochs_text([max(bins) for bins in found.values()])
    return figure, (
        f"Training images of the last epoch, {epochs}; {seed_count_text(shown)}. "
        "The error belongs to data and network: where lines of the same data differ, the networks do."
    )


def draw_epochs(data: FigureData) -> tuple[Figure, str]:
    """Draw the error over log SNR and epochs as colours, a panel for each schedule and data set.

    Colours show multiples of the lowest error at the same level, see `multiples_of_best`. The errors are those of the
    averaged weights on held-out images if all runs have them, and else those of the training.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has recorded the error.
    """
    heldout = have_heldout_errors(member.epochs for one in data.series for member in one.members)
    found = _recorded(data, heldout=heldout)
    labels = [label for label in data.labels if any(key[1] == label for key in found)]
    datasets = [name for name in data.datasets if any(key[0] == name for key in found)]
    tables = {key: multiples_of_best(list(bins.values())) for key, bins in found.items()}
    highest = max(float(np.nanmax(table)) for table in tables.values())
    norm = LogNorm(1.0, min(max(highest, 2.0), MAX_MULTIPLE), clip=True)
    figure, axes = panel_grid(
        len(datasets), len(labels), height=1.35, left=0.55, right=0.95, top=0.3, bottom=0.42, across=0.1,
        down=0.12, sharex=True, sharey=True,
    )  # fmt: skip
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, label in zip(row, labels, strict=True):
            if (dataset, label) not in found:
                mark_empty(axis, "not recorded" if data.find(dataset, label) else "no run")
                continue
            _draw_heatmap(axis, list(found[dataset, label]), tables[dataset, label], norm)
    for axis, label in zip(axes[0], labels, strict=True):
        axis.set_title(typeset(label), pad=4)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    set_row_ylabels(figure, axes, [AXIS_LABEL] * len(datasets))
    annotate_rows(axes, [data.titles[dataset] for dataset in datasets])
    _add_color_bar(figure, axes, norm)
    shown = [one for one in data.series if (one.dataset, one.label) in found]
    source = "averaged weights on held-out images" if heldout else "the training images of each epoch"
    return figure, (
        f"Error of {source}, as a multiple of the lowest at the same log SNR, so the darkest "
        f"is the best; white: no image had that log SNR; {seed_count_text(shown)}."
    )


def _recorded(data: FigureData, *, heldout: bool = False) -> dict[tuple[str, str], BinsByEpoch]:
    found = {(one.dataset, one.label): bins_by_epoch(one.members, heldout=heldout) for one in data.series}
    found = {key: bins for key, bins in found.items() if bins}
    if not found:
        raise CannotDrawError(NOT_RECORDED)
    return found


def _draw_heatmap(axes: Axes, epochs: list[int], table: NDArray[np.float64], norm: LogNorm) -> None:
    axes.grid(False)
    for epoch, errors in zip(epochs, table, strict=True):  # epochs may be missing
        column = np.ma.masked_invalid(errors)[:, None]
        axes.pcolormesh([epoch - 0.5, epoch + 0.5], EDGES, column, norm=norm, cmap=COLORS, rasterized=True)


def _add_color_bar(figure: Figure, axes: NDArray[np.object_], norm: LogNorm) -> None:
    from matplotlib.cm import ScalarMappable

    upper, lower = axes[0, -1].get_position(), axes[-1, -1].get_position()
    width = figure.get_figwidth()
    place = figure.add_axes((upper.x1 + 0.3 / width, lower.y0, 0.09 / width, upper.y1 - lower.y0))
    bar = figure.colorbar(ScalarMappable(norm, COLORS), cax=place)
    bar.outline.set_edgecolor(FAINT)
    place.grid(False)
    format_log_axis(place.yaxis)
