"""Share of samples that have the shape of triangles, by thresholds from held-out images of the same data set.

A sample passes three tests, with the haze removed:
- *whole*: its overlap with the best-fitting triangle, rendered with the edge of the data. Nearly all clean data reach
  0.99; hardly any ellipse or rectangle, down to a few pixels, reaches 0.85. The threshold is `MIN_IOU`, or less where
  real images themselves fall below it.
- *alone*: no second piece: at most `MAX_STRAY` of ink away from the triangle, or as much as real images have.
- *outline*: its outline, thresholded at half grey, follows the triangle as well as 95% of real images of similar area.
  This test matters for large shapes, where an extra corner or a bulge is a small share of the area.

The last threshold is set so that 95% of the held-out images in each decile of area pass all three tests. Images with
under three pixels of ink are counted separately.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.errors import UserError
from core.evaluation.metrics import Curves, Metrics
from core.evaluation.triangle_fit.fit import TriangleFits, find_edge, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.statistics.estimate import Estimate
from core.statistics.intervals import NORMAL_95, mean_proportion, median, proportion

Numbers = NDArray[np.float64]
Integers = NDArray[np.intp]
Mask = NDArray[np.bool_]

DECILES: Final = 10
PASS_SHARE: Final = 0.95
"""Share of real images that pass, by construction."""
MIN_IOU: Final = 0.9
MAX_STRAY: Final = 1.0

_FAIL_SHARE: Final = 0.025
"""Share of real images that may fail the test *whole* or *alone*; a larger share relaxes its threshold."""
_THRESHOLD_RESAMPLES: Final = 200
"""Number of resamples of the held-out images that estimate the error of the thresholds."""
_RESAMPLES: Final = 1000


@dataclass(frozen=True, eq=False)
class ShapeEvaluation:
    """Evaluation of the shapes of N samples.

    Attributes:
        passed: [N], True for triangles; False where near-empty.
        decile: [N], decile of the real areas, 0 to 9; -1 where near-empty.
        metrics: `balanced_pass_rate`, `pass_rate`, `area_distance`, `near_empty`, `soft_iou` and `residual`.
    """

    passed: Mask
    decile: Integers
    metrics: Metrics

    @property
    def kinds(self) -> Integers:
        """[N], the decile of each sample that passes; -1 for the others."""
        return np.where(self.passed, self.decile, -1)

    @property
    def curves(self) -> Curves:
        """The share that passes, and the share of samples, in each decile."""
        inside = [self.passed[self.decile == index] for index in range(DECILES)]
        numbers = [float(index + 1) for index in range(DECILES)]
        return {
            "pass_by_decile": [float(part.mean()) if len(part) else None for part in inside],
            "pass_by_decile.x": list(numbers),
            "area_by_decile": [len(part) / len(self.passed) for part in inside],
            "area_by_decile.x": list(numbers),
        }


@dataclass(frozen=True, eq=False)
class ShapeReference:
    """Thresholds of shape from held-out images.

    Attributes:
        edge: edge of the data's triangles.
        area_edges: [9], areas in px^2 between the deciles.
        counts: [11], number of near-empty held-out images, and of those in each decile.
        min_iou: [10], threshold of each decile.
        max_stray: one threshold for all.
        max_misfit: [10], thresholds of the outline's misfit, which is divided by the root of the area.
        max_misfit_resamples: [R, 10], the same from resampled held-out images.
    """

    edge: Edge
    area_edges: Numbers
    counts: Integers
    min_iou: Numbers
    max_stray: float
    max_misfit: Numbers
    max_misfit_resamples: Numbers

    @classmethod
    def from_images(cls, heldout: NDArray[np.floating], *, edge: Edge | None = None) -> "ShapeReference":
        """Fit held-out images, float [N, C, S, S] in [0, 1], and set the thresholds.

        Args:
            edge: edge of their triangles; None finds it.

        Raises:
            UserError: all images are near-empty.
        """
        return cls.from_fits(fit_triangles(heldout, edge=edge or find_edge(heldout)))

    @classmethod
    def from_fits(cls, fits: TriangleFits) -> "ShapeReference":
        """Set the thresholds from fits of held-out images.

        Raises:
            UserError: all images are near-empty.
        """
        inked = fits.select(~fits.near_empty)
        if not len(inked):
            raise UserError(
                f"none of the {len(fits)} held-out images has a shape to compare with; use more of them"
            )
        edges = np.quantile(inked.ink, np.arange(1, DECILES) / DECILES)
        decile = np.searchsorted(edges, inked.ink)
        # With very few images a decile may be empty; then its thresholds are those of all images.
        members = [np.flatnonzero(decile == index) for index in range(DECILES)]
        members = [rows if len(rows) else np.arange(len(inked)) for rows in members]
        max_stray = max(MAX_STRAY, float(np.quantile(inked.stray, 1 - _FAIL_SHARE)))
        min_iou = np.minimum(MIN_IOU, [np.quantile(inked.soft_iou[rows], _FAIL_SHARE) for rows in members])
        misfit = _misfit(inked)
        # Images that fail another test are above any threshold.
        fails = (inked.soft_iou < min_iou[decile]) | (inked.stray > max_stray)
        misfit[fails] = 2 * misfit.max() + 1
        rng = np.random.default_rng(0)
        max_misfit_resamples = [
            _threshold(misfit[rng.choice(rows, (_THRESHOLD_RESAMPLES, len(rows)))]) for rows in members
        ]
        return cls(
            edge=fits.edge,
            area_edges=edges,
            counts=np.concatenate([[len(fits) - len(inked)], np.bincount(decile, minlength=DECILES)]),
            min_iou=min_iou,
            max_stray=max_stray,
            max_misfit=np.array([_threshold(misfit[rows]) for rows in members]),
            max_misfit_resamples=np.stack(max_misfit_resamples, axis=1),
        )

    def evaluate(self, fits: TriangleFits) -> ShapeEvaluation:
        """Evaluate samples by their fits.

        Intervals of the pass rates include the error of the samples and that of the thresholds.

        Raises:
            ValueError: the fits have another edge than those of the held-out images.
        """
        if fits.edge != self.edge:
            raise ValueError(
                f"expected fits with edge={self.edge!r}, as of the held-out images, got {fits.edge!r}"
            )
        empty = fits.near_empty
        decile = np.where(empty, -1, np.searchsorted(self.area_edges, fits.ink))
        # Indexing by -1 is harmless, because near-empty images have NaN, which passes no test.
        sound = (fits.soft_iou >= self.min_iou[decile]) & (fits.stray <= self.max_stray)
        misfit = _misfit(fits)
        passed = sound & (misfit <= self.max_misfit[decile])
        trials = np.bincount(decile[~empty], minlength=DECILES)
        successes = np.bincount(decile[passed], minlength=DECILES)
        resampled = sound & (misfit <= self.max_misfit_resamples[:, decile])
        counts = np.stack([resampled[:, decile == index].sum(axis=1) for index in range(DECILES)], axis=1)
        balanced = (counts / np.maximum(trials, 1)).mean(axis=1)
        metrics = {
            "balanced_pass_rate": _with_threshold_error(mean_proportion(successes, trials), balanced),
            "pass_rate": _with_threshold_error(
                proportion(int(passed.sum()), int((~empty).sum())),
                counts.sum(axis=1) / max(1, (~empty).sum()),
            ),
            "area_distance": self._area_distance(np.concatenate([[empty.sum()], trials])),
            "near_empty": proportion(int(empty.sum()), len(fits)),
            "soft_iou": median(fits.soft_iou),
            "residual": median(fits.residual),
        }
        return ShapeEvaluation(passed, decile, metrics)

    def _area_distance(self, counts: Integers) -> Estimate:
        """Compute the total variation between areas, in eleven classes: near-empty, and the deciles.

        As many real images would show some distance too, by chance (0.06 for 1,000 against 1,000), so the expected
        effect of chance is subtracted in each class. In the resampled counts of the percentile interval it is
        subtracted twice at the lower end but once at the upper. In simulations 95% to 100% of the intervals held the
        distance.
        """
        count, heldout = int(counts.sum()), int(self.counts.sum())
        if not count:
            return Estimate(None)
        seen, real = counts / count, self.counts / heldout
        pooled = (counts + self.counts) / (count + heldout)
        variance = pooled * (1 - pooled) * (1 / count + 1 / heldout)
        rng = np.random.default_rng(0)
        resampled = rng.multinomial(count, seen, _RESAMPLES) / count
        resampled_real = rng.multinomial(heldout, real, _RESAMPLES) / heldout
        value = float(_total_variation(seen - real, variance))
        differences = resampled - resampled_real
        low = np.quantile(_total_variation(differences, 2 * variance), 0.025)
        high = np.quantile(_total_variation(differences, variance), 0.975)
        return Estimate(value, float(min(low, value)), float(max(high, value)))


def _misfit(fits: TriangleFits) -> Numbers:
    """Compute the outline's misfit in px: about its distance to the sides, each taken as long as the shape is wide."""
    misfit: Numbers = fits.outline / np.sqrt(np.maximum(fits.ink, 1.0))
    return misfit


def _threshold(misfits: Numbers) -> Numbers:
    """Find the misfit that the next image stays below with a chance of `PASS_SHARE`, along the last axis."""
    threshold: Numbers = np.quantile(misfits, PASS_SHARE, axis=-1, method="weibull")
    return threshold


def _with_threshold_error(estimate: Estimate, resampled: Numbers) -> Estimate:
    """Widen the interval of a share by the error of the thresholds, from the share under resampled thresholds."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    error = NORMAL_95 * resampled.std()
    down, up = estimate.value - estimate.low, estimate.high - estimate.value
    low, high = estimate.value - np.hypot(down, error), estimate.value + np.hypot(up, error)
    return Estimate(estimate.value, max(0.0, float(low)), min(1.0, float(high)))


def _total_variation(differences: Numbers, variance: Numbers) -> Numbers:
    """Compute total variation from differences of shares, along the last axis, less the expected effect of chance."""
    spread = np.sqrt(np.maximum(variance, 1e-12))
    true = np.sqrt(np.maximum(differences**2 - variance, 0.0)) / spread
    # The mean of |true + normal noise|, of unit spread, less true.
    added = 2 * stats.norm.pdf(true) - 2 * true * stats.norm.cdf(-true)
    variation: Numbers = np.maximum((np.abs(differences) - spread * added).sum(axis=-1) / 2, 0.0)
    return variation
