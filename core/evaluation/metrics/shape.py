"""Whether samples have the shape of triangles, by bars that held-out pictures of the same data set.

A sample is asked three things, with the haze taken away:
- *whole*: its overlap with the best-fitting triangle, drawn as the data are drawn. Of clean data nearly all reach
  0.99; of ellipses and rectangles, down to a few pixels, hardly one reaches 0.85. The bar is `LEAST_IOU`, or less
  where real pictures themselves fall below it.
- *alone*: no second piece: at most `MOST_STRAY` of ink away from the triangle, or what real pictures have.
- *outline*: its outline, cut at half grey, follows the triangle as well as 95 in 100 real pictures of like area. This
  is the bar that holds large shapes: one corner too many, or a bulge, is little of a large area.

The last bar is placed so that 95% of the held-out pictures in each decile of area pass all three. Pictures with under
three pixels of ink are counted apart.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.errors import UserError
from core.evaluation.triangle_fit.fit import TriangleFits, find_edge, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.statistics.estimate import Estimate
from core.statistics.intervals import NORMAL_95, mean_proportion, median, proportion

Numbers = NDArray[np.float64]
Integers = NDArray[np.intp]
Mask = NDArray[np.bool_]

DECILES: Final = 10
PASS_SHARE: Final = 0.95
"""Share of real pictures that pass, by construction."""
MIN_IOU: Final = 0.9
MAX_STRAY: Final = 1.0

_FAIL_SHARE: Final = 0.025
"""Share of real pictures that may fail to be whole, or alone, and so lower that bar."""
_THRESHOLD_RESAMPLES: Final = 200
"""Bars of resampled held-out pictures, from which the bars' own error is known."""
_RESAMPLES: Final = 1000


@dataclass(frozen=True, eq=False)
class ShapeEvaluation:
    """What the shapes of N samples are worth.

    Attributes:
        passed: [N], which are triangles; False where near-empty.
        decile: [N], of the real areas, 0 to 9; -1 where near-empty.
        metrics: `balanced_pass_rate`, `pass_rate`, `area_distance`, `near_empty`, `soft_iou` and `residual`.
    """

    passed: Mask
    decile: Integers
    metrics: dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class ShapeReference:
    """What held-out pictures say of shape.

    Attributes:
        edge: how the data are drawn.
        area_edges: [9], areas in px^2 between the deciles.
        counts: [11], held-out pictures that are near-empty, and those in each decile.
        min_iou: [10], bars of the deciles.
        max_stray: one bar for all.
        max_misfit: [10], bars of the outline's misfit by the root of the area.
        max_misfit_resamples: [R, 10], the same from resampled held-out pictures.
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
        """Fit held-out pictures, float [N, C, S, S] in [0, 1], and set the bars.

        Args:
            edge: how they are drawn; None finds it out.

        Raises:
            UserError: all of them are near-empty.
        """
        return cls.from_fits(fit_triangles(heldout, edge=edge or find_edge(heldout)))

    @classmethod
    def from_fits(cls, fits: TriangleFits) -> "ShapeReference":
        """Set the bars by held-out pictures that have been fitted already.

        Raises:
            UserError: all of them are near-empty.
        """
        inked = fits.select(~fits.near_empty)
        if not len(inked):
            raise UserError(
                f"none of the {len(fits)} held-out pictures has a shape to compare with; take more of them"
            )
        edges = np.quantile(inked.ink, np.arange(1, DECILES) / DECILES)
        decile = np.searchsorted(edges, inked.ink)
        # A decile of very few pictures may be empty: then all set its bar.
        members = [np.flatnonzero(decile == place) for place in range(DECILES)]
        members = [rows if len(rows) else np.arange(len(inked)) for rows in members]
        max_stray = max(MAX_STRAY, float(np.quantile(inked.stray, 1 - _FAIL_SHARE)))
        min_iou = np.minimum(MIN_IOU, [np.quantile(inked.soft_iou[rows], _FAIL_SHARE) for rows in members])
        misfit = _misfit(inked)
        # What fails otherwise is behind any bar.
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
        """Judge samples by their fits.

        Intervals of the pass rates hold the error of the samples and that of the bars.

        Raises:
            ValueError: the fits are of another edge than the held-out pictures' were.
        """
        if fits.edge != self.edge:
            raise ValueError(
                f"expected fits with edge={self.edge!r}, as of the held-out pictures, got {fits.edge!r}"
            )
        empty = fits.near_empty
        decile = np.where(empty, -1, np.searchsorted(self.area_edges, fits.ink))
        # Indexing by -1 is harmless: near-empty pictures have NaN, which passes nothing.
        sound = (fits.soft_iou >= self.min_iou[decile]) & (fits.stray <= self.max_stray)
        misfit = _misfit(fits)
        passed = sound & (misfit <= self.max_misfit[decile])
        trials = np.bincount(decile[~empty], minlength=DECILES)
        successes = np.bincount(decile[passed], minlength=DECILES)
        again = sound & (misfit <= self.max_misfit_resamples[:, decile])
        shares = np.stack([again[:, decile == place].sum(axis=1) for place in range(DECILES)], axis=1)
        balanced = (shares / np.maximum(trials, 1)).mean(axis=1)
        metrics = {
            "balanced_pass_rate": _with_threshold_error(mean_proportion(successes, trials), balanced),
            "pass_rate": _with_threshold_error(
                proportion(int(passed.sum()), int((~empty).sum())),
                shares.sum(axis=1) / max(1, (~empty).sum()),
            ),
            "area_distance": self._area_distance(np.concatenate([[empty.sum()], trials])),
            "near_empty": proportion(int(empty.sum()), len(fits)),
            "soft_iou": median(fits.soft_iou),
            "residual": median(fits.residual),
        }
        return ShapeEvaluation(passed, decile, metrics)

    def _area_distance(self, counts: Integers) -> Estimate:
        """Total variation between areas, in eleven classes: near-empty, and the deciles.

        As many real pictures would show some distance too, by chance (0.06 for 1,000 against 1,000). What chance adds
        to each class is taken off. Of the resampled counts that the percentile interval is made of it is taken off
        twice at the lower end, but once at the upper: in simulations 95% to 100% of the intervals held the distance.
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
        again = resampled - resampled_real
        low = np.quantile(_total_variation(again, 2 * variance), 0.025)
        high = np.quantile(_total_variation(again, variance), 0.975)
        return Estimate(value, float(min(low, value)), float(max(high, value)))


def _misfit(fits: TriangleFits) -> Numbers:
    """Of the outline, in px: about how far it strays from the triangle's sides, each as long as the shape is wide."""
    misfit: Numbers = fits.outline / np.sqrt(np.maximum(fits.ink, 1.0))
    return misfit


def _threshold(misfits: Numbers) -> Numbers:
    """What a next one of the same kind stays under with a chance of `PASS_SHARE`, along the last axis."""
    bar: Numbers = np.quantile(misfits, PASS_SHARE, axis=-1, method="weibull")
    return bar


def _with_threshold_error(estimate: Estimate, max_misfit_resamples: Numbers) -> Estimate:
    """A share whose interval holds the error of the bars too."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    bars = NORMAL_95 * max_misfit_resamples.std()
    down, up = estimate.value - estimate.low, estimate.high - estimate.value
    low, high = estimate.value - np.hypot(down, bars), estimate.value + np.hypot(up, bars)
    return Estimate(estimate.value, max(0.0, float(low)), min(1.0, float(high)))


def _total_variation(differences: Numbers, variance: Numbers) -> Numbers:
    """Total variation from differences of shares, along the last axis, without what chance adds to their amounts."""
    spread = np.sqrt(np.maximum(variance, 1e-12))
    true = np.sqrt(np.maximum(differences**2 - variance, 0.0)) / spread
    # The mean of |true + normal noise|, of unit spread, less true.
    added = 2 * stats.norm.pdf(true) - 2 * true * stats.norm.cdf(-true)
    variation: Numbers = np.maximum((np.abs(differences) - spread * added).sum(axis=-1) / 2, 0.0)
    return variation
