"""True against predicted noise of a checkpoint, as tables that an evaluation keeps with the run."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics.predicted_noise import CELLS as FINE_CELLS
from core.evaluation.metrics.predicted_noise import LEVELS, LIMIT, NoiseHistogram, noise_histograms
from core.runs.predicted_noise import CELLS, NoiseTable, PredictedNoise
from core.training.checkpoint import LoadedModel

IMAGES: Final = 32
"""Held-out images, each of whose pixels is a value."""


def measure_predicted_noise(
    loaded: LoadedModel, heldout: NDArray[np.uint8], *, seed: int = 0
) -> PredictedNoise:
    """Let a checkpoint predict the noise of held-out images at a few levels.

    Args:
        loaded: the network of the checkpoint.
        heldout: uint8 [N, C, H, W]; the first `IMAGES` are noised.
        seed: seed of the noise.

    Raises:
        UserError: images that the network cannot take.
    """
    images = np.array(heldout[:IMAGES])
    found = noise_histograms(loaded, images, seed=seed)
    return PredictedNoise(
        epoch=loaded.position.epoch,
        step=loaded.position.step,
        images=len(images),
        limit=LIMIT,
        levels=[_table(level, one) for level, one in zip(LEVELS, found, strict=True)],
    )


def _table(level: float, found: NoiseHistogram | None) -> NoiseTable:
    if found is None or not np.isfinite(found.error):
        return NoiseTable(wanted=level)
    width = FINE_CELLS // CELLS
    counts = found.counts.reshape(CELLS, width, CELLS, width).sum(axis=(1, 3))
    return NoiseTable(wanted=level, log_snr=found.log_snr, error=found.error, counts=counts.ravel().tolist())
