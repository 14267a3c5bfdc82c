"""Noise-prediction error of the averaged weights on a few held-out images, measured where samples are drawn.

Each bin of log SNR that the schedule reaches has one level, the timestep nearest to its centre. Image i is noised to
level i modulo the number of levels. Images, levels and noises are the same at every epoch, so epochs differ by their
weights alone. The noises have a generator of their own, so no draw of the training changes.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.statistics.noise_error_bins import BINS, EDGES, NoiseErrorBins, bin_indices
from core.training.augmentation import scale
from core.training.loop import Trainer
from core.training.noise_error import NoiseErrorSums

IMAGES_PER_LEVEL: Final = 10
"""Passes of the network at each level: 160 in all cost less than 1% of an epoch of 10,000 images."""
MAX_SHARE: Final = 0.02
"""Most passes, as a share of the training images, so that small data sets cost no more."""
_BATCH: Final = 64
_SEED: Final = 0
"""Of the noises, whatever the seed of the run, so that runs can be compared level by level."""


def level_timesteps(log_snr: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose the timestep nearest to the centre of each bin of `core.statistics.noise_error_bins`.

    Args:
        log_snr: of each timestep, [T]; -infinity for pure noise, at which no error is defined.

    Returns:
        int64 [n], n <= BINS, descending: one for each bin that has a timestep.
    """
    known = np.flatnonzero(np.isfinite(log_snr))
    centres = [(low + high) / 2 for low, high in pairwise(EDGES)]
    bins, chosen = bin_indices(log_snr[known]), []
    for index in range(BINS):
        inside = known[bins == index]
        if len(inside):
            chosen.append(inside[np.abs(log_snr[inside] - centres[index]).argmin()])
    return np.array(chosen, dtype=np.int64)


def heldout_noise_error(trainer: Trainer, on_batch: Callable[[], object] = lambda: None) -> NoiseErrorBins:
    """Measure the error of the averaged weights, or of the weights themselves if there is no average.

    Args:
        trainer: a training between two steps; of several processes, one alone may call this.
        on_batch: called before each batch, for example to write a heartbeat.

    Returns:
        The bins, without images where the schedule has no timestep.
    """
    sums = NoiseErrorSums()
    timesteps, images = level_timesteps(trainer.diffusion.schedule.log_snr), trainer.heldout
    affordable = max(1, int(MAX_SHARE * len(trainer.images)) // max(len(timesteps), 1))
    count = len(timesteps) * min(IMAGES_PER_LEVEL, affordable)
    generator = torch.Generator().manual_seed(_SEED)
    with trainer.eval_mode():
        for start in range(0, count, _BATCH):
            on_batch()
            indices = np.arange(start, min(start + _BATCH, count))
            chosen = torch.from_numpy(indices % len(images)).to(trainer.device)
            x0 = scale(images[chosen])
            t = torch.from_numpy(timesteps[indices % len(timesteps)]).to(trainer.device)
            eps = torch.randn(x0.shape, generator=generator).to(trainer.device)
            labels = (trainer.labels.heldout[chosen],) if trainer.labels else ()
            output = trainer.model(trainer.diffusion.q_sample(x0, t, eps), t, *labels)
            losses = trainer.diffusion.loss(output, x0, eps, t)
            record = trainer.noise_errors.record(losses.mean(), losses, t)
            sums.add(record[None, 1:].cpu().numpy())
    return sums.bins()
