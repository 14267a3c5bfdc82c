"""Cleanliness of samples compared with the data: haze over the background, and grey away from edges.

Grey belongs at edges, so pixels near the sides of the fitted triangle are left out. Pixels near the image's own outline
are left out too, because a shape other than a triangle is measured as shape, not as grey. Near-empty images have no
edges and are counted separately.

Letters of shapes: N images, S pixels a side.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from core.errors import UserError
from core.evaluation.metrics import Metrics
from core.evaluation.triangle_fit.fit import MAX_OUTSIDE_COVERAGE, TriangleFits, lightest_channel
from core.evaluation.triangle_fit.raster import coverage, distance_to_sides
from core.statistics.intervals import mean, nonnegative, proportion

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

EDGE_DISTANCE: Final = 1.5
"""Pixels from the nearest side beyond which grey does not belong to the edge."""
GREY_RANGE: Final = (0.05, 0.95)
"""Greys that are neither black nor white."""
MIN_HAZE_THRESHOLD: Final = 0.005
MIN_STRAY_THRESHOLD: Final = 0.002
"""Lowest thresholds, because clean data have no grey at all: a grey level of 256, and two pixels of 32 x 32."""
PASS_SHARE: Final = 0.95
"""Share of real images that pass, or more where the thresholds are the lowest ones."""

_BATCH: Final = 64


@dataclass(frozen=True, eq=False)
class GreyReference:
    """Thresholds from held-out images, of which at least 95% are no greyer.

    Attributes:
        max_haze: mean grey of the background.
        max_stray: share of pixels that are grey away from all edges.
    """

    max_haze: float
    max_stray: float

    @classmethod
    def from_fits(cls, heldout: NDArray[np.floating], fits: TriangleFits) -> "GreyReference":
        """Set the thresholds.

        Args:
            heldout: float [N, C, S, S] in [0, 1].
            fits: fits of the same images.

        Raises:
            UserError: all images are near-empty.
        """
        haze, stray = measure_grey(heldout, fits)
        known = ~np.isnan(haze)
        if not known.any():
            raise UserError(
                f"none of the {len(fits)} held-out images has a shape to compare with; use more of them"
            )
        haze, stray = haze[known], stray[known]
        # Both thresholds are at one quantile, such that 95% of the images stay below both.
        rank = np.maximum(stats.rankdata(haze, "max"), stats.rankdata(stray, "max")) / len(haze)
        level = float(np.quantile(rank, PASS_SHARE, method="weibull"))
        return cls(
            max_haze=max(MIN_HAZE_THRESHOLD, float(np.quantile(haze, level))),
            max_stray=max(MIN_STRAY_THRESHOLD, float(np.quantile(stray, level))),
        )

    def evaluate(self, images: NDArray[np.floating], fits: TriangleFits) -> Metrics:
        """Evaluate samples by their pixels and fits; near-empty ones are left out.

        Args:
            images: float [N, C, S, S] in [0, 1].
            fits: fits of the same images.

        Returns:
            `grey_pass_rate`; `haze` and `stray_grey`, means over the samples.
        """
        haze, stray = measure_grey(images, fits)
        known = ~np.isnan(haze)
        passed = (haze <= self.max_haze) & (stray <= self.max_stray)
        return {
            "grey_pass_rate": proportion(int(passed.sum()), int(known.sum())),
            "haze": nonnegative(mean(haze)),
            "stray_grey": nonnegative(mean(stray)),
        }


def measure_grey(images: NDArray[np.floating], fits: TriangleFits) -> tuple[Numbers, Numbers]:
    """Measure haze and stray grey of each image.

    Args:
        images: float [N, C, S, S] in [0, 1].
        fits: fits of the same images.

    Returns:
        The mean grey of the background away from edges [N], 0 where there is no such background, and the share of
        all pixels that are grey away from edges [N]. NaN where near-empty.

    Raises:
        ValueError: not as many fits as images.
    """
    if len(images) != len(fits):
        raise ValueError(f"expected fits of {len(images)} images, got {len(fits)}")
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


def _near_outline(grey: Numbers) -> Mask:
    """Find pixels with both white and black, split at half grey, among their nine nearest: [N, S, S]."""
    white = (grey >= 0.5).astype(np.uint8)
    around = (1, 3, 3)
    near: Mask = ndimage.maximum_filter(white, around) != ndimage.minimum_filter(white, around)
    return near
