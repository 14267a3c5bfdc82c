"""Structural similarity of images, SSIM."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Numbers = NDArray[np.float64]

_SIGMA: Final = 1.5
_RADIUS: Final = 5
_C1: Final = 0.01**2
_C2: Final = 0.03**2


def ssim(truth: Numbers, images: Numbers) -> Numbers:
    """Compute the mean structural similarity of each image, [N]; both [N, C, H, W] in [0, 1].

    Means, variances and covariance are weighted by a Gaussian of 1.5 pixels in windows of 11x11. Windows that reach
    over the edge are left out, unless the image has no others.

    Reference: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", eq. 13.
    """

    def local_mean(values: Numbers) -> Numbers:
        found: Numbers = gaussian_filter(
            values, (0.0, 0.0, _SIGMA, _SIGMA), radius=(0, 0, _RADIUS, _RADIUS), mode="reflect"
        )
        return found

    x, y = local_mean(truth), local_mean(images)
    x2, y2 = local_mean(truth**2) - x**2, local_mean(images**2) - y**2
    xy = local_mean(truth * images) - x * y
    found = (2 * x * y + _C1) * (2 * xy + _C2) / ((x**2 + y**2 + _C1) * (x2 + y2 + _C2))
    if min(truth.shape[2:]) > 2 * _RADIUS:
        found = found[..., _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    similarity: Numbers = found.mean(axis=(1, 2, 3))
    return similarity
