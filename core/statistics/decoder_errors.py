"""Errors of the x0 predicted at the first timestep, binned, from which L_0 follows for any schedule and variance."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.schedules import Schedule
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.predicted_bound import BoundVariance

Array = NDArray[np.float64]

_EDGES: Final = np.concatenate([-np.geomspace(2.1, 1e-4, 36), np.geomspace(1e-4, 2.1, 36)])
_HALF_LEVEL: Final = 1.0 / 255.0
_FAR: Final = 20.0


@dataclass(frozen=True, eq=False)
class DecoderErrors:
    """Shares of the pixels by their error, of images of 256 levels in [-1, 1].

    Black and white pixels are apart, because the decoder's first and last bin reach to infinity.

    Attributes:
        log_snr: log SNR of the timestep.
        error: [B], root mean square error of each bin; of black and white pixels signed, above 0 towards grey, and of
            the others always above 0.
        extreme: [B], shares of black and white pixels.
        inner: [B], shares of the others; together with `extreme` they add up to 1.
    """

    log_snr: float
    error: Array
    extreme: Array
    inner: Array

    @classmethod
    def from_errors(cls, log_snr: float, x0: Array, predicted: Array) -> "DecoderErrors":
        """Bin the errors of predicted images; both of one shape, in [-1, 1]."""
        error = (predicted - x0).ravel()
        extreme = np.abs(x0).ravel() >= 1 - _HALF_LEVEL
        error = np.where(extreme, -np.sign(x0).ravel() * error, np.abs(error))
        index = np.digitize(error, _EDGES)
        bins = len(_EDGES) + 1
        counts = np.bincount(index, minlength=bins)
        squares = np.bincount(index, weights=error**2, minlength=bins)
        known = counts > 0
        sizes = np.sqrt(squares[known] / counts[known])
        signs = np.where(np.flatnonzero(known) < bins // 2, -1.0, 1.0)
        black_and_white = np.bincount(index, weights=extreme, minlength=bins)[known]
        return cls(
            log_snr=log_snr,
            error=sizes * signs,
            extreme=black_and_white / len(error),
            inner=(counts[known] - black_and_white) / len(error),
        )

    def bits(self, curve: NoiseErrorCurve, schedule: Schedule, variance: BoundVariance = "beta") -> float:
        """Predict L_0 in bits a dimension; exact up to the binning at the log SNR where the errors were measured.

        A schedule with another log SNR at its first timestep has the same errors scaled as the curve.

        Args:
            curve: the network's noise error.
            schedule: the schedule.
            variance: variance of the reverse process. With the posterior's, which is 0 at the first timestep, that of
                the second is taken, as in the code of Ho et al. 2020. ``optimal`` takes the best for the network.
        """
        # Below the first point of the curve m / SNR stays, also at an SNR of 0.
        levels = np.maximum([float(schedule.log_snr[0]), self.log_snr], curve.log_snr[0])
        squares = curve.at(levels) / np.exp(levels)
        error = self.error * math.sqrt(squares[0] / squares[1])
        if variance == "optimal":
            return self._least_nats(error) / math.log(2.0)
        sigma2 = float(schedule.betas[0])
        if variance == "beta_tilde" and schedule.timesteps > 1:
            noise = schedule.one_minus_alphas_cumprod
            sigma2 = float(noise[0] / noise[1] * schedule.betas[1])
        return self._nats(error, math.sqrt(sigma2)) / math.log(2.0)

    def _least_nats(self, error: Array) -> float:
        """Find the least of `_nats` over sigma, by trisection of its logarithm."""
        low, high = -9.0, 1.0
        for _ in range(40):
            third = (high - low) / 3
            if self._nats(error, math.exp(low + third)) < self._nats(error, math.exp(high - third)):
                high -= third
            else:
                low += third
        return self._nats(error, math.exp(low))

    def _nats(self, error: Array, sigma: float) -> float:
        """Compute -log of the probability of the right level, Ho et al. 2020, eq. 13, averaged over the bins."""
        extreme = -_log_ndtr((_HALF_LEVEL - error) / sigma)
        # Mirrored into the left tail, where the logarithm of the distribution function keeps its digits.
        upper, lower = (_HALF_LEVEL - np.abs(error)) / sigma, (-_HALF_LEVEL - np.abs(error)) / sigma
        inner = -(_log_ndtr(upper) + np.log(-np.expm1(_log_ndtr(lower) - _log_ndtr(upper))))
        return float(self.extreme @ extreme + self.inner @ inner)


def _log_ndtr(x: Array) -> Array:
    """Compute the logarithm of the normal distribution function; without scipy, which takes long to import."""
    near = np.maximum(x, -_FAR)
    logs = np.log([math.erfc(-value / math.sqrt(2.0)) / 2 for value in near.tolist()])
    far = np.minimum(x, -_FAR)  # an asymptotic series, exact to 1e-7 there
    tail: Array = (
        -(far**2) / 2 - np.log(-far) - math.log(2 * math.pi) / 2 + np.log1p(-1 / far**2 + 3 / far**4)
    )
    return np.where(x < -_FAR, tail, logs)
