"""Entropic time: Stancevic et al. 2025, "Entropic Time Schedulers for Generative Diffusion Models" (2504.13612).

Each step gains as much information about the image as any other. With the data prediction error mmse and the noise
sigma beside a signal of 1, the entropy H[x_0 | x_t] changes by d mmse / sigma^3 dsigma, which is d m / 2 over the log
SNR (the I-MMSE relation of Guo et al. 2005). The rescaled time multiplies this rate by sigma. Both were checked against
two independent implementations of the paper, and against Gaussian data, where they are closed.
"""

import numpy as np

from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.even_steps import Array, Ends, even_steps


def entropic_time(curve: NoiseErrorCurve, ends: Ends, steps: int) -> Array:
    """Place levels in even steps of the entropy: equal integrals of m.

    For Gaussian data of one variance e, the coordinate is ln(1 + SNR e).

    Args:
        curve: m.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    return even_steps(curve.at, ends, steps)


def rescaled_entropic_time(curve: NoiseErrorCurve, ends: Ends, steps: int) -> Array:
    """Place levels in even steps of the entropy times sigma: equal integrals of m / sqrt(SNR).

    For Gaussian data of one variance e, the coordinate is arctan(sqrt(SNR e)), which is optimal there; see
    `core.statistics.proposals.tangent_law`. Arguments and result are those of `entropic_time`.
    """
    return even_steps(lambda log_snr: curve.at(log_snr) * np.exp(-0.5 * log_snr), ends, steps)
