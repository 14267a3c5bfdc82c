"""Quality over the epochs: of the samples that were evaluated while training, or else of the sample sheets.

A sheet has few images. The sheets of all seeds are pooled, and the intervals show the remaining uncertainty. Samples
that were evaluated while training (`sample.evaluate_count`) are more, and need no data and no fits here.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from core.comparison.grouping import Member
from core.errors import UserError
from core.figures.figure_data import CannotDrawError, FigureData, Series, seed_count_text
from core.figures.images import find_heldout_set
from core.figures.layout import annotate_rows, mark_empty, panel_grid, set_row_ylabels
from core.figures.style import FAINT, typeset
from core.imaging import read_sheet
from core.runs.monitoring import run_plateau
from core.statistics.estimate import Estimate

MAX_EPOCHS: Final = 10
MIN_EPOCHS: Final = 4
"""Bounds of the number of evaluated epochs, which are evenly spaced and include the last."""
MAX_IMAGES: Final = 1000
"""Limit of evaluated samples per data set, unless `MIN_EPOCHS` needs more: a fit takes milliseconds."""
REFERENCE_IMAGES: Final = 500
"""Held-out images that set the thresholds of a pass; the intervals include the error of these thresholds."""

Greys = NDArray[np.float32]


def draw_progress(data: FigureData) -> tuple[Figure, str]:
    """Draw a panel for each schedule and data set: the share of samples that are triangles, epoch by epoch.

    A line marks the best epoch of the first seed by its `train.monitor`, with what came after it in words.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has samples, or the held-out images that set the thresholds are not on this machine,
            or are not triangles.
        UserError: a sheet is damaged.
    """
    recorded = {(one.dataset, one.label): rates for one in data.series if (rates := recorded_rates(one))}
    evaluated = dict(recorded)
    missing, others = list[str](), list[str]()
    for dataset in data.datasets:
        if all((dataset, one.label) in recorded for one in data.on(dataset)):
            continue
        found = find_heldout_set(data, dataset)
        if found is None or found.heldout_vertices is None or found.heldout.shape[1] != 1:
            (missing if found is None else others).append(data.titles[dataset])
            continue
        heldout = found.heldout[:REFERENCE_IMAGES].astype(np.float32) / 255.0
        sheets = [one for one in data.on(dataset) if (dataset, one.label) not in recorded]
        evaluated |= pass_rates_by_epoch(sheets, heldout)
    if not evaluated:
        if missing:
            names = ", ".join(missing)
            raise CannotDrawError(
                f"the held-out images of {names} are not on this machine; make them with core data make"
            )
        if others:
            raise CannotDrawError(f"the images of {', '.join(others)} are not grey triangles")
        raise CannotDrawError("no run has drawn samples yet")
    datasets = [name for name in data.datasets if any(key[0] == name for key in evaluated)]
    labels = [label for label in data.labels if any(key[1] == label for key in evaluated)]
    figure, axes = panel_grid(
        len(datasets), len(labels), height=1.1, left=0.6, right=0.3, top=0.3, across=0.1, down=0.12,
        sharex=True, sharey=True,
    )  # fmt: skip
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, label in zip(row, labels, strict=True):
            if (dataset, label) not in evaluated:
                mark_empty(axis, "no samples" if data.find(dataset, label) else "no run")
                continue
            style = data.styles[label]
            epochs = [epoch for epoch, _ in evaluated[dataset, label]]
            numbers = [(one.value, one.low, one.high) for _, one in evaluated[dataset, label]]
            values, lows, highs = np.array(numbers, dtype=np.float64).T
            axis.vlines(epochs, lows, highs, color=style.color, alpha=0.35, linewidth=2.5)
            axis.plot(epochs, values, **{**style.line_and_marker_kwargs, "markersize": 2.8, "linewidth": 1.1})
            axis.axhline(0.95, color=FAINT, linewidth=0.7, linestyle=(0, (2, 2)))
            first = next(one for one in data.on(dataset) if one.label == label).first
            _mark_best_epoch(axis, first)
    axes[0, 0].set_ylim(-0.04, 1.06)
    axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis, label in zip(axes[0], labels, strict=True):
        axis.set_title(typeset(label), pad=4)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    set_row_ylabels(figure, axes, ["pass ↑"] * len(datasets))
    annotate_rows(axes, [data.titles[dataset] for dataset in datasets])
    shown = [one for one in data.series if (one.dataset, one.label) in evaluated]
    note = (
        f" Not evaluated, because their held-out images are not on this machine: {', '.join(missing)}."
        if missing
        else ""
    )
    sources = [
        *(["samples evaluated while training (balanced pass rate)"] if recorded else []),
        *(["sample sheets, evaluated by shape"] if len(evaluated) > len(recorded) else []),
    ]
    subject = " and ".join(sources)
    caption = (
        f"{subject[0].upper()}{subject[1:]}; 95% intervals; dotted: real images; grey line: best epoch of the first "
        f"seed by its train.monitor; {seed_count_text(shown)}, pooled.{note}"
    )
    return figure, caption


def recorded_rates(series: Series) -> list[tuple[int, Estimate]]:
    """Return the balanced pass rates that were measured while training, by epoch, as means over the seeds.

    Seeds are independent, so the halves of their intervals add up as squares.
    """
    by_epoch: dict[int, list[Estimate]] = {}
    for member in series.members:
        for record in member.epochs:
            rate = record.quality.get("balanced_pass_rate")
            if rate is not None and rate.value is not None:
                by_epoch.setdefault(record.epoch, []).append(rate)
    return [(epoch, _mean(rates)) for epoch, rates in sorted(by_epoch.items())]


def _mean(rates: Sequence[Estimate]) -> Estimate:
    value = float(np.mean([rate.value for rate in rates]))
    numbers = [(rate.value, rate.low, rate.high) for rate in rates if None not in (rate.low, rate.high)]
    if len(numbers) < len(rates):
        return Estimate(value)
    values, lows, highs = np.array(numbers, dtype=np.float64).T
    down, up = np.sqrt([np.sum((values - lows) ** 2), np.sum((highs - values) ** 2)]) / len(rates)
    return Estimate(value, max(0.0, value - float(down)), min(1.0, value + float(up)))


def _mark_best_epoch(axis: Axes, member: Member) -> None:
    """Draw a line at the best epoch of a run, with the verdict on those after it."""
    plateau = run_plateau(member.epochs, member.config.train.monitor)
    if plateau is None:
        return
    axis.axvline(plateau.epoch, color=FAINT, linewidth=0.7, zorder=0)
    words = "\n".join(textwrap.wrap(plateau.text, 16))
    axis.text(0.04, 0.97, words, transform=axis.transAxes, va="top", fontsize=5.0, color=FAINT)


def pass_rates_by_epoch(
    series: Sequence[Series], heldout: Greys
) -> dict[tuple[str, str], list[tuple[int, Estimate]]]:
    """Return the pass rate of each series at each epoch; all images of a data set are fitted in one call."""
    from core.evaluation.metrics.shape import ShapeReference
    from core.evaluation.triangle_fit.fit import fit_triangles

    sheets = [
        ((one.dataset, one.label), epoch, images)
        for one in series
        for epoch, images in samples_by_epoch(one.members, epoch_limit(series), heldout.shape[-1])
    ]
    if not sheets:
        return {}
    reference = ShapeReference.from_images(heldout)
    fits = fit_triangles(np.concatenate([images for *_, images in sheets]), edge=reference.edge)
    found: dict[tuple[str, str], list[tuple[int, Estimate]]] = {}
    first = 0
    for key, epoch, images in sheets:
        evaluation = reference.evaluate(fits.select(slice(first, first + len(images))))
        found.setdefault(key, []).append((epoch, evaluation.metrics["pass_rate"]))
        first += len(images)
    return found


def epoch_limit(series: Sequence[Series]) -> int:
    """Return the number of epochs of each series that can be evaluated in a reasonable time."""
    samples_per_epoch = sum(member.config.sample.count for one in series for member in one.members)
    return min(max(MAX_IMAGES // samples_per_epoch, MIN_EPOCHS), MAX_EPOCHS)


def samples_by_epoch(members: Sequence[Member], limit: int, side: int) -> list[tuple[int, Greys]]:
    """Read the grey samples of all members at up to `limit` epochs, float32 [N, 1, S, S] in [0, 1]."""
    paths: dict[int, list[Path]] = {}
    for member in members:
        for epoch, path in member.info.directory.sample_sheets():
            if epoch:
                paths.setdefault(epoch, []).append(path)
    chosen = sorted(paths)
    if len(chosen) > limit:
        chosen = [chosen[index] for index in np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    return [(epoch, np.concatenate([_read_grey(path, side) for path in paths[epoch]])) for epoch in chosen]


def _read_grey(path: Path, side: int) -> Greys:
    tiles = read_sheet(path).images
    if tiles.ndim != 3 or tiles.shape[1:] != (side, side):
        raise UserError(f"{path}: expected grey images of {side} x {side} pixels, as in the data")
    return tiles[:, None].astype(np.float32) / 255.0
