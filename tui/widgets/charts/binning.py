"""Reduction of losses to one value, or one extent, for each column of a chart's dots."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tui.widgets.charts.decimation import MAX_LOSS, MinMaxBuckets

Floats = NDArray[np.float64]

SMOOTHINGS: Final = ("none", "light", "medium", "strong")
_WINDOW_SHARES: Final = (0.0, 1 / 60, 1 / 20, 1 / 8)
HELDOUT_DASHES: Final = (2, 4)
FAILED_DASHES: Final = (5, 8)


class Extents(NamedTuple):
    """Lowest and highest value of a line in each column of dots [columns]; NaN where there is none."""

    low: Floats
    high: Floats


def column_edges(low: float, high: float, columns: int, *, log: bool, min_span: float = 1.0) -> Floats:
    """The edges [columns + 1] of columns that look equally wide on the axis.

    Args:
        low: the start of the first column.
        high: the end of the last column.
        columns: their number.
        log: the axis is logarithmic.
        min_span: above 0; the smallest span, and the smallest start of a logarithmic axis.
    """
    if log:
        low = max(low, min_span)
    high = max(high, low + min_span)
    edges: Floats = np.geomspace(low, high, columns + 1) if log else np.linspace(low, high, columns + 1)
    edges[0], edges[-1] = low, high
    return edges


def smoothed(buckets: MinMaxBuckets, level: int) -> Floats:
    """The mean of each column [columns] over a window that grows with `level` (an index into `SMOOTHINGS`).

    Each step has the same weight, even if columns hold different numbers of steps. Columns without a finite value
    stay NaN.
    """
    columns = len(buckets.mean)
    half = int(columns * _WINDOW_SHARES[level] / 2)
    if half < 1:
        return buckets.mean
    weights = buckets.finite.astype(np.float64)
    sums = _window_sum(np.where(weights > 0, buckets.mean, 0.0) * weights, half)
    counts = _window_sum(weights, half)
    means: Floats = np.divide(sums, counts, out=np.full(columns, np.nan), where=weights > 0)
    return means


def settled(means: Floats, edges: Floats, steps: Floats, losses: Floats) -> Floats:
    """A smoothed line [columns] that ends in the mean of the last losses, in place of the mean of a few columns.

    Over these losses the line approaches their running mean. A line that ends out of sight, or in NaN, is
    unchanged.

    Args:
        means: the smoothed line; NaN if there is none.
        edges: of its columns [columns + 1], in steps.
        steps: of the last losses [n].
        losses: the last losses [n].
    """
    known = np.flatnonzero(np.isfinite(means))
    if not len(known) or not len(steps) or not edges[0] <= steps[-1] <= edges[-1]:
        return means
    finite = np.abs(losses) <= MAX_LOSS
    counts = np.cumsum(finite)
    if not finite[-1]:
        return means
    running = np.cumsum(np.where(finite, losses, 0.0)) / np.maximum(counts, 1)
    ends = np.minimum(edges[1:], steps[-1])
    index = np.searchsorted(steps, ends, side="right") - 1
    share = np.clip((ends - steps[0]) / max(steps[-1] - steps[0], 1e-12), 0.0, 1.0)
    share = np.where((index >= 0) & (counts[index] > 0), share, 0.0)
    share[known[-1] :] = 1.0
    return np.where(share > 0, (1 - share) * means + share * running[index], means)


def interpolate_gaps(values: Floats, broken: NDArray[np.bool_]) -> Floats:
    """Interpolate columns that hold no step, but never across a `broken` one.

    Args:
        values: one per column [columns]; NaN if there is none.
        broken: columns [columns] with losses of which none is finite.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return values
    columns = np.arange(len(values))
    filled = np.interp(columns, known, values[known])
    filled[(columns < known[0]) | (columns > known[-1])] = np.nan
    if broken.any():
        before = np.searchsorted(known, columns, side="right") - 1
        left = known[np.clip(before, 0, None)]
        right = known[np.clip(before + 1, None, len(known) - 1)]
        breaks = np.concatenate(([0], np.cumsum(broken)))
        filled[(breaks[right + 1] > breaks[left]) & ~np.isfinite(values)] = np.nan
    return filled


def interpolate_points(x: Floats, y: Floats, edges: Floats, *, log_x: bool) -> Floats:
    """A polyline through points, one value per column [columns]; NaN before the first and after the last point."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    columns = len(edges) - 1
    if not len(x):
        return np.full(columns, np.nan)
    if log_x:
        edges, x = np.log(np.maximum(edges, 1e-12)), np.log(np.maximum(x, 1e-12))
    positions = (x - edges[0]) / (edges[-1] - edges[0]) * columns - 0.5
    # Points in the outer halves of the outer columns count as those columns; points out of sight only give slopes.
    inside = (positions > -1) & (positions < columns)
    positions = np.where(inside, np.clip(positions, 0, columns - 1), positions)
    at = np.arange(columns, dtype=np.float64)
    line = np.interp(at, positions, y)
    line[(at < np.floor(positions[0])) | (at > np.ceil(positions[-1]))] = np.nan
    return line


def connected(values: Floats) -> Extents:
    """A line through one value per column, without holes: each column reaches halfway to its neighbours."""
    return _join_columns(values, values)


def envelope(low: Floats, high: Floats) -> Extents:
    """The extent from the lowest to the highest value of each column, without holes between neighbours."""
    return _join_columns(low, high)


def dashed(extents: Extents, pattern: tuple[int, int]) -> Extents:
    """Keep only the first `pattern[0]` of every `pattern[1]` columns, and the last known one."""
    drawn, period = pattern
    columns = np.arange(len(extents.low))
    keep = columns % period < drawn
    known = np.flatnonzero(np.isfinite(extents.low))
    if len(known):
        keep[known[-1]] = True
    return Extents(np.where(keep, extents.low, np.nan), np.where(keep, extents.high, np.nan))


def _join_columns(low: Floats, high: Floats) -> Extents:
    if not len(low):
        return Extents(low, high)
    middle = (low + high) / 2
    halfway = (middle[1:] + middle[:-1]) / 2
    before, after = np.append(np.nan, halfway), np.append(halfway, np.nan)
    lowest = np.fmin(low, np.fmin(before, after))
    highest = np.fmax(high, np.fmax(before, after))
    known = np.isfinite(low)
    return Extents(np.where(known, lowest, np.nan), np.where(known, highest, np.nan))


def _window_sum(values: Floats, half: int) -> Floats:
    sums = np.concatenate(([0.0], np.cumsum(values)))
    columns = np.arange(len(values))
    return sums[np.minimum(columns + half + 1, len(values))] - sums[np.maximum(columns - half, 0)]
