"""Features of general images: means of fixed random convolutions at several scales, and a score of samples by them.

No package that we know ships a general feature extractor with its weights. lpips 0.1.4 ships the linear layers alone,
piq 0.8.0 and torch-fidelity download Inception, and kymatio has filters without weights. Weights that are drawn here
need no download, and are the same on each machine. Random filters are poor at naming objects. They do respond to
colour, contrast, edges and their arrangement, which is where small diffusion models fail. docs/images.md has the
trials on spoilt images.

Letters of shapes: N images, D features.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.statistics.estimate import Estimate
from core.statistics.kernel_distance import kernel_distance
from core.statistics.nearest import LEVELS
from core.statistics.whitening import Whitening

Features = NDArray[np.float32]

SCALES: Final = 3
"""Number of sizes of the image: whole, half, quarter."""
WIDTH: Final = 32
"""Filters of each layer."""
GRID: Final = 2
"""Cells along each side over which a filter's response is averaged, so that it matters where something is."""
_SEED: Final = 1
_KERNELS: Final = (5, 3)
_MIN_SIDE: Final = 4
_BIAS: Final = 0.3
_BATCH_PIXELS: Final = 1 << 17


def image_features(images: NDArray[Any], progress: Callable[[int, int], None] | None = None) -> Features:
    """Compute features of images, in batches; memory beyond the result does not grow with N.

    An image is halved to `SCALES` sizes. At each, two layers of random filters (5x5, then 3x3) with rectification
    respond to it. A feature is a filter's mean in a cell of a 2x2 grid, or its standard deviation over the image.

    Args:
        images: [N, C, H, W], uint8, or floats in [0, 1].
        progress: called with the images done and in all.

    Returns:
        [N, D]; D is 480 from 16 pixels on. Independent of the other images, and on a CPU of the number of threads
        up to rounding.

    Reference: Saxe et al. 2011, "On Random Weights and Unsupervised Feature Learning"; Ulyanov et al. 2016, "Texture
    Networks", section 3, and He et al. 2016, "A Powerful Generative Model Using Random Weights", for images that such
    weights describe.
    """
    layers = _layers(images.shape[1])
    step = max(1, _BATCH_PIXELS // (images.shape[2] * images.shape[3]))
    parts = []
    with torch.inference_mode():
        for begin in range(0, len(images), step):
            batch = np.asarray(images[begin : begin + step])
            scale = np.float32(2 / LEVELS if batch.dtype == np.uint8 else 2)
            x = torch.from_numpy(np.ascontiguousarray(batch.astype(np.float32) * scale - np.float32(1)))
            parts.append(_respond(x, layers).numpy())
            if progress is not None:
                progress(min(begin + step, len(images)), len(images))
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def score(samples: NDArray[Any], real: NDArray[Any], fit: NDArray[Any] | None = None) -> Estimate:
    """Estimate the kernel distance of samples from real images in the space of `image_features`; lower is better.

    It is an unbiased squared distance. So it is about 0, and below it half the time, for images like the real ones.

    Args:
        samples: [N, C, H, W], N >= 3, uint8, or floats in [0, 1].
        real: [M, C, H, W], M >= 3, likewise: images that were not trained on.
        fit: [R, C, H, W], likewise: real images by which features are whitened, such as training images. None takes
            `real`, which lowers all distances a little.

    Returns:
        The distance with its 95% interval over the choice of both. The scale is that of the real images, so distances
        from other real images, or with another `fit`, are not comparable.
    """
    features = image_features(real)
    whiten = Whitening.from_rows(features if fit is None else image_features(fit))
    return kernel_distance(whiten(image_features(samples)), whiten(features))


@cache
def _layers(channels: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Draw the filters and biases of all scales, each so that a unit input gives responses of about unit size."""
    rng = np.random.default_rng([_SEED, channels])
    layers = []
    for _ in range(SCALES):
        depth = channels
        for kernel in _KERNELS:
            fan_in = depth * kernel * kernel
            weight = rng.standard_normal((WIDTH, depth, kernel, kernel)) * (2 / fan_in) ** 0.5
            bias = rng.standard_normal(WIDTH) * _BIAS
            layers.append(
                (torch.from_numpy(weight.astype(np.float32)), torch.from_numpy(bias.astype(np.float32)))
            )
            depth = WIDTH
    return tuple(layers)


def _respond(x: Tensor, layers: tuple[tuple[Tensor, Tensor], ...]) -> Tensor:
    found = []
    for scale in range(SCALES):
        if scale:
            if min(x.shape[2:]) < 2 * _MIN_SIDE:
                break
            x = functional.avg_pool2d(x, 2)
        y = x
        for index, kernel in enumerate(_KERNELS):
            weight, bias = layers[scale * len(_KERNELS) + index]
            y = functional.pad(y, (kernel // 2,) * 4, mode="replicate")
            y = functional.relu(functional.conv2d(y, weight, bias))
        found.append(functional.adaptive_avg_pool2d(y, GRID).flatten(1))
        found.append(y.std((2, 3), correction=0))
    return torch.cat(found, 1)
