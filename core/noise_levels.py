"""Distributions of the noise levels in training, over the timesteps of any schedule.

A schedule may spend most of its timesteps where there is almost nothing to learn: half of the linear schedule's are
below a log SNR of -2.5. So timesteps can be drawn such that log SNR has the same distribution under every schedule,
within the range of the schedule. Below, sigma = sqrt((1 - abar) / abar) is the noise beside a signal of 1, so that
log SNR = -2 ln sigma, and u is the time of rectified flow, for which log SNR = -2 logit(u).
"""

import math
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.schedules import Schedule

Array = NDArray[np.float64]
NoiseLevels = Literal["uniform", "cosine", "logit_normal", "laplace", "log_normal"]
NOISE_LEVELS: Final[tuple[NoiseLevels, ...]] = get_args(NoiseLevels)

DEFAULT_PARAMETERS: Final[dict[str, tuple[float, float]]] = {
    "logit_normal": (0.0, 1.0),
    "laplace": (0.0, 0.5),
    "log_normal": (-1.2, 1.2),
}
"""Mean and scale that the papers use, of each distribution that has them."""

UNIFORM_SHARE: Final = 0.05
"""Share that is always drawn uniformly, because samplers visit all timesteps, or some of each part of the range."""
_MIN_SHARE: Final = 0.01


def timestep_probabilities(
    schedule: Schedule, levels: NoiseLevels, mean: float | None = None, scale: float | None = None
) -> Array:
    """Compute the probability of each timestep.

    Each timestep represents the levels that are nearer to its own level than to those of its neighbours.

    - ``uniform``: all alike.
    - ``cosine``: density sech(log SNR / 2) / (2 pi), that of uniform timesteps under the cosine schedule.
    - ``logit_normal``: logit(u) ~ N(mean, scale^2), so log SNR ~ N(-2 mean, (2 scale)^2).
    - ``laplace``: density exp(-|log SNR - mean| / scale) / (2 scale).
    - ``log_normal``: ln sigma ~ N(mean, scale^2), so log SNR ~ N(-2 mean, (2 scale)^2).

    All but the first are mixed with a share of `UNIFORM_SHARE` of uniform timesteps.

    Args:
        schedule: of T timesteps.
        levels: one of `NOISE_LEVELS`.
        mean: of the distributions that have one; None takes that of `DEFAULT_PARAMETERS`.
        scale: likewise.

    Returns:
        float64 [T], which add up to 1.

    Reference: cosine: Kingma and Gao 2023, table 1, and Nichol and Dhariwal 2021, eq. 17. logit_normal: Esser et al.
    2024, eq. 19. laplace: Hang and Gu 2024, table 1. log_normal: Karras et al. 2022, table 1 (P_mean, P_std).
    """
    uniform = np.full(schedule.timesteps, 1 / schedule.timesteps)
    if levels == "uniform":
        return uniform
    below = _cumulative(schedule, levels, mean, scale)
    edges = np.concatenate([below[:1], (below[:-1] + below[1:]) / 2, below[-1:]])
    weights = edges[:-1] - edges[1:]
    total = weights.sum()
    return uniform if total <= 0 else UNIFORM_SHARE * uniform + (1 - UNIFORM_SHARE) * weights / total


def check_range(schedule: Schedule, levels: NoiseLevels, mean: float | None, scale: float | None) -> None:
    """Refuse a distribution that has less than 1% of its levels within the range of a schedule of several timesteps.

    Args:
        schedule: of T timesteps.
        levels: one of `NOISE_LEVELS`.
        mean: of the distribution; None takes that of `DEFAULT_PARAMETERS`.
        scale: likewise.

    Raises:
        UserError: it has less.
    """
    if levels not in DEFAULT_PARAMETERS or schedule.timesteps == 1:
        return
    below, log_snr = _cumulative(schedule, levels, mean, scale), schedule.log_snr
    top, bottom = below[0], below[-1]
    if top - bottom < _MIN_SHARE:
        raise UserError(
            f"train.noise_levels = {levels}: only {100 * (top - bottom):.2g}% of its levels are within the schedule's "
            f"log SNR, from {log_snr[-1]:.3g} to {log_snr[0]:.3g}; change train.noise_mean or train.noise_scale"
        )


def _cumulative(schedule: Schedule, levels: str, mean: float | None, scale: float | None) -> Array:
    """Return the probability of a log SNR below that of each timestep, [T]."""
    if levels == "cosine":
        # The integral of sech(x / 2) / (2 pi) up to x; written with sqrt(SNR) it is finite at SNR 0.
        cosine: Array = 2 / np.pi * np.arctan(np.sqrt(schedule.snr))
        return cosine
    usual_mean, usual_scale = DEFAULT_PARAMETERS[levels]
    mean, scale = usual_mean if mean is None else mean, usual_scale if scale is None else scale
    if levels == "laplace":
        x = (schedule.log_snr - mean) / scale
        tail = 0.5 * np.exp(-np.abs(x))
        return np.where(x < 0, tail, 1 - tail)
    x = (schedule.log_snr / 2 + mean) / (scale * math.sqrt(2.0))
    return np.array([0.5 * math.erfc(-one) for one in x])
