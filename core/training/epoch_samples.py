"""Samples that are drawn after an epoch only to be evaluated (`sample.evaluate_count`), always from the same noise."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from core.data import ImageSet
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import run_sampler
from core.errors import UserError
from core.imaging import to_pixels
from core.statistics.estimate import Estimate
from core.training.loop import Trainer
from core.training.sample_sheets import sampling_predictor, sheet_due

EVALUATION_MODULE: Final = "core.evaluation.epoch_quality"
"""Started as a subprocess, which has scipy and the fits of triangles to itself."""
_BATCH: Final = 64
_TIMEOUT: Final = 3600.0
_SEED_OFFSET: Final = 2  # the sheets of samples take the seeds before

Quality = dict[str, Estimate]


def sample_evaluator(
    images: ImageSet, trainer: Trainer, heartbeat: Callable[[], object]
) -> Callable[[], Quality]:
    """Return a function that draws and evaluates samples if the epoch that has just ended has a sheet of them.

    Args:
        images: the data.
        trainer: the training.
        heartbeat: called after each network call.

    Raises:
        UserError: samples are to be evaluated, but the data are not grey triangles.
    """
    count = trainer.config.sample.evaluate_count
    if not count:
        return dict
    if images.heldout_vertices is None:
        raise UserError(
            f"sample.evaluate_count = {count}: {images.name} does not show grey triangles; set it to 0"
        )

    def evaluate() -> Quality:
        if not sheet_due(trainer):
            return {}
        arrays = io.BytesIO()
        np.savez(arrays, samples=_draw(trainer, count, heartbeat), heldout=images.heldout)
        command = [sys.executable, "-P", "-m", EVALUATION_MODULE, str(images.path)]
        try:
            done = subprocess.run(command, input=arrays.getvalue(), capture_output=True, timeout=_TIMEOUT)
            if done.returncode:
                raise OSError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
            return msgspec.json.decode(done.stdout, type=Quality)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
            print(f"epoch {trainer.epoch}: its samples could not be evaluated: {error}", file=sys.stderr)
            return {}

    return evaluate


def _draw(trainer: Trainer, count: int, heartbeat: Callable[[], object]) -> NDArray[np.uint8]:
    """Draw samples with the run's own sampler, uint8 [count, C, S, S]."""
    sample, device = trainer.config.sample, trainer.device
    noises = torch.Generator().manual_seed(sample.seed + _SEED_OFFSET)
    added = torch.Generator(device).manual_seed(sample.seed + _SEED_OFFSET + 1)
    options = SamplerOptions(steps=sample.steps, eta=sample.eta, spacing=sample.spacing, clip=sample.clip)
    drawn = []
    with trainer.eval_mode():
        for start in range(0, count, _BATCH):
            shape = (min(_BATCH, count - start), trainer.channels, trainer.size, trainer.size)
            final = noise = torch.randn(shape, generator=noises).to(device)
            network = sampling_predictor(trainer, len(noise))
            for state in run_sampler(
                sample.sampler, network, trainer.diffusion, noise, options, generator=added
            ):
                heartbeat()
                final = state.xt
            drawn.append(final.cpu())
    return to_pixels(torch.cat(drawn).numpy())
