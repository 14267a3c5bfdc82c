"""Everything that is measured of samples, brought together: against one data set, and for one run.

Torch-free until a run is evaluated, so that judging a file of pictures does not wait for it.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import SamplingOverrides
from core.data import ImageSet
from core.errors import UserError
from core.evaluation.metrics.distribution import distribution_metrics
from core.evaluation.metrics.grey import GreyReference
from core.evaluation.metrics.novelty import CopyReference
from core.evaluation.metrics.shape import DECILES, ShapeReference
from core.evaluation.triangle_fit.cache import cached_edge, cached_fits, join_fits
from core.evaluation.triangle_fit.fit import TriangleFits, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.files.sanitize import sanitize
from core.runs import Evaluation, RunDirectory
from core.runs.results import GROUPS
from core.statistics.estimate import Estimate

Metrics = dict[str, Estimate]
Curves = dict[str, list[float | None]]
Report = Callable[[int, int], None]
Stage = Callable[[str, str], AbstractContextManager[Report]]
"""Opened with what is done and what is counted, it gives a function of (done, total)."""

ALL_GROUPS: Final = tuple(GROUPS)
IMAGE_GROUPS: Final = ("shape", "grey", "distribution", "novelty")
"""What can be measured of pictures from anywhere; the other groups need the network."""
OWN_SAMPLER: Final = SamplingOverrides()
_OF_TRIANGLES: Final = ("shape", "grey")
_FIT_CHUNK: Final = 128


@contextlib.contextmanager
def silently(doing: str, unit: str) -> Iterator[Report]:
    """The stage that shows nothing."""
    del doing, unit
    yield lambda done, total: None


class Evaluator:
    """Measures samples against one data set; what is known of the set is computed once, when it is needed.

    Args:
        pictures: the data.
        heldout: how many held-out pictures to measure against; None takes all.
        seed: of what resampling and projections are drawn from: samples judged by judges of one seed are judged alike.
        stage: shows what is being done.
    """

    def __init__(
        self, images: ImageSet, *, heldout: int | None = None, seed: int = 0, stage: Stage = silently
    ) -> None:
        self.images = images
        self.stage = stage
        self._seed = seed
        self._real: dict[tuple[int, tuple[str, ...]], Metrics] = {}
        self.heldout = _to_unit(images.heldout[:heldout])
        self.triangles = images.heldout_vertices is not None
        """Whether there are triangles to be fitted."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of metrics that apply to this data, of all that a run can be measured by."""
        return tuple(group for group in ALL_GROUPS if self.triangles or group not in _OF_TRIANGLES)

    def check(self, samples: NDArray[Any]) -> None:
        """Refuse what cannot be judged.

        Raises:
            UserError: no pictures, another shape than the data's, or numbers that are not from 0 to 1.
        """
        wanted = self.heldout.shape[1:]
        if samples.ndim != 4 or samples.shape[1:] != wanted or not len(samples):
            shape = ", ".join(map(str, wanted))
            raise UserError(
                f"expected pictures like those of {self.images.name}, [N, {shape}], got {list(samples.shape)}"
            )
        if not np.isfinite(samples).all():
            broken = int((~np.isfinite(samples)).any(axis=(1, 2, 3)).sum())
            raise UserError(
                f"{broken} of {len(samples)} pictures have numbers that are not finite (NaN or infinity)"
            )
        if samples.min() < 0 or samples.max() > 1:
            raise UserError(
                f"expected numbers from 0 to 1, got {samples.min():g} to {samples.max():g}; scale or clip them"
            )

    def evaluate(
        self, samples: NDArray[np.floating], groups: Collection[str] = IMAGE_GROUPS
    ) -> tuple[Metrics, Curves]:
        """Measure pictures.

        Args:
            samples: [N, C, H, W] in [0, 1].
            groups: of `IMAGE_GROUPS`; those that do not apply to this data are passed over.

        Returns:
            Metrics by the names of `core.runs.METRICS`, and the curves ``pass_by_decile`` and ``area_by_decile``: the
            share that passes, and the share of samples, in each decile of the held-out pictures' areas.

        Raises:
            UserError: see `check`.
        """
        self.check(samples)
        fits = self._fit(samples, "fitting samples") if self._wants_fits(groups) else None
        metrics, curves = self._measure(samples, fits, groups)
        if "novelty" in groups:
            test = self._copying.test(samples)
            metrics |= {"copy_z": test.z, "copies": test.copies}
        return metrics, curves

    def real(self, count: int, groups: Collection[str] = IMAGE_GROUPS) -> Metrics:
        """What training pictures score that are judged as if they were samples: how good samples can be.

        Of novelty, the share of near copies among held-out pictures.

        Args:
            count: pictures; fewer where the set has fewer.
            groups: as for `judge`.
        """
        key = count, tuple(group for group in IMAGE_GROUPS if group in groups)
        if key not in self._real:
            rng = np.random.default_rng([self._seed, 1])
            chosen = np.sort(rng.permutation(len(self.images.train))[:count])
            samples = _to_unit(self.images.train[chosen])
            fits = self._known_fit(samples, "fitting real pictures") if self._wants_fits(groups) else None
            self._real[key], _ = self._measure(samples, fits, groups)
            if "novelty" in groups:
                self._real[key]["copies"] = self._copying.copies
        return self._real[key]

    def _measure(
        self, samples: NDArray[np.floating], fits: TriangleFits | None, groups: Collection[str]
    ) -> tuple[Metrics, Curves]:
        metrics: Metrics = {}
        curves: Curves = {}
        if fits is not None and "shape" in groups:
            evaluation = self._shape.evaluate(fits)
            metrics |= evaluation.metrics
            curves |= _by_decile(evaluation.passed, evaluation.decile)
        if fits is not None and "grey" in groups:
            metrics |= self._grey.evaluate(samples, fits)
        if "distribution" in groups:
            metrics |= distribution_metrics(
                samples,
                self.heldout,
                fits.vertices if fits else None,
                self._fits.vertices if fits else None,
                rng=np.random.default_rng([self._seed, 2]),
            )
        return metrics, curves

    def _wants_fits(self, groups: Collection[str]) -> bool:
        return self.triangles and not {"shape", "grey", "distribution"}.isdisjoint(groups)

    @cached_property
    def _edge(self) -> Edge:
        return cached_edge(self.images.path, self.heldout)

    @cached_property
    def _fits(self) -> TriangleFits:
        return self._known_fit(self.heldout, "fitting held-out pictures")

    @cached_property
    def _shape(self) -> ShapeReference:
        return ShapeReference.from_fits(self._fits)

    @cached_property
    def _grey(self) -> GreyReference:
        return GreyReference.from_fits(self.heldout, self._fits)

    @cached_property
    def _copying(self) -> CopyReference:
        return CopyReference(self.images.train, self.heldout)

    def _known_fit(self, images: NDArray[np.float32], doing: str) -> TriangleFits:
        fit = partial(self._fit, images, doing)
        return cached_fits(self.images.path, images, self._edge, fit)

    def _fit(self, images: NDArray[np.floating], doing: str) -> TriangleFits:
        with self.stage(doing, "pictures") as report:
            parts = []
            for start in range(0, len(images), _FIT_CHUNK):
                parts.append(fit_triangles(images[start : start + _FIT_CHUNK], edge=self._edge))
                report(min(start + _FIT_CHUNK, len(images)), len(images))
        return join_fits(parts)


def evaluate_images(
    samples: NDArray[np.floating],
    images: ImageSet,
    *,
    heldout: int | None = None,
    seed: int = 0,
    groups: Collection[str] = IMAGE_GROUPS,
    stage: Stage = silently,
) -> tuple[Metrics, Curves]:
    """Measure pictures against a data set, once; see `Evaluator`, which measures several against the same."""
    return Evaluator(images, heldout=heldout, seed=seed, stage=stage).evaluate(samples, groups)


def evaluate_run(
    run: RunDirectory,
    evaluator: Evaluator,
    *,
    count: int,
    drawing: SamplingOverrides = OWN_SAMPLER,
    seed: int = 0,
    groups: Collection[str] = ALL_GROUPS,
    device: str = "cpu",
) -> Evaluation:
    """Judge a run as of its last checkpoint.

    Args:
        run: the run; nothing is written to it.
        judge: of the data that the run has learnt.
        count: samples.
        drawing: how samples are drawn and held-out pictures denoised.
        seed: of all noises.
        groups: what to measure; what does not apply to the data is passed over. Samples are drawn if one needs them.
        device: where the network is to compute.

    Raises:
        UserError: no checkpoint, one of pictures of another shape than the data's, a sampler that cannot draw so, or
            a network that has diverged.
    """
    from core.evaluation.metrics.likelihood import IMAGES as FOR_LIKELIHOOD
    from core.evaluation.metrics.likelihood import likelihood
    from core.evaluation.metrics.reconstruction import IMAGES as FOR_RECONSTRUCTION
    from core.evaluation.metrics.reconstruction import reconstruction
    from core.evaluation.sampling import draw, to_unit
    from core.training.checkpoint import load_model

    loaded, data = load_model(run, device), evaluator.images
    loaded = replace(loaded, config=drawing.apply_to(loaded.config))
    if loaded.shape != data.heldout.shape[1:]:
        raise UserError(
            f"{sanitize(run.id)}: has learnt pictures of {list(loaded.shape)}, but {data.name} is of "
            f"{list(data.heldout.shape[1:])} by now"
        )
    metrics: Metrics = {}
    real: Metrics = {}
    curves: Curves = {}
    if not set(IMAGE_GROUPS).isdisjoint(groups):
        with evaluator.stage("sampling", "network calls") as report:
            drawn = draw(loaded, count, seed=seed, report=report)
        try:
            metrics, curves = evaluator.evaluate(to_unit(drawn), groups)
        except UserError as error:
            raise UserError(f"{sanitize(run.id)}: its samples cannot be judged: {error}") from error
        real = dict(evaluator.real(count, groups))
    if "likelihood" in groups:
        with evaluator.stage("likelihood", "pictures seen") as report:
            found = likelihood(loaded, data.heldout[:FOR_LIKELIHOOD], seed=seed, progress=report)
        metrics |= found.metrics
        curves |= found.curves
    if "reconstruction" in groups:
        corners = data.heldout_vertices
        with evaluator.stage("reconstruction", "pictures seen") as report:
            numbers, points = reconstruction(
                loaded,
                data.heldout[:FOR_RECONSTRUCTION],
                None if corners is None else corners[:FOR_RECONSTRUCTION],
                seed=seed,
                progress=report,
            )
        metrics |= numbers
        curves |= points
    planned = plan_evaluation(run, evaluator, count=count, drawing=drawing, seed=seed)
    position = loaded.position
    return msgspec.structs.replace(
        planned, epoch=position.epoch, step=position.step, metrics=metrics, real=real, curves=curves
    )


def plan_evaluation(
    run: RunDirectory,
    evaluator: Evaluator,
    *,
    count: int,
    drawing: SamplingOverrides = OWN_SAMPLER,
    seed: int = 0,
) -> Evaluation:
    """What `evaluate_run` would give for the run's last checkpoint, but for the numbers.

    Raises:
        UserError: the run cannot be read, has no checkpoint, or its sampler cannot draw so.
    """
    from core.training.checkpoint import read_checkpoint  # torch takes seconds to import

    config = drawing.apply_to(run.read().config)
    how = config.sample
    _, position = read_checkpoint(run, "no tensor")
    return Evaluation(
        created=now(),
        epoch=position.epoch,
        step=position.step,
        dataset=evaluator.images.name,
        count=count,
        heldout=len(evaluator.heldout),
        sampler=how.sampler,
        steps=how.steps or config.schedule.timesteps,
        eta=how.eta,
        spacing=how.spacing,
        clip=how.clip,
        seed=seed,
        metrics={},
    )


def now() -> str:
    """The time of a judgement: ISO 8601, UTC, to the microsecond, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _to_unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _by_decile(passed: NDArray[np.bool_], decile: NDArray[np.integer]) -> Curves:
    inside = [passed[decile == place] for place in range(DECILES)]
    places = [float(place + 1) for place in range(DECILES)]
    return {
        "pass_by_decile": [float(part.mean()) if len(part) else None for part in inside],
        "pass_by_decile.x": list(places),
        "area_by_decile": [len(part) / len(passed) for part in inside],
        "area_by_decile.x": list(places),
    }
