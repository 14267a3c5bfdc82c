"""Images noised to a timestep and denoised from there with a run's own sampler.

Timesteps `t` are 0..T-1, as everywhere in code.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.samplers.base import SamplerOptions, SamplerState
from core.diffusion.samplers.registry import run_sampler
from core.errors import UserError
from core.evaluation.metrics import Progress
from core.evaluation.preprocess import Images, to_x0
from core.spacing import nearest_timesteps
from core.training.checkpoint import LoadedModel

_BATCH: Final = 64
_ROUNDING_MSE: Final = 1.0 / (12.0 * 255.0**2)
"""Mean squared error of rounding to 256 levels."""

Numbers = NDArray[np.float64]


def timestep_from_strength(strength: float, timesteps: int) -> int:
    """Convert a share of T to a timestep 0..T-1: 1 is the last, next to nothing is the first.

    >>> timestep_from_strength(0.5, 300), timestep_from_strength(1.0, 300), timestep_from_strength(0.001, 300)
    (149, 299, 0)

    Raises:
        UserError: the share is not above 0 and at most 1.
    """
    if not 0.0 < strength <= 1.0:
        raise UserError(f"expected a strength above 0 and at most 1, got {strength}")
    return max(round(strength * timesteps), 1) - 1


def scaled_steps(steps: int | None, t: int, timesteps: int) -> int:
    """Scale the `steps` of a trajectory from T - 1 to one from timestep t; None is one network call a timestep.

    >>> scaled_steps(50, 149, 300), scaled_steps(None, 149, 300), scaled_steps(50, 0, 300)
    (25, 150, 1)
    """
    return t + 1 if steps is None else -(-steps * (t + 1) // timesteps)


def denoising_calls(loaded: LoadedModel, t: int) -> int:
    """Count the network calls of the run's own sampling from timestep t: `scaled_steps`, or its levels after t."""
    own = loaded.config.sample
    if own.levels is None:
        return scaled_steps(own.steps, t, loaded.diffusion.timesteps)
    return len(nearest_timesteps(loaded.diffusion.schedule.log_snr, own.levels, t))


def denoise(
    loaded: LoadedModel,
    x0: Tensor,
    t: int,
    *,
    steps: int | None = None,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Yield the states from the noised images (the first) to the denoised (the last), by the run's own sampler.

    Args:
        loaded: the run, as of a checkpoint.
        x0: [N, C, H, W] in [-1, 1], on the network's device.
        t: the timestep 0..T-1 to noise to.
        steps: network calls from t down; None takes `denoising_calls`.
        generator: draws the noise, then the noise of the sampler.

    Raises:
        UserError: not 0 <= t < T, or not 1 <= steps <= t + 1.
    """
    timesteps = loaded.diffusion.timesteps
    if not 0 <= t < timesteps:
        raise UserError(f"expected a timestep from 0 to {timesteps - 1} to noise to, got {t}")
    own = loaded.config.sample
    eps = torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype).to(x0.device)
    xt = loaded.diffusion.q_sample(x0, torch.full((len(x0),), t, dtype=torch.int64, device=x0.device), eps)
    yield from run_sampler(
        own.sampler,
        loaded.model,
        loaded.diffusion,
        xt,
        SamplerOptions(
            steps=denoising_calls(loaded, t) if steps is None else steps,
            start=t,
            eta=own.eta,
            spacing=own.spacing,
            levels=own.levels,
            clip=own.clip,
        ),
        generator=generator,
    )


def reconstruct(
    loaded: LoadedModel,
    images: Images,
    t: int,
    *,
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Noise images to a timestep and denoise them: float32 [N, C, H, W] in [0, 1].

    Args:
        loaded: the run, as of a checkpoint.
        images: [N, C, H, W], N >= 1, uint8 or float in [0, 1].
        t, steps: as for `denoise`.
        seed: seed of the noises, which are the same for each t, so strengths differ in nothing else.
        progress: called with images passed through the network so far, and in all.

    Raises:
        UserError: images that the network cannot take, or an error of `denoise`.
    """
    generator = torch.Generator(loaded.device).manual_seed(seed)
    if steps is None:
        steps = denoising_calls(loaded, t)
    x0 = to_x0(loaded, images)
    done, finished = 0, []
    for batch in torch.split(x0, _BATCH):
        final = batch
        for state in denoise(loaded, batch, t, steps=steps, generator=generator):
            final = state.xt
            if progress is not None and state.index:
                done += len(batch)
                progress(done, len(x0) * steps)
        finished.append(final.cpu())
    values: NDArray[np.float32] = ((torch.cat(finished).clamp(-1.0, 1.0) + 1.0) / 2.0).numpy()
    return values


def psnr(truth: Numbers, images: Numbers) -> Numbers:
    """Compute the peak signal-to-noise ratio of each image in decibels, [N]; both [N, C, H, W] in [0, 1].

    The error is at least that of rounding to 256 levels, so the best value is 58.9 dB rather than infinite.
    """
    error = np.square(truth - images).mean(axis=(1, 2, 3))
    # maximum, unlike fmax, keeps the NaN of a network that has diverged.
    decibels: Numbers = -10.0 * np.log10(np.maximum(error, _ROUNDING_MSE))
    return decibels
