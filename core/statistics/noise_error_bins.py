"""Noise-prediction error of a training by log SNR: fixed bins, filled from the losses that training computes anyway.

The bins are the same for every run, so runs of different schedules can be compared bin by bin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS: Final = 16
MIN_LOG_SNR: Final = -10.0
MAX_LOG_SNR: Final = 10.0
EDGES: Final = tuple(np.linspace(MIN_LOG_SNR, MAX_LOG_SNR, BINS + 1).tolist())
"""Edges of the bins. The first and the last bin also have the noise levels beyond them."""


def bin_indices(log_snr: Array) -> NDArray[np.int64]:
    """Return the bin of each log SNR, int64 in 0..BINS - 1, of the same shape."""
    return np.searchsorted(np.array(EDGES[1:-1]), log_snr, side="right").astype(np.int64)


@dataclass(frozen=True)
class NoiseErrorBins:
    """m = ||eps - eps_hat||^2 / d of training images, averaged in each bin of log SNR; a bin without images has zeros.

    Attributes:
        images: number of images in each bin [BINS].
        log_snr: mean log SNR of these images.
        error: mean m of these images.
    """

    images: tuple[int, ...]
    log_snr: tuple[float, ...]
    error: tuple[float, ...]

    @classmethod
    def from_sums(cls, images: Sequence[float], log_snr: Sequence[float], error: Sequence[float]) -> Self:
        """Return the means of sums over the images of each bin.

        Args:
            images: number of images in each bin [BINS]; fractions are rounded.
            log_snr: sum of their log SNR.
            error: sum of their m.
        """
        counts = [max(count, 1.0) for count in images]
        return cls(
            tuple(round(count) for count in images),
            tuple(float(total / count) for total, count in zip(log_snr, counts, strict=True)),
            tuple(float(total / count) for total, count in zip(error, counts, strict=True)),
        )

    @classmethod
    def pooled(cls, parts: Sequence["NoiseErrorBins"]) -> Self:
        """Return the means over the images of all parts, such as runs that differ in their seed; at least one."""
        images = np.array([part.images for part in parts], dtype=np.float64)
        log_snr = (images * np.array([part.log_snr for part in parts])).sum(axis=0)
        error = (images * np.array([part.error for part in parts])).sum(axis=0)
        return cls.from_sums(images.sum(axis=0).tolist(), log_snr.tolist(), error.tolist())

    @property
    def is_valid(self) -> bool:
        """True if there are `BINS` values of each kind; a file of another version may have others."""
        return len(self.images) == len(self.log_snr) == len(self.error) == BINS

    def errors_by_bin(self) -> Array:
        """Return m of each bin, float64 [BINS]; NaN where there is none above 0."""
        error = np.array(self.error, dtype=np.float64)
        return np.where((np.array(self.images) > 0) & np.isfinite(error) & (error > 0), error, np.nan)

    def curve(self) -> tuple[Array, Array]:
        """Return log SNR, rising, and m, each [n], of the bins that have an error."""
        errors = self.errors_by_bin()
        known = np.isfinite(errors)
        log_snr = np.array(self.log_snr, dtype=np.float64)[known]
        order = np.argsort(log_snr)
        return log_snr[order], errors[known][order]


def multiples_of_best(epochs: Sequence[NoiseErrorBins]) -> Array:
    """Return the error of each epoch as a multiple of the lowest error of any epoch in the same bin.

    Errors differ by orders of magnitude between bins, so only such a ratio shows at which levels training still gains.

    Args:
        epochs: at least one.

    Returns:
        float64 [epochs, BINS], at least 1; NaN where an epoch has no error.
    """
    errors = np.array([one.errors_by_bin() for one in epochs])
    best = np.where(np.isnan(errors), np.inf, errors).min(axis=0)
    multiples: Array = errors / best
    return multiples
