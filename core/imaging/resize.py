"""Resizing of images to cells."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

RAISED_BLACK: Final = 20
"""Black level, of 255, of every second tile, which separates tiles without a gap."""


def fit_image(image: Pixels, size: int) -> Pixels:
    """Resize an image to a width of `size` pixels, in proportion.

    Larger images are averaged over areas. Smaller images repeat their pixels by the largest whole factor that fits.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        size: the target width, at least 1.
    """
    height, width = image.shape[:2]
    if width == size:
        return image
    if size > width:
        factor = size // width
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    rows = max(1, round(height * size / width))
    down, across = _areas(height, rows), _areas(width, size)
    scaled = np.tensordot(down, image.astype(np.float64), axes=(1, 0))
    scaled = np.moveaxis(np.tensordot(across, scaled, axes=(1, 1)), 0, 1)
    # Sums of integers are exact in any order, so that images are equal on all processors.
    averaged: Pixels = np.rint(scaled / (height * width)).astype(np.uint8)
    return averaged


@lru_cache(maxsize=64)
def _areas(old: int, new: int) -> NDArray[np.float64]:
    """Compute the matrix [new, old] that sums `old` pixels over `new` equal areas: integers, each row sums to `old`."""
    edges = np.arange(new + 1, dtype=np.float64) * old
    left = np.maximum(edges[:-1, None], new * np.arange(old)[None])
    right = np.minimum(edges[1:, None], new * np.arange(1, old + 1)[None])
    areas: NDArray[np.float64] = np.maximum(right - left, 0.0)
    return areas
