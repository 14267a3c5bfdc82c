"""Whether samples are as clean as the data: haze over the background, and grey where no edge is.

Letters of shapes: N pictures, S pixels a side. Grey belongs to edges. So pixels near the sides of the fitted triangle
are left out, and those near the picture's own outline, where its white begins: a sample of another shape than a
triangle is a matter of shape, not of grey. Near-empty pictures have no edges to go by, and are counted apart.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from core.errors import UserError
from core.evaluation.triangle_fit.fit import MAX_OUTSIDE_COVERAGE, TriangleFits, lightest_channel
from core.evaluation.triangle_fit.raster import coverage, distance_to_sides
from core.statistics.estimate import Estimate
from core.statistics.intervals import mean, proportion

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

EDGE_DISTANCE: Final = 1.5
"""Pixels from the nearest side beyond which grey is no edge's."""
GREY_RANGE: Final = (0.05, 0.95)
"""What is neither black nor white."""
MIN_HAZE_THRESHOLD: Final = 0.005
MIN_STRAY_THRESHOLD: Final = 0.002
"""Bars are not set lower than this, a grey level of 256 or two pixels of 32 x 32: clean data have none at all."""
PASS_SHARE: Final = 0.95
"""Share of real pictures that pass, or more where the bars are the least ones."""

_BATCH: Final = 64


@dataclass(frozen=True, eq=False)
class GreyReference:
    """Bars by held-out pictures: at least 95 in 100 of them are no greyer.

    Attributes:
        max_haze: mean grey of the background.
        max_stray: share of pixels that are grey away from all edges.
    """

    max_haze: float
    max_stray: float

    @classmethod
    def from_fits(cls, heldout: NDArray[np.floating], fits: TriangleFits) -> "GreyReference":
        """Set the bars.

        Args:
            heldout: float [N, C, S, S] in [0, 1].
            fits: of the same pictures.

        Raises:
            UserError: all of them are near-empty.
        """
        haze, stray = measure_grey(heldout, fits)
        known = ~np.isnan(haze)
        if not known.any():
            raise UserError(
                f"none of the {len(fits)} held-out pictures has a shape to compare with; take more of them"
            )
        haze, stray = haze[known], stray[known]
        # Both bars at one quantile, such that 95% of the pictures stay under both.
        rank = np.maximum(stats.rankdata(haze, "max"), stats.rankdata(stray, "max")) / len(haze)
        level = float(np.quantile(rank, PASS_SHARE, method="weibull"))
        return cls(
            max_haze=max(MIN_HAZE_THRESHOLD, float(np.quantile(haze, level))),
            max_stray=max(MIN_STRAY_THRESHOLD, float(np.quantile(stray, level))),
        )

    def evaluate(self, images: NDArray[np.floating], fits: TriangleFits) -> dict[str, Estimate]:
        """Judge samples by their pixels and fits; near-empty ones are left out.

        Args:
            pictures: float [N, C, S, S] in [0, 1].
            fits: of the same pictures.

        Returns:
            `grey_pass_rate`; `haze` and `stray_grey`, means over the samples.
        """
        haze, stray = measure_grey(images, fits)
        known = ~np.isnan(haze)
        passed = (haze <= self.max_haze) & (stray <= self.max_stray)
        return {
            "grey_pass_rate": proportion(int(passed.sum()), int(known.sum())),
            "haze": _not_below_0(mean(haze)),
            "stray_grey": _not_below_0(mean(stray)),
        }


def measure_grey(images: NDArray[np.floating], fits: TriangleFits) -> tuple[Numbers, Numbers]:
    """Haze and stray grey of each picture.

    Args:
        pictures: float [N, C, S, S] in [0, 1].
        fits: of the same pictures.

    Returns:
        The mean grey of the background away from edges [N], 0 where there is no such background, and the share of
        all pixels that are grey away from edges [N]. NaN where near-empty.

    Raises:
        ValueError: as many fits as pictures are needed.
    """
    if len(images) != len(fits):
        raise ValueError(f"expected fits of {len(images)} pictures, got {len(fits)}")
    haze, stray = np.full(len(fits), np.nan), np.full(len(fits), np.nan)
    grey = lightest_channel(images)
    inked = np.flatnonzero(~fits.near_empty)
    for begin in range(0, len(inked), _BATCH):
        rows = inked[begin : begin + _BATCH]
        some, vertices = grey[rows], fits.vertices[rows]
        away = (distance_to_sides(vertices, grey.shape[-1]) > EDGE_DISTANCE) & ~_near_outline(some)
        behind = away & (coverage(vertices, grey.shape[-1]) < MAX_OUTSIDE_COVERAGE) & (some < 0.5)
        total = (some * behind).sum(axis=(1, 2))
        haze[rows] = total / np.maximum(behind.sum(axis=(1, 2)), 1)
        stray[rows] = (away & (some > GREY_RANGE[0]) & (some < GREY_RANGE[1])).mean(axis=(1, 2))
    return haze, stray


def _not_below_0(estimate: Estimate) -> Estimate:
    low = None if estimate.low is None else max(0.0, estimate.low)
    return Estimate(estimate.value, low, estimate.high)


def _near_outline(grey: Numbers) -> Mask:
    """Pixels with both white and black among their nine nearest, cut at half grey: [N, S, S]."""
    white = (grey >= 0.5).astype(np.uint8)
    around = (1, 3, 3)
    near: Mask = ndimage.maximum_filter(white, around) != ndimage.minimum_filter(white, around)
    return near
