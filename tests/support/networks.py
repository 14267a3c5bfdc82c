"""Functions in place of trained networks, for which the correct result of a measurement is known."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.config.schema import RunConfig, SampleConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.schedules import make_schedule
from core.training.checkpoint import LoadedModel, Position


class Network(torch.nn.Module):
    """A function of (xt, t) as a network without weights."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, xt: Tensor, t: Tensor) -> Tensor:
        return self.function(xt, t)


def process(
    timesteps: int = 20, *, zero_terminal_snr: bool = False, beta_start: float = 0.01, **options: object
) -> GaussianDiffusion:
    """A short linear process; `options` are those of `GaussianDiffusion`."""
    schedule = make_schedule(
        "linear",
        timesteps=timesteps,
        beta_start=beta_start,
        beta_end=0.3,
        zero_terminal_snr=zero_terminal_snr,
    )
    return GaussianDiffusion(schedule, **options)  # type: ignore[arg-type]  # whatever the test names


def load(
    diffusion: GaussianDiffusion,
    function: Callable[[Tensor, Tensor], Tensor],
    *,
    size: int = 4,
    channels: int = 1,
    **sample: object,
) -> LoadedModel:
    """A run as if loaded from a checkpoint; `sample` sets its configuration, by default without clipping."""
    position = Position(
        epoch=1, batch=0, step=1, losses=[], elapsed=0.0, metrics_offset=0, channels=channels, size=size
    )
    config = RunConfig(sample=SampleConfig(**{"clip": "none", **sample}))  # type: ignore[arg-type]  # likewise
    return LoadedModel(Network(function), diffusion, config, position)
