"""Whitening of features: independent components of unit spread, so that no common property outweighs the others.

Letters of shapes: n images, D features, K components.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MAX_COMPONENTS: Final = 64
"""K at most."""
_IMAGES_PER_COMPONENT: Final = 8
_SMALLEST_SPREAD: Final = 1e-3
_LEAST_MEAN_SPREAD: Final = 0.01
"""Mean spread below which images are about the same. Features of digits, drawings and photographs have 0.07 to 0.25."""
_LEAST_MEAN_VARIANCE: Final = 0.02
"""The same, of the mean variance of standardised features."""
_LEAST_VARIANCE: Final = 1e-3
"""Variance of a component below which it is rounding. The last components of such images have above 0.1."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Standardisation, arsinh, principal components divided by their spread, and arsinh again.

    arsinh is linear near 0 and logarithmic far from it. Without it a few unusual images decide a kernel's value: with
    250 emoji, the kernel distance of real images from real ones was 5 +- 12.

    Attributes:
        mean: [D].
        spread: [D], above 0.
        centre: [D], of the standardised features.
        basis: [D, K], largest variance first.
    """

    mean: Numbers
    spread: Numbers
    centre: Numbers
    basis: Numbers

    @classmethod
    def from_rows(cls, rows: NDArray[np.floating]) -> "Whitening":
        """Fit features of real images, [n, D], n >= 2: K is n / 8, at most `MAX_COMPONENTS` and at least 1.

        Other real images than those that are compared should be fitted, or their distances are slightly below 0.
        Images that are all about the same have no scale. They get a fixed one, which bounds distances from them.
        """
        mean, deviation = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
        typical = deviation.mean()
        # The last term is 0 unless the images are about the same.
        spread = deviation + _SMALLEST_SPREAD * typical + 1e-9 + max(0.0, _LEAST_MEAN_SPREAD - typical)
        standard = np.arcsinh((rows - mean) / spread)
        centre = standard.mean(0)
        components = max(1, min(MAX_COMPONENTS, len(rows) // _IMAGES_PER_COMPONENT, rows.shape[1]))
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(standard, rowvar=False, bias=True)))
        largest = slice(-1, -components - 1, -1)
        variances = np.maximum(values[largest], _LEAST_VARIANCE) + max(
            0.0, 1.0 - values.mean() / _LEAST_MEAN_VARIANCE
        )
        return cls(mean, spread, centre, vectors[:, largest] / np.sqrt(variances))

    def __call__(self, rows: NDArray[np.floating]) -> Numbers:
        """Whiten features [n, D] to [n, K]."""
        standard = np.arcsinh((rows - self.mean) / self.spread) - self.centre
        white: Numbers = np.arcsinh(standard @ self.basis)
        return white
