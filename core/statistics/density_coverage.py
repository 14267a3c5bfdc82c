"""Density and coverage of samples in the neighbourhoods of real images.

Letters of shapes: N samples, R real images, D numbers of an image, k neighbours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.statistics.estimate import Estimate
from core.statistics.intervals import nonnegative, proportion
from core.statistics.nearest import Rows, row_chunks, squared_distances
from core.statistics.two_sample import jackknife_interval

Counts = NDArray[np.int64]

NEIGHBOURS: Final = 5
"""k; Naeem et al. 2020 recommend it."""


def density_coverage(samples: Rows, real: Rows, neighbours: int = NEIGHBOURS) -> tuple[Estimate, Estimate]:
    """Estimate the density of samples around real images, and the share of real images with a sample nearby.

    A real image's neighbourhood is the ball up to its k-th nearest real image. If samples are distributed as the real
    images, density is 1 on average. Coverage then is nearly 1 - 2^-k for as many samples as real images.

    Resampling with replacement would make twins at distance 0, so intervals come from the delete-one jackknife over
    samples and real images. When a real image is left out, the balls that ended at it or contained it grow to the next
    one. The interval of coverage is never shorter than Wilson's for a share of R.

    Args:
        samples: [N, D].
        real: [R, D], no two alike, because the ball of k + 1 twins is empty; dither images of few levels.
        neighbours: k.

    Returns:
        Density and coverage; undefined without samples, or unless R is at least k + 2.

    Reference: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", eqs. 5 and 6;
    Efron and Stein 1981: the jackknife's variance is not too small on average.
    """
    if not len(samples) or len(real) < neighbours + 2:
        return Estimate(None), Estimate(None)
    centre = real.mean(0)
    nearest = _nearest_neighbours(real - centre, neighbours + 1)
    balls = _count_samples(samples - centre, real - centre, nearest.squares[:, -2:])
    contained = nearest.indices[:, :-1]

    total = balls.inside.sum()
    density = jackknife_interval(
        float(total / (neighbours * len(samples))),
        (total - balls.containing) / (neighbours * max(1, len(samples) - 1)),
        _leave_one_out_sums(balls.inside, balls.inside_next, contained) / (neighbours * len(samples)),
    )
    covered, covered_next = balls.inside > 0, balls.inside_next > 0
    sole = np.bincount(balls.member[balls.inside == 1], minlength=len(samples))
    coverage = jackknife_interval(
        float(covered.mean()),
        (covered.sum() - sole) / len(real),
        _leave_one_out_sums(covered.astype(np.int64), covered_next.astype(np.int64), contained)
        / (len(real) - 1),
    )
    return nonnegative(density), _union(coverage, proportion(int(covered.sum()), len(real)))


@dataclass(frozen=True)
class _Neighbours:
    indices: Counts
    """Indices of the nearest other real images of each real image [R, k + 1], nearest first."""
    squares: NDArray[np.float32]
    """Their squared distances."""


@dataclass(frozen=True)
class _Balls:
    inside: Counts
    """Samples in each ball [R]."""
    inside_next: Counts
    """Samples in each ball if it grows to the next neighbour [R]."""
    member: Counts
    """A sample in each ball [R]; 0 where there is none."""
    containing: Counts
    """Balls that contain each sample [N]."""


def _nearest_neighbours(real: Rows, count: int) -> _Neighbours:
    indices = np.empty((len(real), count), np.int64)
    squares = np.empty(indices.shape, np.float32)
    for part in row_chunks(len(real), len(real)):
        between = squared_distances(real[part], real)
        between[np.arange(len(between)), np.arange(len(real))[part]] = np.inf
        closest = np.argpartition(between, count - 1, axis=1)[:, :count]
        reach = np.take_along_axis(between, closest, 1)
        ranks = np.argsort(reach, axis=1)
        indices[part] = np.take_along_axis(closest, ranks, 1)
        squares[part] = np.take_along_axis(reach, ranks, 1)
    return _Neighbours(indices, squares)


def _count_samples(samples: Rows, real: Rows, reach: NDArray[np.float32]) -> _Balls:
    inside, inside_next, member = (np.zeros(len(real), np.int64) for _ in range(3))
    containing = np.empty(len(samples), np.int64)
    for part in row_chunks(len(samples), len(real)):
        squares = squared_distances(samples[part], real)
        within = squares < reach[:, 0]
        inside += within.sum(0)
        inside_next += (squares < reach[:, 1]).sum(0)
        containing[part] = within.sum(1)
        occupied = within.any(0)
        member[occupied] = part.start + within[:, occupied].argmax(0)
    return _Balls(inside, inside_next, member, containing)


def _leave_one_out_sums(counts: Counts, grown_counts: Counts, contained: Counts) -> NDArray[np.float64]:
    """Sum over all balls but that of one real image, with the balls that contained this image grown, for each image.

    Args:
        counts: [R], for each ball.
        grown_counts: [R], for each ball if it grows to the next neighbour.
        contained: [R, k], indices of the other real images in each ball.

    Returns:
        [R].
    """
    changes = np.repeat(grown_counts - counts, contained.shape[1])
    gained = np.bincount(contained.ravel(), changes, minlength=len(counts))
    kept = np.full(len(counts), counts.sum()) - counts
    return np.add(kept, gained, dtype=np.float64)


def _union(estimate: Estimate, other: Estimate) -> Estimate:
    """Widen an interval to contain another; the bounds are shares."""
    lows = [bound for bound in (estimate.low, other.low) if bound is not None]
    highs = [bound for bound in (estimate.high, other.high) if bound is not None]
    return Estimate(estimate.value, max(0.0, min(lows)), min(1.0, max(highs)))
