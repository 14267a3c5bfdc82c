"""Sampling of the timesteps of a training batch, with the noise levels of `core.noise_levels`."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config.schema import TrainConfig
from core.noise_levels import NoiseLevels, timestep_probabilities
from core.schedules import Schedule


def timestep_cdf(
    schedule: Schedule, levels: NoiseLevels = "cosine", mean: float | None = None, scale: float | None = None
) -> NDArray[np.float64]:
    """Return the cumulative distribution of timesteps.

    Args:
        schedule: of T timesteps.
        levels: the distribution of noise levels, see `core.noise_levels.timestep_probabilities`.
        mean: parameter of the distribution.
        scale: parameter of the distribution.

    Returns:
        float64 [T], increasing; the last is 1.
    """
    mixed = timestep_probabilities(schedule, levels, mean, scale)
    cumulative: NDArray[np.float64] = np.cumsum(mixed)
    cumulative /= cumulative[-1]
    return cumulative


class TimestepSampler:
    """Sampler of the timesteps of a batch.

    Args:
        schedule: of T timesteps.
        levels: `uniform` over the timesteps, or a distribution of noise levels, see `core.noise_levels`.
        stratified: draw one timestep from each of as many equally likely strata as the batch has images.
        device: device of the timesteps.
        mean: parameter of the distribution; None takes the paper's.
        scale: likewise.
    """

    def __init__(
        self,
        schedule: Schedule,
        levels: NoiseLevels,
        *,
        stratified: bool,
        device: torch.device,
        mean: float | None = None,
        scale: float | None = None,
    ) -> None:
        self._num_timesteps = schedule.timesteps
        self._stratified = stratified
        self._device = device
        self._cdf = (
            None
            if levels == "uniform"
            else torch.from_numpy(timestep_cdf(schedule, levels, mean, scale)).to(device, torch.float32)
        )

    @classmethod
    def from_config(cls, train: TrainConfig, schedule: Schedule, device: torch.device) -> "TimestepSampler":
        """Make the sampler of a training."""
        return cls(
            schedule,
            train.noise_levels,
            stratified=train.stratified_timesteps,
            device=device,
            mean=train.noise_mean,
            scale=train.noise_scale,
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
