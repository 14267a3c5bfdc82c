"""Estimates of several runs taken together, and whether two of them differ by more than noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.statistics.estimate import Estimate
from core.statistics.student_t import quantile, two_sided_p

CONFIDENCE: Final = 0.95
_NORMAL_QUANTILE: Final = quantile(CONFIDENCE, math.inf)


@dataclass(frozen=True)
class Score:
    """An estimate with what a comparison needs of it.

    Attributes:
        estimate: the value and its 95% interval.
        down: standard error towards smaller values; None where unknown.
        up: the same towards larger ones; intervals of shares near 0 or 1 are lopsided.
        df: degrees of freedom of the standard errors; infinite where they come from many pictures.
    """

    estimate: Estimate
    error_below: float | None = None
    error_above: float | None = None
    df: float = math.inf


@dataclass(frozen=True)
class Difference:
    """How much larger one score is than another: the 95% interval, and the two-sided p of no difference."""

    estimate: Estimate
    p: float


def pool(groups: Sequence[Sequence[Estimate]], *, share: bool = False) -> list[Score | None]:
    """The mean of each group of runs alike but for their seed, with an interval that covers seeds and pictures.

    A run's value strays from that of its settings for two reasons: few pictures were measured, which its own
    interval tells, and it was trained from one seed. The variance between seeds is estimated from all groups
    together, for two or three seeds alone say next to nothing of it; so it is taken to be alike in all groups.
    Where no group has two seeds, nothing is known of it, and intervals are those of the pictures alone.

    Args:
        groups: of each, one estimate a run. Those without a value are passed over.
        share: values are from 0 to 1, and so are the intervals then.

    Returns:
        For each group its score; None where no run has a value.

    Reference: a random-effects mean with the moment estimate of DerSimonian & Laird 1986, pooled over groups, and
        quantiles of Student's t.
    """
    known = [[one for one in group if one.value is not None and math.isfinite(one.value)] for group in groups]
    df = sum(len(group) - 1 for group in known if group)
    between = _between_seed_variance(known, df)
    scores: list[Score | None] = []
    for group in known:
        if not group:
            scores.append(None)
            continue
        errors = np.array([_standard_errors(one) for one in group])
        if not df:
            down, up = errors[0].tolist()
            scores.append(Score(group[0], _none_if_nan(down), _none_if_nan(up)))
            continue
        # What is not known of the pictures is part of what is seen between the seeds.
        within = (np.where(np.isnan(errors), 0.0, errors) ** 2).mean(axis=0)
        down, up = np.sqrt((between + within) / len(group)).tolist()
        value = float(np.mean([one.value for one in group]))
        reach = quantile(CONFIDENCE, df)
        low, high = value - reach * down, value + reach * up
        if share:
            low, high = max(low, 0.0), min(high, 1.0)
        scores.append(Score(Estimate(value, low, high), down, up, df))
    return scores


def difference(one: Score, other: Score) -> Difference | None:
    """How much larger `one` is than `other`, taken to be independent; None where an error is unknown or zero.

    Each interval counts on the side that faces the other's value. Runs that were judged on the same held-out pictures
    from the same noises go up and down together, which makes the result careful rather than bold.

    Reference: the MOVER of Zou & Donner 2008, which is Newcombe's 1998 method 10 for two shares.
    """
    down, up = _combined(one.error_below, other.error_above), _combined(one.error_above, other.error_below)
    if one.estimate.value is None or other.estimate.value is None or down is None or up is None:
        return None
    delta = one.estimate.value - other.estimate.value
    error = down if delta > 0 else up
    if not 0.0 < error < math.inf:
        return None
    df = min(one.df, other.df)
    reach = quantile(CONFIDENCE, df)
    interval = Estimate(delta, delta - reach * down, delta + reach * up)
    return Difference(interval, two_sided_p(delta / error, df))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected for there being many: where all below a are believed, one is wrong with chance a.

    Reference: Holm 1979.
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p, dtype=np.float64)[order] * factors), 1.0)
    found: list[float] = adjusted.tolist()
    return found


def _between_seed_variance(groups: Sequence[Sequence[Estimate]], df: int) -> float:
    """The variance between seeds, beyond that of the pictures; not negative."""
    excess = 0.0
    for group in groups:
        if len(group) > 1:
            sides = np.array([_standard_errors(one) for one in group])
            within = np.where(np.isnan(sides), 0.0, sides).mean(axis=1) ** 2
            seen = np.var([one.value for one in group if one.value is not None], ddof=1)
            excess += (len(group) - 1) * float(seen - within.mean())
    return max(0.0, excess / df) if df else 0.0


def _standard_errors(estimate: Estimate) -> tuple[float, float]:
    """Standard errors downwards and upwards; NaN where unknown."""
    value = math.nan if estimate.value is None else estimate.value
    low = math.nan if estimate.low is None else estimate.low
    high = math.nan if estimate.high is None else estimate.high
    return max(value - low, 0.0) / _NORMAL_QUANTILE, max(high - value, 0.0) / _NORMAL_QUANTILE


def _combined(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else math.hypot(one, other)


def _none_if_nan(error: float) -> float | None:
    return None if math.isnan(error) else error
