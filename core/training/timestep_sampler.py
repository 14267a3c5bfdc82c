"""Sampling of the timesteps of a training batch.

The denoising task differs little between neighbouring levels of log SNR. A schedule may spend most of its timesteps
where there is almost nothing to learn: half of the linear schedule's are below a log SNR of -2.5. So timesteps can be
drawn such that log SNR has the same distribution under every schedule, within the range of the schedule.
"""

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.schedules import Schedule

NoiseLevels = Literal["uniform", "cosine"]

_UNIFORM_SHARE: Final = 0.05
"""Share that is always drawn uniformly, because samplers visit all timesteps, or some of each part of the range."""


def timestep_cdf(schedule: Schedule) -> NDArray[np.float64]:
    """Return the cumulative distribution of timesteps whose log SNR has the density sech(log SNR / 2) / (2 pi).

    Uniform timesteps of the cosine schedule have this density of log SNR. Each timestep represents the levels that are
    nearer to its own level than to those of its neighbours.

    Args:
        schedule: of T timesteps.

    Returns:
        float64 [T], increasing; the last is 1.

    Reference: Kingma and Gao 2023, table 1; Nichol and Dhariwal 2021, eq. 17.
    """
    # 2 / pi atan(exp(x / 2)) is the integral of the density up to x; written with sqrt(SNR) it is finite at SNR 0.
    below = 2 / np.pi * np.arctan(np.sqrt(schedule.snr))
    edges = np.concatenate([below[:1], (below[:-1] + below[1:]) / 2, below[-1:]])
    weights = edges[:-1] - edges[1:]
    uniform = np.full(schedule.timesteps, 1 / schedule.timesteps)
    total = weights.sum()
    mixed = uniform if total <= 0 else _UNIFORM_SHARE * uniform + (1 - _UNIFORM_SHARE) * weights / total
    cumulative: NDArray[np.float64] = np.cumsum(mixed)
    cumulative /= cumulative[-1]
    return cumulative


class TimestepSampler:
    """Sampler of the timesteps of a batch.

    Args:
        schedule: of T timesteps.
        levels: `uniform` over the timesteps, or `cosine`, see `timestep_cdf`.
        stratified: draw one timestep from each of as many equally likely strata as the batch has images.
        device: device of the timesteps.
    """

    def __init__(
        self, schedule: Schedule, levels: NoiseLevels, *, stratified: bool, device: torch.device
    ) -> None:
        self._num_timesteps = schedule.timesteps
        self._stratified = stratified
        self._device = device
        self._cdf = (
            None
            if levels == "uniform"
            else torch.from_numpy(timestep_cdf(schedule)).to(device, torch.float32)
        )

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps from 0 to T - 1, int64 [count]."""
        if self._cdf is None and not self._stratified:
            return torch.randint(self._num_timesteps, (count,), generator=generator, device=self._device)
        u = torch.rand(count, generator=generator, device=self._device)
        if self._stratified:
            u = (u + torch.arange(count, device=self._device)) / count
        return self._inverse_cdf(u)

    def evenly_spaced(self, count: int) -> Tensor:
        """Return timesteps at evenly spaced quantiles of the distribution, int64 [count], increasing."""
        return self._inverse_cdf((torch.arange(count, device=self._device) + 0.5) / count)

    def _inverse_cdf(self, u: Tensor) -> Tensor:
        """Return the timesteps at quantiles `u`, float32 in [0, 1]."""
        if self._cdf is None:
            timesteps = (u * self._num_timesteps).long()
        else:
            timesteps = torch.searchsorted(self._cdf, u, right=True)
        return timesteps.clamp_max(self._num_timesteps - 1)
