"""Pictures drawn from a trained run, in batches: the same for `core sample` and for its judgement."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import SampleConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import Model, SamplerOptions
from core.diffusion.samplers.registry import run_sampler
from core.training.checkpoint import LoadedModel

BATCH: Final = 64
"""Pictures drawn at once; part of what a seed means, so it is no option."""

Progress = Callable[[int, int], None]


def draw_samples(
    loaded: LoadedModel,
    count: int,
    *,
    seed: int = 0,
    report: Progress | None = None,
) -> NDArray[np.float32]:
    """Draw pictures in the run's own way; another one is in a configuration changed by `core.config.Drawing`.

    Args:
        loaded: the run, as of a checkpoint.
        count: pictures, at least 1.
        seed: of the noises. They are drawn on the CPU, so they are the same on all devices.
        report: called with calls of the network done and in all.

    Returns:
        float32 [count, C, H, W], near [-1, 1] but not clipped to it; see `to_unit`.

    Raises:
        UserError: too many steps.
    """
    shape, way = (count, *loaded.shape), loaded.config.sample
    return draw_samples_from(
        loaded.model, loaded.diffusion, way, shape, device=loaded.device, seed=seed, report=report
    )


def draw_samples_from(
    model: Model,
    diffusion: GaussianDiffusion,
    way: SampleConfig,
    shape: tuple[int, ...],
    *,
    device: torch.device,
    seed: int = 0,
    report: Progress | None = None,
) -> NDArray[np.float32]:
    """Draw pictures with a network that need not be of any run; the caller has it in eval mode.

    Args:
        model: the network, on `device`.
        diffusion: the process that it has learnt to reverse.
        way: sampler, steps, eta, spacing and clipping; the rest of it is not looked at.
        shape: [count, C, H, W].
        device: where to compute.
        seed: as for `draw`, which gives the same pictures; likewise `report`, what is returned, and what is raised.
    """
    count, *image = shape
    options = SamplerOptions(steps=way.steps, eta=way.eta, spacing=way.spacing, clip=way.clip)
    calls = way.steps or diffusion.timesteps
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    drawn = []
    for number, size in enumerate(sizes):
        noise = torch.randn((size, *image), generator=generator).to(device)
        final = noise
        for state in run_sampler(way.sampler, model, diffusion, noise, options, generator=generator):
            final = state.xt
            if report is not None:
                report(number * calls + state.index, len(sizes) * calls)
        drawn.append(final.cpu())
    images: NDArray[np.float32] = torch.cat(drawn).numpy()
    return images


def to_unit(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures from [-1, 1], clipped, to [0, 1]."""
    return ((images.clip(-1, 1) + 1) / 2).astype(np.float32, copy=False)
