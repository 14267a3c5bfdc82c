"""The lowest bound between two noise levels only: where shapes appear, and where they are settled.

The whole bound is mostly paid for the last detail of pixels, so its optimum (`bound_optimum`) spends most levels there.
This rule minimises the part of it between the log SNRs -5.6 and 3.7, and reaches both ends in one step each. These
limits are the second and the last of the ten levels of the spacing ``decay``, which was found by hand on images of
triangles. So they hold for such images; docs/insight.md compares other limits.
"""

from typing import Final

import numpy as np

from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.bound_optimum import bound_optimum
from core.statistics.proposals.even_steps import Array, Ends

APPEAR: Final = -5.6
"""The log SNR below which nothing of a shape is visible."""
SETTLED: Final = 3.7
"""The log SNR above which shapes do not change."""


def shape_optimum(curve: NoiseErrorCurve, ends: Ends, steps: int) -> Array:
    """Choose the levels with the lowest bound between `APPEAR` and `SETTLED`, or between ends that are closer.

    The last level is `SETTLED`, so it suits sampling. A training schedule would have two long jumps.

    Args:
        curve: m, as measured for a network.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    before = [ends.noisy] if ends.noisy < APPEAR < ends.clean else []
    after = [ends.clean] if ends.noisy < SETTLED < ends.clean else []
    inner = steps - len(before) - len(after)
    if inner < 1:
        return bound_optimum(curve, ends, steps)
    limits = Ends(APPEAR if before else ends.noisy, SETTLED if after else ends.clean)
    return np.array([*before, *bound_optimum(curve, limits, inner), *after])
