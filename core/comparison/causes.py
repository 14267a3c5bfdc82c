"""Causes of bad samples, from samples of one checkpoint drawn in several ways; torch-free.

The distance of samples from the data is the share of the real images' kinds that they miss. With s_k the share of
samples that pass the tests of shape and are of kind k (a decile of the real areas or brightnesses), and r_k that of
real images, it is 1 - sum_k min(s_k, r_k) / sum_k r_k: 0 where samples are like real images, 1 where none is.

Two things are changed, alone and together: sampling starts from real noised images, and it takes several times as many
calls. What either improves is the part of start or steps, each averaged over the order of the two changes (Shapley
1953). What is still missing with both is the network's. The three parts add up to the distance, and the parts of a
difference between two runs to that difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.runs.interventions import Interventions, SampleKinds, Variant
from core.statistics.estimate import Estimate

Array = NDArray[np.float64]
Part = Literal["start", "steps", "network"]

PARTS: Final[tuple[Part, ...]] = ("start", "steps", "network")
KINDS: Final = 10
RESAMPLES: Final = 2000
_ALPHA: Final = 0.05
_FACTORS: Final[tuple[Variant, ...]] = ("own", "images", "finer", "images+finer")


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of one checkpoint's samples from the data; index 0 is measured, the others are of resampled samples.

    Attributes:
        variants: [1 + R] by way of sampling.
        real: [1 + R], of as many training images, which is what chance alone leaves.
    """

    variants: dict[Variant, Array]
    real: Array

    @property
    def parts(self) -> dict[Part, Array]:
        """The distance of ``own`` above `real`, taken apart."""
        own, images, finer, both = (self.variants[way] for way in _FACTORS)
        start = (own - images + finer - both) / 2
        steps = (own - finer + images - both) / 2
        return {"start": start, "steps": steps, "network": both - self.real}


def distances(interventions: Interventions, *, seed: int = 0) -> Distances:
    """Measure the distances of all ways of sampling, with the same resamples for each, because noises are the same.

    Args:
        interventions: samples of one checkpoint.
        seed: seed of the resamples.
    """
    count = interventions.count
    rng = np.random.default_rng([seed, count])
    rows = np.concatenate([np.arange(count)[None], rng.integers(0, count, (RESAMPLES, count))])
    shares = {way: _shares(drawn, rows) for way, drawn in interventions.drawn.items()}
    # Kinds are deciles of the held-out images, 95% of each of which pass: real images have equal shares of all.
    expected = np.full(KINDS, _shares(interventions.real, rows[:1]).sum() / KINDS)
    real_rows = rows % max(1, len(interventions.real.kinds))
    return Distances(
        {way: _distance(share, expected) for way, share in shares.items()},
        _distance(_shares(interventions.real, real_rows), expected),
    )


def _shares(drawn: SampleKinds, rows: NDArray[np.int64]) -> Array:
    """Return the share of each kind among all samples, [R, KINDS]."""
    kinds = np.asarray(drawn.kinds)[rows]
    return np.stack([(kinds == kind).mean(axis=1) for kind in range(KINDS)], axis=1)


def _distance(shares: Array, expected: Array) -> Array:
    distance: Array = 1 - np.minimum(shares, expected).sum(axis=1) / max(expected.sum(), 1e-12)
    return distance


def estimate(values: Array, *, tests: int = 1) -> Estimate:
    """Return the measured value and its interval, which is wider if it is one of several tests (Bonferroni).

    Resampled samples miss more kinds than the samples themselves, so the interval is moved back by their bias.

    Args:
        values: [1 + R], the measured one first.
        tests: number of tests that may be wrong together in 5% of cases.
    """
    tail = _ALPHA / tests / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail]) - (values[1:].mean() - values[0])
    return Estimate(float(values[0]), float(low), float(high))


def is_above_zero(value: Estimate) -> bool:
    """Return whether the whole interval is above 0."""
    return value.low is not None and value.low > 0


@dataclass(frozen=True)
class Decomposition:
    """A distance, or the difference of two runs' distances, in parts.

    Attributes:
        total: the distance above that of real images, or the difference.
        parts: by `PARTS`; they add up to the total.
        shares: each part's share of the total; empty if the total is not above 0 beyond noise.
    """

    total: Estimate
    parts: dict[Part, Estimate]
    shares: dict[Part, float]

    @property
    def is_distinguishable(self) -> bool:
        """True if the total is above 0 beyond noise."""
        return is_above_zero(self.total)


def decompose(worse: Distances, better: Distances | None = None, *, tests: int = 1) -> Decomposition:
    """Take a run's distance from the data apart, or how much farther it is than a better run's.

    Args:
        worse: the run.
        better: the other run; None for real images.
        tests: number of runs that are explained together.
    """
    parts = worse.parts
    if better is not None:
        # Resamples of two runs are independent: the second run's are taken in reverse order.
        reverse = np.concatenate([[0], np.arange(RESAMPLES, 0, -1)])
        parts = {part: parts[part] - better.parts[part][reverse] for part in PARTS}
    total = np.sum([parts[part] for part in PARTS], axis=0)
    whole = estimate(total, tests=tests)
    found = {part: estimate(parts[part], tests=tests) for part in PARTS}
    shares = {part: float(parts[part][0] / total[0]) for part in PARTS} if is_above_zero(whole) else {}
    return Decomposition(whole, found, shares)


def ranked(decomposition: Decomposition) -> Sequence[Part]:
    """List the parts that are above 0 beyond noise, largest first."""
    parts = [part for part in PARTS if is_above_zero(decomposition.parts[part])]
    return sorted(parts, key=lambda part: -(decomposition.parts[part].value or 0.0))
