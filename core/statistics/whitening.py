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
        """
        deviation = rows.std(0, dtype=np.float64)
        mean, spread = (
            rows.mean(0, dtype=np.float64),
            deviation + _SMALLEST_SPREAD * deviation.mean() + 1e-9,
        )
        standard = np.arcsinh((rows - mean) / spread)
        centre = standard.mean(0)
        components = max(1, min(MAX_COMPONENTS, len(rows) // _IMAGES_PER_COMPONENT, rows.shape[1]))
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(standard, rowvar=False, bias=True)))
        largest = slice(-1, -components - 1, -1)
        return cls(mean, spread, centre, vectors[:, largest] / np.sqrt(np.maximum(values[largest], 1e-9)))

    def __call__(self, rows: NDArray[np.floating]) -> Numbers:
        """Whiten features [n, D] to [n, K]."""
        standard = np.arcsinh((rows - self.mean) / self.spread) - self.centre
        white: Numbers = np.arcsinh(standard @ self.basis)
        return white
