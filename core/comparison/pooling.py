"""Pooled estimates of several runs, and tests of their differences against noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.statistics.estimate import Estimate
from core.statistics.student_t import quantile, two_sided_ps

CONFIDENCE: Final = 0.95
_NORMAL_QUANTILE: Final = quantile(CONFIDENCE, math.inf)


@dataclass(frozen=True)
class Score:
    """An estimate with its standard errors.

    Attributes:
        estimate: the value and its 95% interval.
        error_below: standard error towards smaller values; None where unknown.
        error_above: standard error towards larger values, because intervals of shares near 0 or 1 are asymmetric.
        df: degrees of freedom of the standard errors; infinite where they come from many images.
    """

    estimate: Estimate
    error_below: float | None = None
    error_above: float | None = None
    df: float = math.inf


def pool(groups: Sequence[Sequence[Estimate]], *, share: bool = False) -> list[Score | None]:
    """Compute the mean of each group of runs that differ only in their seed, with an interval over seeds and images.

    A run's value differs from that of its settings for two reasons. Only some images were measured, which is the error
    of the run's own interval, and the run was trained from one seed. The variance between seeds is assumed equal in all
    groups and is estimated from all together, because two or three seeds alone give a very poor estimate. If no
    group has two seeds, this variance is unknown, and intervals are those of the images alone.

    Args:
        groups: one estimate a run for each group. Those without a value are skipped.
        share: values are from 0 to 1, and intervals are limited to that.

    Returns:
        The score of each group; None where no run has a value.

    Reference: a random-effects mean with the moment estimate of DerSimonian & Laird 1986, pooled over groups, and
        quantiles of Student's t.
    """
    finite = [
        [one for one in group if one.value is not None and math.isfinite(one.value)] for group in groups
    ]
    df = sum(len(group) - 1 for group in finite if group)
    between = _between_seed_variance(finite, df)
    scores: list[Score | None] = []
    for group in finite:
        if not group:
            scores.append(None)
            continue
        errors = np.array([_standard_errors(one) for one in group])
        if not df:
            down, up = errors[0].tolist()
            scores.append(Score(group[0], _none_if_nan(down), _none_if_nan(up)))
            continue
        # An unknown error from the images is already part of the variance between the seeds.
        within = (np.where(np.isnan(errors), 0.0, errors) ** 2).mean(axis=0)
        down, up = np.sqrt((between + within) / len(group)).tolist()
        value = float(np.mean([one.value for one in group]))
        reach = quantile(CONFIDENCE, df)
        low, high = value - reach * down, value + reach * up
        if share:
            low, high = max(low, 0.0), min(high, 1.0)
        scores.append(Score(Estimate(value, low, high), down, up, df))
    return scores


def differences(
    scores: Sequence[Score], one: NDArray[np.intp], other: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Subtract scores pairwise, assuming independence.

    Each interval contributes the side that faces the other's value. Runs evaluated on the same held-out images from the
    same noises are positively correlated, which makes the result conservative.

    Args:
        scores: of all rows.
        one: index of each pair's first score.
        other: index of the score that is subtracted from it.

    Returns:
        Float64 [N, 4]: the difference, the bounds of its 95% interval, and the two-sided p-value of no difference. All
        NaN where an error is unknown or zero.

    Reference: the MOVER of Zou & Donner 2008, which is Newcombe's 1998 method 10 for two shares.
    """
    numbers = [(score.estimate.value, score.error_below, score.error_above, score.df) for score in scores]
    value, below, above, freedom = np.array(numbers, dtype=np.float64).reshape(-1, 4).T
    delta = value[one] - value[other]
    down, up = np.hypot(below[one], above[other]), np.hypot(above[one], below[other])
    error = np.where(delta > 0, down, up)
    levels, level = np.unique(freedom, return_inverse=True)
    pair_level = np.minimum(level[one], level[other])
    reach = np.array([quantile(CONFIDENCE, df) for df in levels.tolist()])[pair_level]
    p = np.empty_like(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = delta / error
    for index, df in enumerate(levels.tolist()):
        some = pair_level == index
        p[some] = two_sided_ps(statistic[some], df)
    found = np.stack([delta, delta - reach * down, delta + reach * up, p], axis=1)
    found[~((error > 0.0) & (error < math.inf) & ~np.isnan(down + up))] = math.nan
    return found


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p-values for their number: if all below a are claimed, the chance that any claim is wrong is at most a.

    Reference: Holm 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.ones(len(values))
    # From the first p-value on that is 1 after its correction, all are, so only smaller ones are sorted.
    limit = 2.0 / max(len(values), 1)
    while (
        (small := np.flatnonzero(values < limit)).size
        and limit * (len(values) - small.size) < 1.0
        and limit <= 1.0
    ):
        limit *= 2.0
    small = small[np.argsort(values[small])]
    corrected = np.maximum.accumulate(values[small] * np.arange(len(values), len(values) - small.size, -1))
    adjusted[small] = np.minimum(corrected, 1.0)
    return adjusted


def _between_seed_variance(groups: Sequence[Sequence[Estimate]], df: int) -> float:
    """Estimate the variance between seeds beyond that of the images; not negative."""
    excess = 0.0
    for group in groups:
        if len(group) > 1:
            sides = np.array([_standard_errors(one) for one in group])
            within = np.where(np.isnan(sides), 0.0, sides).mean(axis=1) ** 2
            seen = np.var([one.value for one in group if one.value is not None], ddof=1)
            excess += (len(group) - 1) * float(seen - within.mean())
    return max(0.0, excess / df) if df else 0.0


def _standard_errors(estimate: Estimate) -> tuple[float, float]:
    """Compute the standard errors downwards and upwards; NaN where unknown."""
    value = math.nan if estimate.value is None else estimate.value
    low = math.nan if estimate.low is None else estimate.low
    high = math.nan if estimate.high is None else estimate.high
    return max(value - low, 0.0) / _NORMAL_QUANTILE, max(high - value, 0.0) / _NORMAL_QUANTILE


def _none_if_nan(error: float) -> float | None:
    return None if math.isnan(error) else error
