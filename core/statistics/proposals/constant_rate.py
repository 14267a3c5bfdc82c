"""Constant rate: Okada et al. 2026, "Constant Rate Scheduling" (2411.12188), with the predicted image as the distance.

The paper makes a distance D between x_t and x_{t + dt} grow at a constant rate, and suggests the root mean square
change of the predicted x0 where both are made from the same image and noise. Its abstract and reviews state
dalpha/dt ~ v(alpha)^-xi with xi = 1, which is used here (some of its experiments have xi = 1.2). The rate below, for
Gaussian data and the ideal denoiser, is derived here: x0_hat - mu = alpha e / V (x - alpha mu) in each eigenvector, so
E(d x0_hat / d log SNR)^2 = SNR e^2 / (4 (1 + SNR e)^2).
"""

import numpy as np

from core.statistics.gaussian_sampling import GaussianData
from core.statistics.proposals.even_steps import Array, Ends, even_steps


def constant_rate(data: GaussianData, ends: Ends, steps: int) -> Array:
    """Place levels so that the predicted x0 changes equally in each step.

    For Gaussian data of one variance this is the tangent law; see `core.statistics.proposals.tangent_law`.

    Args:
        data: the data.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """

    def rate(log_snr: Array) -> Array:
        half = np.exp(0.5 * log_snr)[:, None]
        change: Array = half * data.variances / (1.0 + half**2 * data.variances)
        total: Array = np.mean(change**2, axis=1)
        return np.sqrt(total)

    return even_steps(rate, ends, steps)
