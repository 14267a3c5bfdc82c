"""Schedules that are defined by their noise levels instead of betas: rectified flow and EDM, as betas in float64."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIGMA_MIN: Final = 0.002
SIGMA_MAX: Final = 80.0
_RHO: Final = 7.0


def flow_betas(timesteps: int) -> Array:
    """Compute the betas of the linear path of rectified flow, x_u = (1 - u) x0 + u eps at u = t / T.

    Divided by sqrt((1 - u)^2 + u^2) its variances add up to 1, so abar = (1 - u)^2 / ((1 - u)^2 + u^2). The last
    timestep is pure noise.

    Args:
        timesteps: T.

    Returns:
        float64 [T]; the last is 1.

    Reference: Liu et al. 2023, eq. 1. The times are those of Esser et al. 2024 in diffusers without a shift.
    """
    u = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    power = (1.0 - u) ** 2 + u**2
    # 1 - abar_t / abar_(t - 1), without cancellation at small u.
    before, now = u[:-1], u[1:]
    betas: Array = (now**2 * (1.0 - before) ** 2 - before**2 * (1.0 - now) ** 2) / (
        (1.0 - before) ** 2 * power[1:]
    )
    betas[-1] = 1.0
    return betas


def edm_betas(timesteps: int) -> Array:
    """Compute the betas of EDM's noise levels, from sigma = 0.002 to 80 in equal steps of sigma^(1/7).

    sigma is the noise beside a signal of 1, so abar = 1 / (1 + sigma^2). A single timestep has sigma = 80.

    Args:
        timesteps: T.

    Returns:
        float64 [T].

    Reference: Karras et al. 2022, eq. 5 and table 1.
    """
    ramp = np.linspace(0.0, 1.0, timesteps)[::-1]
    sigma = (SIGMA_MAX ** (1 / _RHO) + ramp * (SIGMA_MIN ** (1 / _RHO) - SIGMA_MAX ** (1 / _RHO))) ** _RHO
    square = sigma**2
    before = np.concatenate(([0.0], square[:-1]))
    betas: Array = (square - before) / (1.0 + square)
    return betas
