"""Error of the predicted noise by noise level, m(log SNR): the one curve that belongs to data and network alone.

Kingma et al. 2021 (Variational Diffusion Models, eq. 14) show that a schedule does not change this curve. It only
decides where the curve ends, how training visits it and in which steps sampling crosses it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseErrorCurve:
    """m(log SNR) = E||eps - eps_hat||^2 / d = SNR E||x_0 - x_0_hat||^2 / d, for images of d numbers in [-1, 1].

    Attributes:
        log_snr: [n], ln(abar / (1 - abar)), rising.
        error: [n], m at each of them, above 0.
        low: [n], lower end of the 95% interval of `error`.
        high: [n], upper end.
    """

    log_snr: Array
    error: Array
    low: Array
    high: Array

    def at(self, log_snr: Array) -> Array:
        """Interpolate ln(m) linearly over the log SNR.

        Below the first point m falls as the SNR does, because the predicted image no longer depends on the noise level.
        Above the last point m stays.

        Args:
            log_snr: any shape.

        Returns:
            m, of the same shape.
        """
        log_error: Array = np.interp(log_snr, self.log_snr, np.log(self.error))
        error: Array = np.exp(log_error + np.minimum(log_snr - self.log_snr[0], 0.0))
        return error
