"""Whether samples are copies of training pictures: nearest ones, and a test against held-out pictures.

Letters of shapes: N samples, M held-out pictures, R training pictures.
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
    """What the training pictures are to samples, compared with what they are to held-out pictures.

    Attributes:
        z: below about -3, samples are nearer to the training pictures than new pictures are; well above 0, they are
            unlike either; see `CopyReference`.
        index: [N], the nearest training picture of each sample.
        distance: [N], how far that is: Euclidean, of pixels from 0 to 1.
        heldout_distance: [M], the same of held-out pictures.
        copies: share of samples that nearly are one training picture: at less than a third of the distance of the next.
        heldout_copies: the same of held-out pictures, which is what chance makes.
    """

    z: Estimate
    index: NDArray[np.int64]
    distance: Numbers
    heldout_distance: Numbers
    copies: Estimate
    heldout_copies: Estimate


class CopyReference:
    """Training and held-out pictures, ready to have samples compared with them.

    As in the paper, Mann and Whitney's test ranks samples against held-out pictures. But what is ranked is not their
    distance a to the nearest training picture, which falls as well when samples are blurred, hazy or of small
    triangles: by it, 600 new `high` pictures had z = -4 when blurred by a pixel (-14 within cells of like brightness,
    and -13 with 2% haze), and the smallest 600 of 3,000 -27. It is (a - b) / (a + b), b being the distance to the
    nearest of other held-out pictures, to which all this happens as well: the same pictures had z = 6, 3 and 3, while
    120 true copies among 600 had -6 and 600 copies -33.

    Every other held-out picture, beginning with the first, is ranked; the rest are those that b is measured to. Of
    these a picture's twin is passed over, unless it has one among the training pictures too. Distances below those
    of 99% of the held-out pictures to the training pictures count as equal to that, and what is as near to both is not
    ranked: a nearly blank picture is near many, and copied from none. Nothing is random.

    Args:
        train: [R, C, H, W], floats in [0, 1] or uint8; compared as rounded to 256 levels.
        heldout: [M, C, H, W] likewise.

    Raises:
        UserError: they differ in shape, are no pictures, or there is none to learn from.

    Reference: Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models",
    section 3.
    """

    def __init__(self, train: NDArray[Any], heldout: NDArray[Any]) -> None:
        if not len(train):
            raise UserError("expected training pictures, got none: samples cannot be compared with them")
        self._shape = train.shape[1:]
        self._train = as_rows(train)
        new = self._rows("held-out pictures", heldout)
        self._reference = new[1::2]
        _, distances = nearest(new, self._train, 2)
        self._floor = float(np.quantile(distances[:, 0], _FLOOR_QUANTILE)) if len(new) else 0.0
        self._heldout_scores = self._score(new[::2], distances[::2, 0])
        self.distance: Numbers = distances[:, 0]
        """[M], from each held-out picture to the nearest training picture."""
        self.copies = _near_copies(distances)
        """Share of near copies among held-out pictures, which is what chance makes."""

    def test(self, samples: NDArray[Any]) -> CopyTest:
        """Compare samples with training pictures, and with held-out ones.

        Args:
            samples: [N, C, H, W], floats in [0, 1] or uint8; compared as rounded to 256 levels.

        Returns:
            Distances, and z with its 95% interval; z is undefined without samples that can be ranked, or unless M is
            at least 2.

        Raises:
            UserError: another shape than the training pictures', or no pictures.
        """
        rows = self._rows("samples", samples)
        index, distances = nearest(rows, self._train, 2)
        return CopyTest(
            z=mann_whitney(self._score(rows, distances[:, 0]), self._heldout_scores),
            index=index[:, 0],
            distance=distances[:, 0],
            heldout_distance=self.distance,
            copies=_near_copies(distances),
            heldout_copies=self.copies,
        )

    def _score(self, rows: Rows, known: Numbers) -> Numbers:
        return (
            _relative_distances(rows, known, self._reference, self._floor)
            if len(self._reference)
            else np.empty(0)
        )

    def _rows(self, name: str, images: NDArray[Any]) -> Rows:
        if images.shape[1:] != self._shape:
            raise UserError(
                f"expected {name} of the shape of the training pictures, {list(self._shape)}, "
                f"got {list(images.shape[1:])}"
            )
        return as_rows(images)


def copy_test(samples: NDArray[Any], train: NDArray[Any], heldout: NDArray[Any]) -> CopyTest:
    """Whether samples are copies of training pictures, once; `CopyReference` compares several with the same."""
    return CopyReference(train, heldout).test(samples)


def mann_whitney(x: Numbers, y: Numbers) -> Estimate:
    """Mann and Whitney's z, negative where x is lower, with its 95% interval; ties take the mean of their ranks.

    Args:
        x: [n].
        y: [m].

    Returns:
        z; undefined where a side is empty, 0 where all are equal. Its interval is DeLong's, of the share of pairs in
        which x is higher; of one member, whose share does not vary, that of a standard normal.

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


def _relative_distances(rows: Rows, known: Numbers, others: Rows, floor: float) -> Numbers:
    """What is ranked: -1 near a training picture, 1 near a held-out one; without those that are near both [up to N]."""
    _, away = nearest(rows, others, 2)
    twin = (away[:, 0] == 0) & (known > 0)
    other = np.maximum(np.where(twin, away[:, -1], away[:, 0]), floor)
    known = np.maximum(known, floor)
    telling = np.maximum(known, other) > floor
    ours, theirs = known[telling], other[telling]
    return (ours - theirs) / (ours + theirs)


def _near_copies(distances: Numbers) -> Estimate:
    """Two blank training pictures are both at distance 0 from a blank sample, which then is no copy.

    Reference: Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize", for the third.
    """
    if distances.shape[1] < 2 or not len(distances):
        return Estimate(None)
    return proportion(int((distances[:, 0] < COPY_RATIO * distances[:, 1]).sum()), len(distances))
