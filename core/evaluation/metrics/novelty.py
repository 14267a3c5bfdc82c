"""Copies of training images among samples: nearest training images, and a test against held-out images.

Letters of shapes: N samples, M held-out images, R training images.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from core.errors import UserError
from core.statistics.estimate import Estimate
from core.statistics.intervals import NORMAL_95, proportion
from core.statistics.nearest import Rows, as_rows, nearest

Numbers = NDArray[np.float64]

COPY_RATIO: Final = 1 / 3
_FLOOR_QUANTILE: Final = 0.01


@dataclass(frozen=True)
class CopyTest:
    """Distances of samples to the training images, compared with those of held-out images.

    Attributes:
        z: below about -3, samples are nearer to the training images than new images are; well above 0, they are
            unlike either; see `CopyReference`.
        index: [N], the nearest training image of each sample.
        ratio: [N], the distance to it over that to the second nearest; 1 where both are 0.
        distance: [N], the Euclidean distance to it, of pixels from 0 to 1.
        heldout_distance: [M], the same of held-out images.
        copies: share of near copies among samples: at less than a third of the distance of the second nearest.
        heldout_copies: the same of held-out images, which is the share expected by chance.
    """

    z: Estimate
    index: NDArray[np.int64]
    ratio: Numbers
    distance: Numbers
    heldout_distance: Numbers
    copies: Estimate
    heldout_copies: Estimate


class CopyReference:
    """Training and held-out images, prepared for comparison with samples.

    As in the paper, the Mann-Whitney test ranks samples against held-out images. The paper ranks the distance a to the
    nearest training image, but a also falls when samples are blurred, hazy or of small triangles. By a, 600 new `high`
    images had z = -4 when blurred by a pixel, and -14 within cells of like brightness. With 2% haze they had -13, and
    the smallest 600 of 3,000 had -27. Here the rank is by (a - b) / (a + b), where b is the distance to the nearest of
    other held-out images, which falls likewise. By it the same images had z = 6, 3 and 3, while 120 true copies among
    600 had -6, and 600 copies -33.

    Every second held-out image, beginning with the first, is ranked; b is measured to the others. An identical image
    among these is skipped, unless there is one among the training images too. Distances a and b have a floor, the
    1% quantile of the held-out images' distances to the training images. Images with both distances at the floor are
    not ranked, because a nearly blank image is near many and copied from none. Nothing is random.

    Args:
        train: [R, C, H, W], floats in [0, 1] or uint8; compared as rounded to 256 levels.
        heldout: [M, C, H, W] likewise.

    Raises:
        UserError: they differ in shape, are no images, or there are no training images.

    Reference: Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models",
    section 3.
    """

    def __init__(self, train: NDArray[Any], heldout: NDArray[Any]) -> None:
        if not len(train):
            raise UserError("expected training images, got none: samples cannot be compared with them")
        self._shape = train.shape[1:]
        # Images of uint8 stay as they are on disk: the set as floats would take four times its size.
        self._train = train.reshape(len(train), -1) if train.dtype == np.uint8 else as_rows(train)
        new = self._rows("held-out images", heldout)
        self._reference = new[1::2]
        _, distances = nearest(new, self._train, 2)
        self._floor = float(np.quantile(distances[:, 0], _FLOOR_QUANTILE)) if len(new) else 0.0
        self._heldout_scores = self._score(new[::2], distances[::2, 0])
        self.distance: Numbers = distances[:, 0]
        """[M], from each held-out image to the nearest training image."""
        self.copies = _near_copies(distances)
        """Share of near copies among held-out images, which is the share expected by chance."""

    def test(self, samples: NDArray[Any]) -> CopyTest:
        """Compare samples with training and held-out images.

        Args:
            samples: [N, C, H, W], floats in [0, 1] or uint8; compared as rounded to 256 levels.

        Returns:
            Distances, and z with its 95% interval; z is undefined without samples that can be ranked, or if M is
            below 2.

        Raises:
            UserError: another shape than the training images', or no images.
        """
        rows = self._rows("samples", samples)
        index, distances = nearest(rows, self._train, 2)
        return CopyTest(
            z=mann_whitney(self._score(rows, distances[:, 0]), self._heldout_scores),
            index=index[:, 0],
            ratio=distances[:, 0] / np.maximum(distances[:, -1], 1e-12) + (distances[:, -1] == 0),
            distance=distances[:, 0],
            heldout_distance=self.distance,
            copies=_near_copies(distances),
            heldout_copies=self.copies,
        )

    def _score(self, rows: Rows, to_train: Numbers) -> Numbers:
        return (
            _relative_distances(rows, to_train, self._reference, self._floor)
            if len(self._reference)
            else np.empty(0)
        )

    def _rows(self, name: str, images: NDArray[Any]) -> Rows:
        if images.shape[1:] != self._shape:
            raise UserError(
                f"expected {name} of the shape of the training images, {list(self._shape)}, "
                f"got {list(images.shape[1:])}"
            )
        return as_rows(images)


def copy_test(samples: NDArray[Any], train: NDArray[Any], heldout: NDArray[Any]) -> CopyTest:
    """Compare samples with training and held-out images, once; `CopyReference` is for several sets of samples."""
    return CopyReference(train, heldout).test(samples)


def mann_whitney(x: Numbers, y: Numbers) -> Estimate:
    """Compute Mann and Whitney's z, negative where x is lower, with its 95% interval; ties get the mean rank.

    Args:
        x: [n].
        y: [m].

    Returns:
        z; undefined where a side is empty, 0 where all are equal. Its interval is DeLong's for the share of pairs in
        which x is higher. With only one x or y, whose share does not vary, it is that of a standard normal.

    Reference: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the Areas under Two or More Correlated Receiver
    Operating Characteristic Curves".
    """
    n, m = len(x), len(y)
    if not n or not m:
        return Estimate(None)
    pooled = np.concatenate([x, y])
    ranks = rankdata(pooled)
    ties = np.unique(pooled, return_counts=True)[1].astype(np.float64)
    unequal = (n + m + 1) - (ties**3 - ties).sum() / ((n + m) * (n + m - 1))
    above = (ranks[:n] - rankdata(x)) / m
    below = (ranks[n:] - rankdata(y)) / n
    if unequal <= 0:
        return Estimate(0.0, -NORMAL_95, NORMAL_95)
    null = unequal / (12 * n * m)
    z = (above.mean() - 0.5) / null**0.5
    error = 1.0
    if min(n, m) > 1:
        error = ((above.var(ddof=1) / n + below.var(ddof=1) / m) / null) ** 0.5
    return Estimate(float(z), float(z - NORMAL_95 * error), float(z + NORMAL_95 * error))


def _relative_distances(rows: Rows, to_train: Numbers, reference: Rows, floor: float) -> Numbers:
    """Compute (a - b) / (a + b), -1 near a training image and 1 near a held-out one; without images near both."""
    _, to_reference = nearest(rows, reference, 2)
    twin = (to_reference[:, 0] == 0) & (to_train > 0)
    b = np.maximum(np.where(twin, to_reference[:, -1], to_reference[:, 0]), floor)
    a = np.maximum(to_train, floor)
    ranked = np.maximum(a, b) > floor
    relative: Numbers = (a[ranked] - b[ranked]) / (a[ranked] + b[ranked])
    return relative


def _near_copies(distances: Numbers) -> Estimate:
    """Compute the share of images at less than `COPY_RATIO` of the distance to the second nearest training image.

    A blank sample at distance 0 from two blank training images is therefore no copy.

    Args:
        distances: [N, 2], to the two nearest training images.

    Reference: Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize", for the ratio
    of a third.
    """
    if distances.shape[1] < 2 or not len(distances):
        return Estimate(None)
    return proportion(int((distances[:, 0] < COPY_RATIO * distances[:, 1]).sum()), len(distances))
