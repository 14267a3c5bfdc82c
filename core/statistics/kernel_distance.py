"""Kernel distance between features of samples and of real images, with its interval.

Letters of shapes: n samples, m real images, D features of each.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.statistics.estimate import Estimate
from core.statistics.two_sample import squared_mmd

Numbers = NDArray[np.float64]

DEGREE: Final = 3
"""Degree of the polynomial kernel."""


def kernel_distance(x: Numbers, y: Numbers) -> Estimate:
    """Estimate the squared maximum mean discrepancy of the kernel (x.y / D + 1)^3 without bias, as KID does.

    Args:
        x: [n, D], with about unit spread, see `Whitening`.
        y: [m, D], likewise.

    Returns:
        The value and a jackknife interval, see `squared_mmd`; undefined unless n and m are at least 2.

    Reference: Binkowski et al. 2018, "Demystifying MMD GANs", section 3 and appendix D. They average over blocks of the
    sample; all pairs at once have the same expectation and a smaller variance.
    """

    def kernel(some: Any, others: Any) -> NDArray[Any]:
        values: NDArray[Any] = (some @ others.T / some.shape[1] + 1.0) ** DEGREE
        return values

    return squared_mmd(x, y, kernel)
