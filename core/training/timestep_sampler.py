"""At which noise levels a training looks: the timesteps of a batch.

What a network has to learn differs little between neighbouring levels of log SNR, and a schedule may spend most of its
timesteps where there is next to nothing to learn: half of linear's are below a log SNR of -2.5. So timesteps can be
drawn such that log SNR is distributed alike under every schedule, as far as the schedule reaches.
"""

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.schedules import Schedule

NoiseLevels = Literal["uniform", "cosine"]

_UNIFORM_SHARE: Final = 0.05
"""Drawn uniformly in any case, so that no timestep is left out: sampling visits them all, or some of each part."""


def timestep_cdf(schedule: Schedule) -> NDArray[np.float64]:
    """The chance of a timestep up to t, where log SNR has the density sech(log SNR / 2) / (2 pi) over all its range.

    That is how uniform timesteps of the cosine schedule are distributed in log SNR. Each timestep stands for the levels
    that are nearer to its own than to its neighbours'.

    Args:
        schedule: of T timesteps.

    Returns:
        float64 [T], rising; the last is 1.

    Reference: Kingma and Gao 2023, table 1; Nichol and Dhariwal 2021, eq. 17.
    """
    # 2 / pi atan(exp(x / 2)) is the density's integral up to x, and the same with sqrt(SNR); finite at SNR 0.
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
    """Draws the timesteps of a batch.

    Args:
        schedule: of T timesteps.
        levels: `uniform` over the timesteps, or `cosine`: see `cumulative_weights`.
        stratified: one from each of as many equally likely strata as the batch has pictures.
        device: where the timesteps are wanted.
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
        """int64 [count], from 0 to T - 1."""
        if self._cdf is None and not self._stratified:
            return torch.randint(self._num_timesteps, (count,), generator=generator, device=self._device)
        place = torch.rand(count, generator=generator, device=self._device)
        if self._stratified:
            place = (place + torch.arange(count, device=self._device)) / count
        return self._inverse_cdf(place)

    def evenly_spaced(self, count: int) -> Tensor:
        """int64 [count], rising: spread as evenly as can be over what is drawn, and the same each time."""
        return self._inverse_cdf((torch.arange(count, device=self._device) + 0.5) / count)

    def _inverse_cdf(self, place: Tensor) -> Tensor:
        """The timesteps at these shares of all that is drawn, float32 in [0, 1]."""
        if self._cdf is None:
            t = (place * self._num_timesteps).long()
        else:
            t = torch.searchsorted(self._cdf, place, right=True)
        return t.clamp_max(self._num_timesteps - 1)
