"""Levels that minimise the error of deterministic sampling on a Gaussian with the data's mean and covariance.

With psi = arctan(sigma / sqrt(e)), a step of DDIM multiplies the deviations in an eigenvector of variance e by
cos(psi_t - psi_s), beside what the exact flow does. So K steps leave the share prod cos(dpsi) of each standard
deviation; see `core.statistics.gaussian_sampling`. Sun et al. 2026 (2601.13602) minimise the KL divergence of the same
closed form. The 2-Wasserstein distance is minimised here, because directions of almost no variance, which images have,
dominate a KL divergence.
"""

from typing import Final

import numpy as np

from core.statistics.gaussian_sampling import GaussianData
from core.statistics.proposals.constant_rate import constant_rate
from core.statistics.proposals.even_steps import Array, Ends, refine

_KNOTS: Final = 24
"""Steps of the minimisation; more levels are interpolated between those of so many."""


def gaussian_optimum(data: GaussianData, ends: Ends, steps: int) -> Array:
    """Minimise the 2-Wasserstein distance between K steps and infinitely many.

    The last step leads from the last level to the clean image. The minimisation starts from `constant_rate`, which is
    close.

    Args:
        data: the data.
        ends: the ends.
        steps: K. More than 24 levels are interpolated between those of 24 steps.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    if steps > _KNOTS:
        return refine(gaussian_optimum(data, ends, _KNOTS), steps)
    if steps == 1:
        return np.array([ends.noisy, ends.clean])
    from scipy.optimize import minimize  # takes a tenth of a second to import

    start = np.diff(constant_rate(data, ends, steps))
    span = ends.clean - ends.noisy

    def levels_from(logits: Array) -> Array:
        shares = np.exp(logits - logits.max())
        found: Array = ends.noisy + span * np.append(0.0, np.cumsum(shares / shares.sum()))
        found[-1] = ends.clean
        return found

    result = minimize(
        lambda logits: step_error(data, levels_from(logits)),
        np.log(np.maximum(start, 1e-6) / span),
        method="L-BFGS-B",
        bounds=[(-12.0, 1.0)] * steps,
        options={"maxiter": 300},
    )
    return levels_from(result.x)


def step_error(data: GaussianData, levels: Array) -> float:
    """Compute the 2-Wasserstein distance between finitely and infinitely many steps of DDIM, relative to the spread.

    It is `SamplingError.steps` for levels that need not belong to a schedule.

    Args:
        data: the data.
        levels: [K + 1] log SNRs, rising; the last is replaced by the clean image.
    """
    kept = _kept(data.variances, levels)
    amplitude2 = 1.0 / (1.0 + np.exp(-levels[0]))
    start = amplitude2 * data.variances + 1.0 - amplitude2
    # The mean that the start leaves out, and the deviations: both are multiplied by the same share.
    scale2 = data.variances * (1.0 + amplitude2 * data.mean**2) / start
    return float(np.sqrt(np.sum(scale2 * (1.0 - kept) ** 2))) / data.spread


def _kept(variances: Array, levels: Array) -> Array:
    """Compute the share of each standard deviation that the steps keep, [d]: the product of cos(dpsi)."""
    sigma = np.append(np.exp(-0.5 * levels[:-1]), 0.0)
    psi = np.arctan2(sigma[:, None], np.sqrt(variances)[None, :])
    kept: Array = np.prod(np.cos(np.diff(psi, axis=0)), axis=0)
    return kept
