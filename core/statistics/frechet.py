"""Fréchet distance between Gaussians that are fitted to features of samples and of real images, with its interval.

Letters of shapes: n samples, m real images, D components of features, K of which are compared.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.statistics.estimate import Estimate
from core.statistics.two_sample import jackknife_interval

Numbers = NDArray[np.float64]

GROUPS: Final = 20
"""Parts of each sample, of which the jackknife leaves out one after the other."""
_IMAGES_PER_COMPONENT: Final = 4


def frechet_distance(x: Numbers, y: Numbers) -> Estimate:
    """Compute |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)).

    The estimate of few images is too large, also for equal distributions. So compare values of equal n and m only, and
    with that of real images against real ones.

    Args:
        x: [n, D], the most important components first; a quarter of n or m of them at most are compared.
        y: [m, D].

    Returns:
        The distance, with an interval by the jackknife that leaves out a twentieth of x or y; undefined unless n and m
        are at least 40. The interval covers the choice of images, not the bias.

    Reference: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", eq. 6; Dowson and Landau 1982;
    Chong and Forsyth 2020, "Effectively Unbiased FID", for the bias.
    """
    if min(len(x), len(y)) < 2 * GROUPS:
        return Estimate(None)
    kept = min(x.shape[1], min(len(x), len(y)) // _IMAGES_PER_COMPONENT)
    ours, theirs = x[:, :kept], y[:, :kept]
    own, other = _moments(ours), _moments(theirs)
    value = gaussian_distance(*own, *other)
    without_x = [gaussian_distance(*_moments(part), *other) for part in _without_groups(ours)]
    without_y = [gaussian_distance(*own, *_moments(part)) for part in _without_groups(theirs)]
    found = jackknife_interval(value, np.array(without_x), np.array(without_y))
    return Estimate(found.value, None if found.low is None else max(0.0, found.low), found.high)


def gaussian_distance(mean: Numbers, covariance: Numbers, other_mean: Numbers, other: Numbers) -> float:
    """Compute the Fréchet distance between two Gaussians: means [K] and covariances [K, K]."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    # The eigenvalues of S_x S_y are those of R' S_y R, where S_x = R R'.
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ other @ root), 0)).sum()
    shift = ((mean - other_mean) ** 2).sum()
    return float(max(0.0, shift + np.trace(covariance) + np.trace(other) - 2 * cross))


def _moments(rows: Numbers) -> tuple[Numbers, Numbers]:
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


def _without_groups(rows: Numbers) -> list[Numbers]:
    groups = np.arange(len(rows)) % GROUPS
    return [rows[groups != group] for group in range(GROUPS)]
