"""Score-optimal levels: Williams et al. 2024, "Score-Optimal Diffusion Schedules" (2412.07877).

The cost of a step is the work of a Langevin corrector, v^2 E||grad log p_s - grad log p_t||^2, with v = sigma. It is
delta dt^2 in a short step, and the optimal levels are even in the integral of sqrt(delta). This is the paper's
corrector-optimised cost in the convention of its experiments on images, where x = x_0 + sigma eps. The definitions were
checked against an implementation and a summary of the paper. For Gaussian data, delta over the log SNR is the sum of
(1 + SNR e)^-3 over the eigenvalues e, which is derived here; the mean does not matter in this convention.
"""

import numpy as np

from core.statistics.gaussian_sampling import GaussianData
from core.statistics.proposals.even_steps import Array, Ends, even_steps


def score_optimal(data: GaussianData, ends: Ends, steps: int) -> Array:
    """Place levels so that the corrector's work is the same in each step.

    Args:
        data: the data.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """

    def density(log_snr: Array) -> Array:
        total: Array = np.mean((1.0 + np.exp(log_snr)[:, None] * data.variances) ** -3.0, axis=1)
        return np.sqrt(total)

    return even_steps(density, ends, steps)
