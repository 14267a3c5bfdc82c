"""Estimates with 95% confidence intervals in closed form, which need no random draws and so no seed."""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core.statistics.estimate import Estimate

CONFIDENCE: Final = 0.95
NORMAL_95: Final = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))

Numbers = NDArray[np.float64]


def proportion(successes: int, trials: int) -> Estimate:
    """Estimate a share, with Wilson's interval, which is valid near 0 and 1 too; undefined without trials.

    Args:
        successes: from 0 to `trials`.
        trials: number of independent trials.

    Reference: Wilson 1927.
    """
    if trials <= 0:
        return Estimate(None)
    (low,), (high,) = wilson([successes], [trials])
    return Estimate(successes / trials, float(low), float(high))


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[Numbers, Numbers]:
    """Compute lower and upper ends of Wilson's interval of each share; without trials, 0 and 1.

    Args:
        successes: [K].
        trials: [K].
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    square = NORMAL_95**2
    centre = (k + square / 2) / (n + square)
    half = NORMAL_95 / (n + square) * np.sqrt(k * (n - k) / np.maximum(n, 1) + square / 4)
    # Where all or none succeed, the interval ends at 1 or 0 exactly, whatever the rounding.
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def mean_proportion(successes: ArrayLike, trials: ArrayLike) -> Estimate:
    """Estimate the unweighted mean of the shares of K independent groups.

    A group without trials counts as a share of 0. Its true share might be any, so the interval reaches up accordingly.

    Args:
        successes: [K].
        trials: [K].

    Returns:
        The mean, with Wilson's interval for the number of trials that would give the same variance; for K = 1 it is
        `proportion`.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    if not n.any():
        return Estimate(0.0, 0.0, 1.0) if len(n) else Estimate(None)
    seen = n > 0
    value = float((k[seen] / n[seen]).sum() / len(n))
    # Half a success and half a failure are added, so groups where all or none succeed have a variance too.
    smooth = (k[seen] + 0.5) / (n[seen] + 1)
    variance = (smooth * (1 - smooth) / n[seen]).sum() / len(n) ** 2
    centre = smooth.sum() / len(n)
    effective_trials = centre * (1 - centre) / variance
    (low,), (high,) = wilson([value * effective_trials], [effective_trials])
    missing = math.sqrt((~seen).sum()) / len(n)
    return Estimate(value, float(low), min(1.0, value + math.hypot(float(high) - value, missing)))


def mean(values: ArrayLike) -> Estimate:
    """Estimate the mean of independent numbers, with Student's interval.

    NaN is left out. Without numbers the mean is undefined, and with one it has no interval.

    Args:
        values: [N].
    """
    known = _drop_nan(values)
    if not len(known):
        return Estimate(None)
    value = float(known.mean())
    if len(known) < 2:
        return Estimate(value)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(known) - 1) * stats.sem(known))
    return Estimate(value, value - half, value + half)


def finite_mean(values: ArrayLike) -> Estimate:
    """Compute `mean`, but undefined if any number is not finite, such as those of a network that has diverged.

    Args:
        values: [N].
    """
    return mean(values) if np.isfinite(np.asarray(values, np.float64)).all() else Estimate(None)


def nonnegative(estimate: Estimate) -> Estimate:
    """Raise a negative lower bound to 0, for quantities that cannot be negative."""
    low = None if estimate.low is None else max(0.0, estimate.low)
    return Estimate(estimate.value, low, estimate.high)


def median(values: ArrayLike) -> Estimate:
    """Estimate the median of independent numbers, with the interval of order statistics, valid for any distribution.

    NaN is left out. Infinite numbers are counted, but an infinite median or bound is undefined. Fewer than six numbers
    have no such interval.

    Args:
        values: [N].
    """
    known = np.sort(_drop_nan(values))
    middle = float(np.median(known)) if len(known) else math.nan
    if not math.isfinite(middle):
        return Estimate(None)
    # The median lies between the r-th smallest and the r-th largest unless fewer than r are on one side of it.
    r = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(known), 0.5))
    if r < 1:
        return Estimate(middle)
    low, high = (float(end) if math.isfinite(end) else None for end in (known[r - 1], known[-r]))
    return Estimate(middle, low, high)


def _drop_nan(values: ArrayLike) -> Numbers:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]
