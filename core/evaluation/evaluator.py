"""All metrics of images together, against one data set.

Torch is imported only for features of general images, so evaluating a file of triangles does not wait for it.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data import ImageSet
from core.errors import UserError
from core.evaluation.by_class import evaluate_classes, label_accuracy
from core.evaluation.metrics import Curves, Metrics, Progress
from core.evaluation.metrics.appearance import appearance_metrics
from core.evaluation.metrics.distribution import distribution_metrics
from core.evaluation.metrics.grey import GreyReference
from core.evaluation.metrics.novelty import CopyReference, CopyTest
from core.evaluation.metrics.shape import DECILES, ShapeReference
from core.evaluation.triangle_fit.cache import cached_edge, cached_fits
from core.evaluation.triangle_fit.fit import TriangleFits, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.runs.metric_definitions import GENERAL_GROUPS, GROUPS, OPTIONAL_GROUPS, TRIANGLE_GROUPS
from core.runs.results import ClassEvaluation
from core.statistics.gaussian_sampling import MAX_DIMENSIONS
from core.statistics.linear_denoiser import LinearDenoiser

if TYPE_CHECKING:
    from core.evaluation.metrics.general import FeatureReference

Stage = Callable[[str, str], AbstractContextManager[Progress]]
"""Opens a stage of the work, given its description and the unit of its progress."""

ALL_GROUPS: Final = tuple(GROUPS)
IMAGE_GROUPS: Final = ("shape", "labels", "grey", "features", "appearance", "distribution", "novelty")
"""Groups that can be measured on images from anywhere; the other groups need the network."""
_FIT_CHUNK: Final = 128


@contextlib.contextmanager
def silent_stage(doing: str, unit: str) -> Iterator[Progress]:
    """Open a stage that shows nothing."""
    del doing, unit
    yield lambda done, total: None


class Evaluator:
    """Metrics of samples against one data set; references from the data are computed once, when first needed.

    Args:
        images: the data.
        heldout: number of held-out images to measure against; None takes all.
        seed: seed of resampling and projections; evaluators with the same seed draw the same.
        stage: shows the progress.
    """

    def __init__(
        self, images: ImageSet, *, heldout: int | None = None, seed: int = 0, stage: Stage = silent_stage
    ) -> None:
        self.images = images
        self.stage = stage
        self._seed = seed
        self._real_metrics: dict[tuple[int, tuple[str, ...]], Metrics] = {}
        self.heldout = _to_unit(images.heldout[:heldout])
        self.classes: tuple[ClassEvaluation, ...] = ()
        """Metrics of each class of the samples that were evaluated last."""
        self.has_triangles = images.heldout_vertices is not None
        """True if the data are triangles, which can be fitted."""
        self.copy_test: CopyTest | None = None
        """Result of the samples that were last measured for novelty."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of metrics that apply to this data, including those that need a run."""
        left_out = {
            *(() if self.has_triangles else TRIANGLE_GROUPS),
            *(() if self.images.classes else ("labels",)),
        }
        return tuple(group for group in ALL_GROUPS if group not in left_out)

    @property
    def default_groups(self) -> tuple[str, ...]:
        """Those of `groups` that are measured unless others are named: triangles need no features of general images."""
        left_out = {*OPTIONAL_GROUPS, *(GENERAL_GROUPS if self.has_triangles else ())}
        return tuple(group for group in self.groups if group not in left_out)

    def check(self, samples: NDArray[Any]) -> None:
        """Refuse samples that cannot be evaluated.

        Raises:
            UserError: no images, another shape than the data's, or numbers that are not from 0 to 1.
        """
        expected = self.heldout.shape[1:]
        if samples.ndim != 4 or samples.shape[1:] != expected or not len(samples):
            shape = ", ".join(map(str, expected))
            raise UserError(
                f"expected images like those of {self.images.name}, [N, {shape}], got {list(samples.shape)}"
            )
        if not np.isfinite(samples).all():
            broken = int((~np.isfinite(samples)).any(axis=(1, 2, 3)).sum())
            raise UserError(
                f"{broken} of {len(samples)} images have numbers that are not finite (NaN or infinity)"
            )
        if samples.min() < 0 or samples.max() > 1:
            raise UserError(
                f"expected numbers from 0 to 1, got {samples.min():g} to {samples.max():g}; scale or clip them"
            )

    def evaluate(
        self,
        samples: NDArray[np.floating],
        groups: Collection[str] | None = None,
        labels: NDArray[np.int64] | None = None,
    ) -> tuple[Metrics, Curves]:
        """Measure images.

        Args:
            samples: [N, C, H, W] in [0, 1].
            groups: some of `IMAGE_GROUPS`; those that do not apply to this data are skipped. None takes
                `default_groups`.
            labels: classes that were asked for, [N]; their metrics are in `classes` afterwards.

        Returns:
            Metrics, and the curves ``pass_by_decile`` and ``area_by_decile``: the share that passes, and the share of
            samples, in each decile of the held-out images' areas.

        Raises:
            UserError: see `check`.
        """
        self.check(samples)
        groups = self.default_groups if groups is None else groups
        fits = self._fit(samples, "fitting samples") if self._needs_fits(groups) else None
        metrics, curves = self._measure(samples, fits, groups)
        if labels is not None:
            if fits is not None and "labels" in groups:
                metrics |= label_accuracy(fits, labels, self.images.classes)
            reference = self._shape_reference if fits is not None else None
            self.classes = evaluate_classes(samples, labels, self.images, fits, reference, self.heldout)
        if "novelty" in groups:
            test = self.copy_test = self._copy_reference.test(samples)
            metrics |= {"copy_z": test.z, "copies": test.copies}
        return metrics, curves

    def evaluate_real(self, count: int, groups: Collection[str] | None = None) -> Metrics:
        """Measure training images as if they were samples, which shows how well samples can score.

        Of novelty there is only the share of near copies among held-out images.

        Args:
            count: number of images; fewer where the set has fewer.
            groups: as for `evaluate`.
        """
        groups = self.default_groups if groups is None else groups
        key = count, tuple(group for group in IMAGE_GROUPS if group in groups)
        if key not in self._real_metrics:
            samples = self.real_sample(count)
            fits = self._cached_fit(samples, "fitting real images") if self._needs_fits(groups) else None
            self._real_metrics[key], _ = self._measure(samples, fits, groups)
            if fits is not None and "labels" in groups and (labels := self.images.train_labels) is not None:
                found = label_accuracy(fits, labels[self._real_indices(count)], self.images.classes)
                self._real_metrics[key] |= found
            if "novelty" in groups:
                self._real_metrics[key]["copies"] = self._copy_reference.copies
        return self._real_metrics[key]

    def kinds(self, samples: NDArray[np.floating], *, silent: bool = False) -> NDArray[np.intp]:
        """Find the kind of each sample: the decile of the held-out images' areas that it belongs to.

        Without triangles, the deciles are of the mean brightness.

        Args:
            samples: [N, C, H, W] in [0, 1].
            silent: whether to show no progress, as a thread beside others must.

        Returns:
            [N], 0 to 9; -1 for samples that fail the tests of shape.

        Raises:
            UserError: see `check`.
        """
        self.check(samples)
        if not self.has_triangles:
            edges = np.quantile(_brightness(self.heldout), np.arange(1, DECILES) / DECILES)
            return np.searchsorted(edges, _brightness(samples))
        fits = self._fit(samples, "fitting samples", silent_stage if silent else None)
        return self._shape_reference.evaluate(fits).kinds

    def real_kinds(self, count: int) -> NDArray[np.intp]:
        """Find the kinds of `real_sample`; their fits are kept with the data."""
        samples = self.real_sample(count)
        if not self.has_triangles:
            return self.kinds(samples)
        return self._shape_reference.evaluate(self._cached_fit(samples, "fitting real images")).kinds

    def real_sample(self, count: int) -> NDArray[np.float32]:
        """Return some training images in [0, 1], the same for the same seed; fewer where the set has fewer."""
        return _to_unit(self.images.train[self._real_indices(count)])

    def _real_indices(self, count: int) -> NDArray[np.intp]:
        rng = np.random.default_rng([self._seed, 1])
        return np.sort(rng.permutation(len(self.images.train))[:count])

    def copies(self, samples: NDArray[np.floating]) -> CopyTest:
        """Test whether samples are copies of training images."""
        return self._copy_reference.test(samples)

    def _measure(
        self, samples: NDArray[np.floating], fits: TriangleFits | None, groups: Collection[str]
    ) -> tuple[Metrics, Curves]:
        metrics: Metrics = {}
        curves: Curves = {}
        if fits is not None and "shape" in groups:
            evaluation = self._shape_reference.evaluate(fits)
            metrics |= evaluation.metrics
            curves |= evaluation.curves
        if fits is not None and "grey" in groups:
            metrics |= self._grey_reference.evaluate(samples, fits)
        if "features" in groups:
            reference = self._feature_reference
            with self.stage("features of samples", "images") as progress:
                metrics |= reference.evaluate(samples, progress)
        if "appearance" in groups:
            metrics |= appearance_metrics(samples)
        if "distribution" in groups:
            metrics |= distribution_metrics(
                samples,
                self.heldout,
                fits.vertices if fits else None,
                self._heldout_fits.vertices if fits else None,
                rng=np.random.default_rng([self._seed, 2]),
            )
        return metrics, curves

    def _needs_fits(self, groups: Collection[str]) -> bool:
        return self.has_triangles and not {"shape", "labels", "grey", "distribution"}.isdisjoint(groups)

    @cached_property
    def linear_denoiser(self) -> LinearDenoiser | None:
        """The linear denoiser of the training images; None where they are too large."""
        images = self.images.train
        return LinearDenoiser.fit(images) if images[0].size <= MAX_DIMENSIONS else None

    @cached_property
    def _edge(self) -> Edge:
        return cached_edge(self.images.path, self.heldout)

    @cached_property
    def _heldout_fits(self) -> TriangleFits:
        return self._cached_fit(self.heldout, "fitting held-out images")

    @cached_property
    def _shape_reference(self) -> ShapeReference:
        return ShapeReference.from_fits(self._heldout_fits)

    @cached_property
    def _grey_reference(self) -> GreyReference:
        return GreyReference.from_fits(self.heldout, self._heldout_fits)

    @cached_property
    def _feature_reference(self) -> "FeatureReference":
        from core.evaluation.metrics.general import FeatureReference  # torch takes seconds to import

        with self.stage("features of held-out images", "images") as progress:
            return FeatureReference(self.heldout, self.images.train, seed=self._seed, progress=progress)

    @cached_property
    def _copy_reference(self) -> CopyReference:
        return CopyReference(self.images.train, self.heldout)

    def _cached_fit(self, images: NDArray[np.float32], doing: str) -> TriangleFits:
        fit = partial(self._fit, images, doing)
        return cached_fits(self.images.path, images, self._edge, fit)

    def _fit(self, images: NDArray[np.floating], doing: str, stage: Stage | None = None) -> TriangleFits:
        with (stage or self.stage)(doing, "images") as progress:
            parts = []
            for start in range(0, len(images), _FIT_CHUNK):
                parts.append(fit_triangles(images[start : start + _FIT_CHUNK], edge=self._edge))
                progress(min(start + _FIT_CHUNK, len(images)), len(images))
        return TriangleFits.concatenate(parts)


def evaluate_images(
    samples: NDArray[np.floating],
    images: ImageSet,
    *,
    heldout: int | None = None,
    seed: int = 0,
    groups: Collection[str] | None = None,
    stage: Stage = silent_stage,
) -> tuple[Metrics, Curves]:
    """Measure images against a data set, once; `Evaluator` measures several sets of images against the same data."""
    return Evaluator(images, heldout=heldout, seed=seed, stage=stage).evaluate(samples, groups)


def _to_unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _brightness(images: NDArray[np.floating]) -> NDArray[np.float64]:
    brightness: NDArray[np.float64] = images.mean(axis=(1, 2, 3), dtype=np.float64)
    return brightness
