"""The variational bound taken apart, and predicted for any schedule from the noise error curve of one network.

The curve m(log SNR) does not depend on the schedule (Kingma et al. 2021, section 4.2). With SNR_t of timestep t and
s = t - 1, a middle term of the bound is, in nats a dimension:

- (1/2) (SNR_s / SNR_t - 1) m(log SNR_t) with the posterior's variance (Kingma et al. 2021, eq. 13);
- r times that, plus (r - 1 - ln r) / 2, with any other variance that is beta_tilde / r;
- (1/2) ln(1 + (SNR_s / SNR_t - 1) m(log SNR_t)) with the best variance, which is beta_tilde plus the mean squared
  error of the predicted mean (Bao et al. 2022, Analytic-DPM, theorem 1, for a network that is not ideal).

With infinitely many steps the sum of the middle terms is the integral of m / 2 over the log SNR.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.schedules import TRIANGLES_MEAN_SQUARE, Schedule
from core.statistics.noise_error import NoiseErrorCurve

Array = NDArray[np.float64]
BoundVariance = Literal["beta", "beta_tilde", "optimal"]

BOUND_VARIANCES: Final[tuple[BoundVariance, ...]] = ("beta", "beta_tilde", "optimal")
"""Variances of the reverse process: the two of `diffusion.variance`, and the best for the network."""
_BITS: Final = 1.0 / math.log(2.0)
_GRID: Final = 8193
_NEGLIGIBLE: Final = 40.0


@dataclass(frozen=True)
class BoundParts:
    """The bound in parts, each in bits a dimension.

    Attributes:
        prior: L_T, what the schedule leaves of the image at its last timestep.
        network: the middle terms with infinitely many steps, which only a better network can lower.
        steps: what finitely many steps add to it, with the posterior's variance.
        variance: what another variance adds to that; below 0 for the best one.
        decoder: L_0; None where it is unknown.
    """

    prior: float
    network: float
    steps: float
    variance: float
    decoder: float | None = None

    @property
    def middle(self) -> float:
        """Sum of the middle terms."""
        return self.network + self.steps + self.variance

    @property
    def total(self) -> float:
        """The bound; without L_0 where that is unknown."""
        return self.prior + self.middle + (self.decoder or 0.0)


def predicted_bound(
    curve: NoiseErrorCurve,
    schedule: Schedule,
    *,
    variance: BoundVariance = "beta",
    mean_square: float = TRIANGLES_MEAN_SQUARE,
    decoder: float | None = None,
) -> BoundParts:
    """Predict the bound of a network under a schedule, which need not be the one that it was trained with.

    Args:
        curve: the network's noise error.
        schedule: the schedule; it may end in pure noise.
        variance: variance of the reverse process.
        mean_square: E[x_0^2] over images in [-1, 1], for L_T.
        decoder: L_0 in bits a dimension, if it is known.
    """
    network = network_bits(curve, schedule)
    posterior = float(middle_terms(curve, schedule, "beta_tilde").sum()) * _BITS
    middle = float(middle_terms(curve, schedule, variance).sum()) * _BITS
    return BoundParts(
        prior=schedule.prior_bits_per_dim(mean_square),
        network=network,
        steps=posterior - network,
        variance=middle - posterior,
        decoder=decoder,
    )


def network_bits(curve: NoiseErrorCurve, schedule: Schedule) -> float:
    """Compute the integral of m / 2 over the log SNR, from the schedule's last timestep to its first, in bits."""
    high = float(schedule.log_snr[0])
    if high == -math.inf:  # a single timestep of pure noise
        return 0.0
    # m falls as the SNR below the first point of the curve, so what is left out beyond e^-40 is nothing.
    low = max(float(schedule.log_snr[-1]), min(float(curve.log_snr[0]), high) - _NEGLIGIBLE)
    grid = np.linspace(low, high, _GRID)
    return float(np.trapezoid(curve.at(grid), grid)) / 2 * _BITS


def middle_terms(curve: NoiseErrorCurve, schedule: Schedule, variance: BoundVariance = "beta") -> Array:
    """Predict L_{t-1} for t = 2..T, [T - 1], in nats a dimension.

    Args:
        curve: the network's noise error.
        schedule: the schedule.
        variance: variance of the reverse process.
    """
    # (SNR_s / SNR_t - 1) m(log SNR_t), finite at SNR_T = 0 too, where m / SNR is that of the curve's first point.
    ratio = -np.expm1(np.diff(schedule.log_snr))
    level = np.maximum(schedule.log_snr[1:], curve.log_snr[0])
    excess = ratio * curve.at(level) * np.exp(schedule.log_snr[:-1] - level)
    terms: Array = excess / 2
    if variance == "optimal":
        terms = np.log1p(excess) / 2
    elif variance == "beta":
        noise = schedule.one_minus_alphas_cumprod
        smaller = noise[:-1] / noise[1:]  # beta_tilde / beta
        terms = (smaller * excess + smaller - 1 - np.log(smaller)) / 2
    return terms
