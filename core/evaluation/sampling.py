"""Pictures drawn from a trained run, in batches: the same for `core sample` and for its judgement."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.diffusion.samplers import run_sampler
from core.training.checkpoint import LoadedModel

BATCH: Final = 64
"""Pictures drawn at once; part of what a seed means, so it is no option."""

Report = Callable[[int, int], None]


def draw(
    loaded: LoadedModel,
    count: int,
    *,
    seed: int = 0,
    report: Report | None = None,
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
    sample = loaded.config.sample
    calls = sample.steps or loaded.diffusion.timesteps
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    drawn = []
    for number, size in enumerate(sizes):
        noise = torch.randn((size, *loaded.shape), generator=generator).to(loaded.device)
        final = noise
        for state in run_sampler(
            sample.sampler,
            loaded.model,
            loaded.diffusion,
            noise,
            steps=sample.steps,
            eta=sample.eta,
            spacing=sample.spacing,
            clip=sample.clip,
            generator=generator,
        ):
            final = state.xt
            if report is not None:
                report(number * calls + state.index, len(sizes) * calls)
        drawn.append(final.cpu())
    pictures: NDArray[np.float32] = torch.cat(drawn).numpy()
    return pictures


def to_unit(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures from [-1, 1], clipped, to [0, 1]."""
    return ((pictures.clip(-1, 1) + 1) / 2).astype(np.float32, copy=False)
