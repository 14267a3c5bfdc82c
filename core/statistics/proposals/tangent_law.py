"""Tangent law: Sabour et al. 2024 (2404.14507, section 3.1) and Sun et al. 2026 (2601.13602).

For Gaussian data with a standard deviation of c, deterministic sampling (DDIM) of K steps has the least error if the
levels are sigma = c tan(psi) in even steps of psi, where sigma is the noise beside a signal of 1. Each step multiplies
deviations by the cosine of its step in psi. With c = 1 this is the cosine schedule. Checked against the first paper's
formula in a summary of it, and against the minimum of the closed form.
"""

import numpy as np

from core.statistics.gaussian_sampling import GaussianData
from core.statistics.proposals.even_steps import Array, Ends


def tangent_law(data: GaussianData, ends: Ends, steps: int) -> Array:
    """Place levels in even steps of arctan(sigma / c), where c^2 is the data's mean variance.

    Args:
        data: the data.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    spread = np.sqrt(data.variances.mean())
    psi = np.arctan(np.exp(-0.5 * np.array([ends.noisy, ends.clean])) / spread)
    levels: Array = -2.0 * np.log(spread * np.tan(np.linspace(psi[0], psi[1], steps + 1)))
    levels[0], levels[-1] = ends.noisy, ends.clean
    return levels
