"""True against predicted noise of held-out images, pixel by pixel, at a few noise levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.preprocess import Images, to_x0
from core.training.checkpoint import LoadedModel

LEVELS: Final = (6.0, 2.0, -2.0, -6.0)
"""Log SNR of the levels."""
MAX_DISTANCE: Final = 0.5
"""Distance in log SNR from which on a schedule does not visit a level."""
LIMIT: Final = 4.0
CELLS: Final = 64
"""Cells of a histogram from -`LIMIT` to `LIMIT`; the outermost also have the values beyond."""


@dataclass(frozen=True, eq=False)
class NoiseHistogram:
    """Pixels of one noise level.

    Attributes:
        timestep: 0..T-1, as everywhere in code.
        log_snr: of this timestep.
        counts: int64 [CELLS, CELLS]: numbers of pixels by true noise (rows) and predicted noise (columns).
        error: mean of (eps - eps_hat)^2.
    """

    timestep: int
    log_snr: float
    counts: NDArray[np.int64]
    error: float

    @property
    def true(self) -> NDArray[np.float64]:
        """Density of the true noise in each cell, float64 [CELLS]."""
        return _density(self.counts.sum(axis=1))

    @property
    def predicted(self) -> NDArray[np.float64]:
        """Density of the predicted noise in each cell, float64 [CELLS]."""
        return _density(self.counts.sum(axis=0))


def noise_histograms(
    loaded: LoadedModel, images: Images, *, levels: Sequence[float] = LEVELS, seed: int = 0
) -> list[NoiseHistogram | None]:
    """Noise images to each level, and let the network predict the noise.

    Args:
        loaded: the run, as of a checkpoint.
        images: [N, C, H, W], N >= 1, uint8 or float in [0, 1]; held out.
        levels: log SNR; the nearest timestep of the run's schedule is taken.
        seed: seed of the noise, which is the same at every level and for every run.

    Returns:
        A histogram for each level; None for a level that the schedule does not visit.

    Raises:
        UserError: images that the network cannot take.
    """
    x0 = to_x0(loaded, images)
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(x0.shape, generator=generator).to(x0.device)
    log_snr = loaded.diffusion.schedule.log_snr
    found: list[NoiseHistogram | None] = []
    for level in levels:
        timestep = int(np.abs(log_snr - level).argmin())
        if abs(log_snr[timestep] - level) > MAX_DISTANCE:
            found.append(None)
            continue
        t = torch.full((len(x0),), timestep, device=x0.device)
        xt = loaded.diffusion.q_sample(x0, t, eps)
        with torch.no_grad():
            eps_hat = loaded.diffusion.predict_eps(loaded.model(xt, t), xt, t)
        true, predicted = (part.cpu().numpy().astype(np.float64).ravel() for part in (eps, eps_hat))
        indices = _cell(true) * CELLS + _cell(predicted)
        counts = np.bincount(indices, minlength=CELLS**2).reshape(CELLS, CELLS).astype(np.int64)
        error = float(np.square(true - predicted).mean())
        found.append(NoiseHistogram(timestep, float(log_snr[timestep]), counts, error))
    return found


def _cell(values: NDArray[np.float64]) -> NDArray[np.int64]:
    scaled = (np.nan_to_num(values) + LIMIT) * (CELLS / (2 * LIMIT))
    return np.clip(scaled, 0, CELLS - 1).astype(np.int64)


def _density(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = counts / (counts.sum() * 2 * LIMIT / CELLS)
    return density
