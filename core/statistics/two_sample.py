"""Distances between the distributions of two samples, with intervals that are valid at a distance of 0 too.

A percentile bootstrap fails for distances, because resamples are further apart than the samples themselves. Of its
intervals for the Kolmogorov-Smirnov distance of equal distributions, not one in two hundred held the 0. Instead:

- Kolmogorov-Smirnov and Kuiper are norms of a difference. Their error is at most the norm of the difference's own
  error, and this error is bootstrapped. Such an interval is wide, but it holds.
- MMD and energy distance are unbiased averages over pairs and have intervals from the delete-one jackknife. In our
  trials they held the truth in 94 to 99% for MMD of 50 dimensions, and in 88 to 95% for energy of two dimensions. The
  lowest was just above 0.
- Bias and interval of the squared sliced Wasserstein distance are bootstrapped.

Letters of shapes: n and m members of two samples, L directions, D numbers of an image.
"""

from collections.abc import Callable
from math import lcm
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.statistics.estimate import Estimate
from core.statistics.intervals import CONFIDENCE, NORMAL_95
from core.statistics.nearest import row_chunks

Numbers = NDArray[np.floating]
Kernel = Callable[[Any, Any], NDArray[Any]]

RESAMPLES: Final = 1000
_SLICED_RESAMPLES: Final = 200
_RESAMPLED_DIRECTIONS: Final = 128


def kolmogorov_smirnov(
    x: Numbers, y: Numbers, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Estimate:
    """Compute the largest difference between two empirical distribution functions; from 0 to 1.

    Args:
        x: [n].
        y: [m].
        rng: draws the resamples.
        resamples: number of resamples.

    Returns:
        The distance; undefined where a sample is empty.
    """
    return _cdf_distance(x, y, lambda gaps: np.abs(gaps).max(-1), rng, resamples)


def kuiper(x: Numbers, y: Numbers, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Compute the largest difference upwards plus the largest downwards; from 0 to 1.

    Unlike the Kolmogorov-Smirnov distance it does not depend on where a circle is cut open, so it suits directions.

    Args:
        x: [n], on a circle that is cut anywhere.
        y: [m].
        rng: draws the resamples.
        resamples: number of resamples.

    Returns:
        The distance; undefined where a sample is empty.

    Reference: Kuiper 1960, "Tests concerning random points on a circle".
    """
    return _cdf_distance(
        x, y, lambda gaps: np.maximum(gaps.max(-1), 0) - np.minimum(gaps.min(-1), 0), rng, resamples
    )


def squared_mmd(x: NDArray[Any], y: NDArray[Any], kernel: Kernel) -> Estimate:
    """Estimate the squared maximum mean discrepancy (MMD) of a kernel without bias.

    For equal distributions it is slightly below 0 half the time. With minus the Euclidean distance as the kernel it is
    the energy distance 2E|x-y| - E|x-x'| - E|y-y'|.

    Args:
        x: [n, ...].
        y: [m, ...].
        kernel: maps some members of each sample to the matrix of their kernel values.

    Returns:
        The value and a normal interval from the delete-one jackknife; undefined unless n and m are at least 2.

    Reference: Gretton et al. 2012, "A Kernel Two-Sample Test", eq. 3; Sejdinovic et al. 2013 for the energy distance;
    Efron and Stein 1981: the jackknife's variance is not too small on average.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return Estimate(None)
    own_x, own_y = _row_sums(x, x, kernel), _row_sums(y, y, kernel)
    to_y, to_x = _row_sums(x, y, kernel), _row_sums(y, x, kernel)
    sum_x, sum_y, across = own_x.sum(), own_y.sum(), to_y.sum()
    mean_x, mean_y = sum_x / (n * (n - 1)), sum_y / (m * (m - 1))
    value = mean_x + mean_y - 2 * across / (n * m)
    if min(n, m) < 3:
        return Estimate(float(value))
    without_x = (sum_x - 2 * own_x) / ((n - 1) * (n - 2)) + mean_y - 2 * (across - to_y) / ((n - 1) * m)
    without_y = (sum_y - 2 * own_y) / ((m - 1) * (m - 2)) + mean_x - 2 * (across - to_x) / (n * (m - 1))
    return jackknife_interval(float(value), without_x, without_y)


def sliced_wasserstein(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    directions: int = 1024,
) -> Estimate:
    """Estimate the root of the mean squared Wasserstein-2 distance of projections, about 0 for equal distributions.

    Samples a shift s apart are at distance |s| / sqrt(D). Directions are orthonormal, each of them uniform; with D
    directions a shift is measured exactly. The bootstrap removes the bias, which would make the distance of few images
    larger than that of many. Its basic interval, of the square, covers the choice of images, for the drawn directions,
    of which it uses 128.

    Args:
        x: [n, D].
        y: [m, D].
        rng: draws directions, then resamples.
        directions: L; at most D are drawn.

    Returns:
        The distance, in the images' unit; undefined where a sample is empty.

    Reference: Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures"; Efron and Tibshirani 1993,
    chapters 10 and 13, for bias and basic interval.
    """
    n, m = len(x), len(y)
    if not n or not m:
        return Estimate(None)
    size = x.shape[1]
    drawn = rng.standard_normal((size, min(directions, size)), np.float32)
    basis = np.linalg.qr(drawn)[0].T
    sorted_x, order_x = _sort_rows(basis @ x.T)
    sorted_y, order_y = _sort_rows(basis @ y.T)
    # Both quantile functions are constant between neighbouring multiples of 1/n and 1/m.
    unit = lcm(n, m)
    steps = np.union1d(np.arange(n + 1) * (unit // n), np.arange(m + 1) * (unit // m))
    weights = (np.diff(steps) / unit).astype(np.float32)
    at_x, at_y = steps[:-1] // (unit // n), steps[:-1] // (unit // m)

    def squares(of_x: NDArray[np.float32], of_y: NDArray[np.float32]) -> NDArray[np.floating]:
        squared: NDArray[np.floating] = (of_x[:, at_x] - of_y[:, at_y]) ** 2 @ weights
        return squared

    seen = squares(sorted_x, sorted_y)
    few = slice(_RESAMPLED_DIRECTIONS)
    excess = np.array(
        [
            squares(
                _resample_sorted(sorted_x[few], order_x[few], rng),
                _resample_sorted(sorted_y[few], order_y[few], rng),
            ).mean()
            - seen[few].mean()
            for _ in range(_SLICED_RESAMPLES)
        ]
    )
    corrections = [excess.mean(), *np.quantile(excess, [(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])]
    value, low, high = (float(np.sqrt(max(0.0, seen.mean() - correction))) for correction in corrections)
    return Estimate(value, min(low, value), max(high, value))


def jackknife_interval(value: float, *leave_one_out: NDArray[np.float64]) -> Estimate:
    """Compute a normal interval from the values of a statistic with each member of each independent sample left out.

    Args:
        value: the statistic of all members.
        leave_one_out: [n] for each sample.

    Returns:
        The value; without bounds where a sample has one member, or where leaving any member out changes nothing.
    """
    variance = sum((len(values) - 1) * values.var() for values in leave_one_out)
    if min(map(len, leave_one_out)) < 2 or variance <= 0:
        return Estimate(value)
    half = NORMAL_95 * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half)


def _cdf_distance(
    x: Numbers,
    y: Numbers,
    norm: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
    resamples: int,
) -> Estimate:
    n, m = len(x), len(y)
    if not n or not m:
        return Estimate(None)
    pooled = np.concatenate([x, y])
    order = np.argsort(pooled, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(pooled[order]) > 0, True))

    def differences(of_x: NDArray[Any], of_y: NDArray[Any]) -> NDArray[np.float64]:
        steps = np.concatenate([of_x / n, -of_y / m], axis=-1)[..., order]
        return np.cumsum(steps, axis=-1)[..., ends]

    seen = differences(np.ones(n), np.ones(m))
    value = float(norm(seen))
    errors = [
        norm(differences(_bootstrap_counts(n, rng), _bootstrap_counts(m, rng)) - seen)
        for _ in range(resamples)
    ]
    error = float(np.quantile(errors, CONFIDENCE))
    return Estimate(value, max(0.0, value - error), min(1.0, value + error))


def _bootstrap_counts(size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw as many members as there are, with replacement, and count how often each is drawn."""
    return np.bincount(rng.integers(size, size=size), minlength=size)


def _sort_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    order = np.argsort(rows, axis=1)
    return np.take_along_axis(rows, order, 1), order


def _resample_sorted(
    rows: NDArray[np.float32], order: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw one resample of the images and return its sorted projections, without sorting again."""
    return np.repeat(rows, _bootstrap_counts(rows.shape[1], rng)[order].ravel()).reshape(rows.shape)


def _row_sums(x: NDArray[Any], y: NDArray[Any], kernel: Kernel) -> NDArray[np.float64]:
    """Sum the kernel of each x over all y, or over all other x where both are the same array."""
    sums = np.empty(len(x))
    for part in row_chunks(len(x), len(y)):
        values = kernel(x[part], y)
        if x is y:
            values[np.arange(len(values)), np.arange(len(x))[part]] = 0
        sums[part] = values.sum(1, dtype=np.float64)
    return sums
