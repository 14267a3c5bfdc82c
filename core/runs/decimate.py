"""Decimation of a series to a few columns, without losing a peak."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


def minmax_buckets(
    x: FloatArray | Sequence[float],
    y: FloatArray | Sequence[float],
    columns: int,
    *,
    x_range: tuple[float, float] | None = None,
    log_x: bool = False,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compute the minimum, the maximum and the mean of y in each of several equally wide columns.

    Points that are not finite, or outside `x_range`, are left out; on a log axis so are those with x <= 0.

    Args:
        x: [n]; fastest if ascending.
        y: [n].
        columns: number of columns, at least 1.
        x_range: first and last x of the axis, both included; the range of the points unless given.
        log_x: columns are equally wide in log x.

    Returns:
        lo, hi, mean: float64 [columns], NaN for columns without a point.

    >>> [part.tolist() for part in minmax_buckets([1, 2, 3, 4], [5, 1, 2, 3], 2)]
    [[1.0, 2.0], [5.0, 3.0], [3.0, 2.5]]
    """
    lo, hi, mean = np.full((3, columns), np.nan)
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(xs) == 0:
        return lo, hi, mean
    if not np.all(xs[1:] >= xs[:-1]):  # true also if an x is NaN
        keep = np.isfinite(xs)
        order = np.argsort(xs[keep], kind="stable")
        xs, ys = xs[keep][order], ys[keep][order]
    edges = _edges(xs, columns, x_range, log_x)
    if edges is None:
        return lo, hi, mean
    cuts = np.searchsorted(xs, edges)
    cuts[-1] = np.searchsorted(xs, edges[-1], side="right")
    ys = ys[cuts[0] : cuts[-1]]
    filled = np.flatnonzero(np.diff(cuts))
    if len(filled) == 0:
        return lo, hi, mean
    starts = cuts[filled] - cuts[0]
    finite = np.isfinite(ys)
    counts = np.diff(cuts)[filled]
    low_ys = high_ys = sum_ys = ys
    if not finite.all():
        counts = np.add.reduceat(finite, starts, dtype=np.int64)
        low_ys, high_ys = np.where(finite, ys, np.inf), np.where(finite, ys, -np.inf)
        sum_ys = np.where(finite, ys, 0.0)
    has_finite = counts > 0
    filled = filled[has_finite]
    lo[filled] = np.minimum.reduceat(low_ys, starts)[has_finite]
    hi[filled] = np.maximum.reduceat(high_ys, starts)[has_finite]
    with np.errstate(over="ignore"):
        mean[filled] = np.add.reduceat(sum_ys, starts)[has_finite] / counts[has_finite]
    return lo, hi, mean


def _edges(
    x: FloatArray, columns: int, x_range: tuple[float, float] | None, log_x: bool
) -> FloatArray | None:
    """Compute the columns + 1 ascending edges; None if no point is on the axis."""
    if x_range is None:
        inside = x[np.searchsorted(x, 0, side="right") :] if log_x else x
        inside = (
            inside[np.isfinite(inside)] if len(inside) and not np.isfinite(inside[[0, -1]]).all() else inside
        )
        if len(inside) == 0:
            return None
        x_range = float(inside[0]), float(inside[-1])
    first, last = x_range
    if not (np.isfinite(first) and np.isfinite(last) and first <= last) or (log_x and first <= 0):
        return None
    edges = np.geomspace(first, last, columns + 1) if log_x else np.linspace(first, last, columns + 1)
    edges[0], edges[-1] = first, last
    return edges
