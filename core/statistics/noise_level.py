"""Estimation of the noise in an image from its finest details."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MAD_OF_NORMAL: Final = 0.6744897501960817
"""Median absolute deviation of a standard normal number."""


def estimate_noise(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Estimate the standard deviation of white noise in each image, [N], in the unit of its values.

    The diagonal coefficients of the finest Haar wavelet, (a - b - c + d) / 2 of 2x2 pixels, contain the noise with its
    own deviation, but little of an image. Their median absolute value ignores the few that lie on edges. Values that
    were clipped when the image was saved contain less noise, so that the estimate is too low.

    Args:
        images: [N, C, H, W], H and W at least 2.

    Reference: Donoho & Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", section 4.
    """
    height, width = (side // 2 * 2 for side in images.shape[2:])
    even = images[..., :height, :width].astype(np.float64)
    a, b = even[..., ::2, ::2], even[..., ::2, 1::2]
    c, d = even[..., 1::2, ::2], even[..., 1::2, 1::2]
    diagonal = np.abs(a - b - c + d) / 2.0
    found: NDArray[np.float64] = np.median(diagonal.reshape(len(images), -1), axis=1) / _MAD_OF_NORMAL
    return found
