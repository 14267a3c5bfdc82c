"""Parts that all samplers share.

A sampler is a generator that yields every state from the starting noise to the image. The caller owns ``eval()``, the
device, progress and what happens to a state. All randomness comes from the generator passed in. It draws on its own
device. With a generator on the images' device nothing is copied. A CPU generator gives the same noise on every machine,
but each step then waits for a copy.

Letters as in `core.diffusion.gaussian`. A step leads from timestep t to an earlier timestep s < t, and s = -1 is the
clean image. alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t), as in Lu et al. 2022. Their lambda_t, half the log
SNR, is ln(alpha_t / sigma_t).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.thresholding import threshold_x0
from core.errors import UserError
from core.sampling_names import Clip, Spacing
from core.spacing import inference_timesteps, nearest_timesteps

Model = Callable[[Tensor, Tensor], Tensor]
"""model(xt [N, C, H, W], t int64 [N]) -> output like xt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Options of all samplers.

    Attributes:
        steps: network evaluations; None evaluates at all timesteps.
        start: timestep of the starting state; None is T - 1.
        eta: amount of noise added in each step, from 0 (deterministic) over 1 (as much as ancestral sampling) to 2;
            read only by the samplers named in `core.sampling_names.SAMPLERS_WITH_ETA`.
        spacing: choice of the timesteps at which the network is evaluated.
        levels: log SNRs at whose nearest timesteps the network is evaluated, instead of `steps` and `spacing`. Without
            `start`, the starting state is at the noisiest of them.
        clip: thresholding of each predicted x0, before it is used any further.
    """

    steps: int | None = None
    start: int | None = None
    eta: float = 0.0
    spacing: Spacing = "uniform"
    levels: tuple[float, ...] | None = None
    clip: Clip = "static"


@dataclass(frozen=True, eq=False)
class SamplerState:
    """One state of a reverse process.

    Attributes:
        index: 0 for the starting state, then 1 after the first network evaluation; the last is `steps`.
        timestep: noise level of `xt`: T - 1 (or `start`) for the starting state, -1 for the finished image.
        xt: [N, C, H, W], the state.
        x0: predicted x0 from which the step to this state was made, like xt; None for the starting state.
    """

    index: int
    timestep: int
    xt: Tensor
    x0: Tensor | None


class Sampler(Protocol):
    """The signature of every sampler."""

    def __call__(
        self,
        model: Model,
        diffusion: GaussianDiffusion,
        noise: Tensor,
        options: SamplerOptions = ...,
        *,
        generator: torch.Generator,
    ) -> Iterator[SamplerState]:
        """Generate images from noise.

        Args:
            model: the network.
            diffusion: the process; only ``ddpm`` uses its `variance`.
            noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `options.start`.
            options: see `SamplerOptions`.
            generator: draws the noise added in the steps; untouched by a deterministic sampler.

        Yields:
            steps + 1 states.

        Raises:
            UserError: steps or start are out of range, an unknown spacing or clip, or, of a sampler that takes eta,
                an eta outside [0, 2].
        """


def timesteps_for(diffusion: GaussianDiffusion, options: SamplerOptions) -> list[int]:
    """List the timesteps at which the network is evaluated, descending; see `core.spacing`."""
    if options.levels is not None:
        return nearest_timesteps(diffusion.schedule.log_snr, options.levels, options.start)
    return inference_timesteps(
        diffusion.timesteps,
        options.steps,
        options.start,
        spacing=options.spacing,
        log_snr=diffusion.schedule.log_snr,
    )


def transitions(timesteps: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (index, t, s) for each step from timestep t to s; the index counts from 1, and the last s is -1.

    >>> list(transitions([9, 4]))
    [(1, 9, 4), (2, 4, -1)]
    """
    for index, (t, s) in enumerate(zip(timesteps, [*timesteps[1:], -1], strict=True), start=1):
        yield index, t, s


def predict_x0(model: Model, diffusion: GaussianDiffusion, xt: Tensor, t: int, clip: Clip) -> Tensor:
    """Predict x0 from xt at timestep t, thresholded, without gradients; like xt."""
    timestep = torch.full((xt.shape[0],), t, dtype=torch.int64, device=xt.device)
    # Only around the evaluation: no_grad held across a yield would switch gradients off for the caller too.
    with torch.no_grad():
        x0 = diffusion.predict_x0(model(xt, timestep), xt, timestep)
    return threshold_x0(x0, clip)


def randn_like(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise like x, on the generator's device, and move it to that of x."""
    z = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
    return z.to(x.device)


def check_eta(eta: float) -> None:
    """Refuse an eta outside [0, 2].

    Raises:
        UserError: it is outside, or NaN.
    """
    if not 0.0 <= eta <= 2.0:
        raise UserError(f"expected eta from 0 to 2, got {eta}")
