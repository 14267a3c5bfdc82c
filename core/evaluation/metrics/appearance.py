"""Appearance of images: brightness, contrast, saturation, sharpness and the mean of each channel.

None is better if higher or lower. They show in which way samples differ from real images: washed out, blurred, tinted.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Metrics
from core.statistics.intervals import mean, nonnegative
from core.statistics.nearest import LEVELS

CHANNELS: Final = ("mean_red", "mean_green", "mean_blue")
_BATCH: Final = 256


def appearance_metrics(images: NDArray[Any]) -> Metrics:
    """Measure images, in batches.

    Args:
        images: [N, C, H, W], uint8, or floats in [0, 1].

    Returns:
        Means over the images, each from 0 to 1. Of each image: ``brightness``, the mean of all values; ``contrast``,
        the standard deviation of the mean of its channels; ``sharpness``, the root mean square difference of
        neighbouring pixels, of the same. With three channels also ``saturation``, the mean over the pixels of the
        largest minus the smallest channel, and the means of the channels.
    """
    parts = [_measure(images[begin : begin + _BATCH]) for begin in range(0, len(images), _BATCH)]
    return {name: nonnegative(mean(np.concatenate([part[name] for part in parts]))) for name in parts[0]}


def _measure(images: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    levels = images.astype(np.float64)
    if images.dtype == np.uint8:
        levels /= LEVELS
    grey = levels.mean(1)
    squares = [np.diff(grey, axis=axis) ** 2 for axis in (1, 2)]
    found = {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "sharpness": np.sqrt(sum(square.mean((1, 2)) for square in squares) / 2),
    }
    if levels.shape[1] == len(CHANNELS):
        found["saturation"] = (levels.max(1) - levels.min(1)).mean((1, 2))
        found |= dict(zip(CHANNELS, levels.mean((2, 3)).T, strict=True))
    return found
