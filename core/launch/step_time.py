"""Estimate of the time of a training step on this machine's cores, without importing torch.

One machine's step was timed for each image, and so was a small matrix product of numpy in the same hour. The same
product is timed here, in a tenth of a second, and the estimate is scaled by it.
"""

import time
from typing import Final

_PRODUCT_SIDE: Final = 64
"""Too small for BLAS to use more than one core."""
_REPEATS: Final = 50
_TRIALS: Final = 20
_REFERENCE_PRODUCT: Final = 5.6e-6
"""Seconds of the product on one core of the AMD EPYC where the seconds below were measured."""
_REFERENCE_IMAGE: Final = 3.6e-3
"""Seconds of one core for each 32x32 colour image in a step of the lean network of width 32, in float32."""
_REFERENCE_SIZE: Final = 32
_REFERENCE_WIDTH: Final = 32
_WIDTH_POWER: Final = 1.5


def estimate_step_seconds(*, size: int, width: int, batch_size: int, cores: int) -> float:
    """Estimate the seconds of a training step of the lean network laid out by size.

    It is meant for a sentence to the user: bfloat16, the images' channels and other programs are not considered.

    Args:
        size: pixels per side of the images.
        width: channels of the finest level.
        batch_size: images of a step.
        cores: cores that share the step.
    """
    here = _seconds_of_product() / _REFERENCE_PRODUCT
    image = _REFERENCE_IMAGE * (size / _REFERENCE_SIZE) ** 2 * (width / _REFERENCE_WIDTH) ** _WIDTH_POWER
    return float(here * image * batch_size / cores)


def _seconds_of_product() -> float:
    """Return the shortest of several timings, which other programs lengthen least."""
    import numpy as np

    factor = np.ones((_PRODUCT_SIDE, _PRODUCT_SIDE), np.float32)
    timings = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        for _ in range(_REPEATS):
            factor @ factor
        timings.append((time.perf_counter() - start) / _REPEATS)
    return min(timings)
