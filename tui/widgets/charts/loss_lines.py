"""Computation of a chart's lines, and of the values that its cursor reads, from losses and a view of the axes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tui.widgets.charts.binning import (
    FAILED_DASHES,
    HELDOUT_DASHES,
    Extents,
    connected,
    dashed,
    envelope,
    interpolate_gaps,
    interpolate_points,
    settled,
    smoothed,
)
from tui.widgets.charts.canvas import Curve
from tui.widgets.charts.decimation import MAX_LOSS, BucketedSeries, MinMaxBuckets
from tui.widgets.charts.series import Series

Floats = NDArray[np.float64]

SHOWN_LOSSES: Final = ("both", "training", "held-out")


class View(NamedTuple):
    """Axes, smoothing and selection of a chart.

    `shown` is one of `SHOWN_LOSSES`; `highlight` is the index of the emphasised series, None for none.
    """

    log_x: bool
    log_y: bool
    smoothing: int
    shown: str
    highlight: int | None


class LossLines(NamedTuple):
    """The lines of all series in columns of dots between `edges` [columns + 1], and the values for the readout.

    `means` and `heldouts` [columns] are on the scale of the y axis, NaN if there is none. `broken` marks columns with
    losses of which none is finite. `y_range` is None if nothing finite is visible.
    """

    edges: Floats
    curves: list[Curve]
    means: list[Floats]
    heldouts: list[Floats]
    broken: list[NDArray[np.bool_]]
    y_range: tuple[float, float] | None


def x_extent(series: Sequence[Series], shown: str) -> tuple[float, float, float] | None:
    """The x of the first loss, of the last loss and of the first step; None if there are no losses."""
    ends: list[float] = []
    first_steps: list[float] = []
    for one in series:
        arrays = [one.heldout[0]] if one.heldout is not None and shown != "training" else []
        if shown != "held-out":
            arrays.append(one.steps)
        for array in arrays:
            if len(array):
                ends += one.steps_to_x(array[[0, -1]]).tolist()
                first_steps += one.steps_to_x(np.array([1.0])).tolist()
    if not ends:
        return None
    return min(ends), max(ends), min(first_steps)


def make_loss_lines(
    series: Sequence[Series], buckets: Sequence[BucketedSeries], edges: Floats, view: View, *, whole: bool
) -> LossLines:
    """Compute the lines of series.

    Args:
        series: the series to draw.
        buckets: their losses.
        edges: edges of the columns of dots, ascending, in the unit of the x axis.
        view: axes, smoothing and selection.
        whole: the columns span the whole training, so a linear y axis leaves out its beginning.
    """
    found = LossLines(edges, [], [], [], [], None)
    for index, (one, kept) in enumerate(zip(series, buckets, strict=True)):
        steps = one.x_to_steps(edges)
        band = view.highlight == index or len(series) == 1
        _add_lines(found, one, kept.buckets(steps), steps, view, band=band)
    return found._replace(y_range=_y_range(found.curves, view, whole=whole))


def loss_at(value: float, *, log_y: bool) -> float:
    """The loss at a position on the y axis."""
    return float(10.0**value) if log_y else value


def _add_lines(
    found: LossLines, one: Series, buckets: MinMaxBuckets, steps: Floats, view: View, *, band: bool
) -> None:
    """Add the lines of a series, whose columns have their edges at these `steps` [columns + 1]."""
    edges = found.edges
    nothing = np.full(len(edges) - 1, np.nan)
    broken = (buckets.total > 0) & (buckets.finite == 0)
    extents, line, mean = None, Extents(nothing, nothing), nothing
    if view.shown == "held-out":
        broken = np.zeros_like(broken)
    else:
        means = smoothed(buckets, view.smoothing)
        if view.smoothing and one.recent:
            means = settled(means, steps, one.steps[-one.recent :], one.losses[-one.recent :])
        mean = interpolate_gaps(_on_y_axis(means, view), broken)
        low, high = (interpolate_gaps(_on_y_axis(part, view), broken) for part in (buckets.low, buckets.high))
        line = connected(mean) if view.smoothing else envelope(low, high)
        if view.smoothing and band:
            extents = Extents(low, high)
    heldout, through, last = Extents(nothing, nothing), nothing, mean
    if one.heldout is not None and view.shown != "training":
        epoch_ends, losses = one.heldout
        through = interpolate_points(
            one.steps_to_x(epoch_ends), _on_y_axis(losses, view), edges, log_x=view.log_x
        )
        heldout = connected(through)
        if view.shown == "held-out":
            last = through
        else:
            heldout = dashed(heldout, HELDOUT_DASHES)
    if one.dashed:
        line = dashed(line, FAILED_DASHES)
    known = np.flatnonzero(np.isfinite(last))
    end = (int(known[-1]), float(last[known[-1]])) if len(known) else None
    breaks = [
        (int(column), float(last[known[before - 1]]) if before else float("nan"))
        for column in np.flatnonzero(broken & ~np.append(False, broken[:-1]))
        for before in [int(np.searchsorted(known, column))]
    ]
    found.curves.append(Curve(line, heldout, extents, end, breaks))
    found.means.append(mean)
    found.heldouts.append(through)
    found.broken.append(broken)


def _on_y_axis(values: Floats, view: View) -> Floats:
    values = np.where(np.abs(values) <= MAX_LOSS, values, np.nan)
    if not view.log_y:
        return values
    scaled: Floats = np.log10(values, out=np.full(len(values), np.nan), where=values > 1 / MAX_LOSS)
    return scaled


def _y_range(curves: Sequence[Curve], view: View, *, whole: bool) -> tuple[float, float] | None:
    """The range of the y axis. A linear axis omits the first steps, which would flatten all that follows."""
    lows = [extents.low for curve in curves for extents in (curve.line, curve.heldout)]
    highs = [extents.high for curve in curves for extents in (curve.line, curve.heldout)]
    low_values, high_values = np.concatenate(lows), np.concatenate(highs)
    if not np.isfinite(low_values).any():
        return None
    low, high = float(np.nanmin(low_values)), float(np.nanmax(high_values))
    if not view.log_y:
        settled = np.concatenate([array[len(array) // 12 if whole else 0 :] for array in highs])
        if np.isfinite(settled).any():
            high = max(float(np.nanmax(settled)), low)
        if 0 <= low < 0.4 * high:
            low = 0.0
    for curve in curves:
        if curve.band is not None and np.isfinite(curve.band.low).any():
            low = min(low, float(np.nanpercentile(curve.band.low, 5)))
            if view.log_y:
                high = max(high, float(np.nanpercentile(curve.band.high, 95)))
    pad = (high - low) * 0.04 or (0.1 if view.log_y else abs(high) * 0.1 or 1.0)
    return (low - pad if low != 0.0 or view.log_y else 0.0), high + pad
