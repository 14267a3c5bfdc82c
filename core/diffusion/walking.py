"""What the steps of all samplers are made of. Letters as in `core.diffusion.gaussian`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.diffusion.clipping import Clip, clip_x0
from core.diffusion.gaussian import GaussianDiffusion
from core.spacing import Spacing, inference_timesteps

Model = Callable[[Tensor, Tensor], Tensor]
"""model(xt [N, C, H, W], t int64 [N]) -> output like xt."""


@dataclass(frozen=True, eq=False)
class SamplerState:
    """One state of a reverse process.

    Attributes:
        index: 0 for the starting state, then 1 after each call of the network; the last is `steps`.
        timestep: the noise level of `xt`: T - 1 (or `start`) for the starting state, -1 for the finished picture.
        xt: [N, C, H, W], the state.
        x0: the picture that the network foresaw on the way here, like xt; None for the starting state.
    """

    index: int
    timestep: int
    xt: Tensor
    x0: Tensor | None


def visited_of(
    diffusion: GaussianDiffusion, steps: int | None, start: int | None, spacing: Spacing
) -> list[int]:
    """The timesteps at which the network is asked, falling; see `inference_timesteps`."""
    log_snr = diffusion.schedule.log_snr
    return inference_timesteps(diffusion.timesteps, steps, start, spacing=spacing, log_snr=log_snr)


def transitions(visited: list[int]) -> Iterator[tuple[int, int, int]]:
    """(index, t, s) for each step from timestep t to s, counted from 1; -1 is the finished picture."""
    for index, (t, s) in enumerate(zip(visited, [*visited[1:], -1], strict=True), start=1):
        yield index, t, s


def foresee(model: Model, diffusion: GaussianDiffusion, xt: Tensor, t: int, clip: Clip) -> Tensor:
    """The clean pictures, like xt, that the network sees in those of timestep t; clipped, and without gradients."""
    timestep = torch.full((xt.shape[0],), t, dtype=torch.int64, device=xt.device)
    # Held only round the call: no_grad held across a yield would switch gradients off for the caller too.
    with torch.no_grad():
        x0 = diffusion.predict_x0(model(xt, timestep), xt, timestep)
    return clip_x0(x0, clip)


def draw(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise like the pictures, drawn where the generator lives."""
    z = torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    return z.to(like.device)
