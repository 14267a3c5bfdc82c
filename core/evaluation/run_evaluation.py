"""Evaluation of a run: samples of a checkpoint against its data, and measures of its network."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from core.config import SamplingOverrides
from core.config.consistency import check_guidance
from core.config.sampling_levels import visited_timesteps
from core.errors import UserError
from core.evaluation.evaluator import IMAGE_GROUPS, Evaluator
from core.evaluation.metrics import Curves, Metrics
from core.evaluation.nearest_sheet import write_nearest_sheet
from core.evaluation.plan import plan_evaluation
from core.files.sanitize import sanitize
from core.runs import Evaluation, RunDirectory
from core.runs.results import ClassEvaluation

if TYPE_CHECKING:
    from core.training.checkpoint import LoadedModel

NO_OVERRIDES: Final = SamplingOverrides()


def evaluate_run(
    run: RunDirectory,
    loaded: "LoadedModel",
    evaluator: Evaluator,
    *,
    count: int,
    overrides: SamplingOverrides = NO_OVERRIDES,
    seed: int = 0,
    groups: Collection[str] | None = None,
    checkpoint: Literal["last", "best"] = "last",
    nearest: Path | None = None,
) -> Evaluation:
    """Evaluate the last checkpoint of a run, or that of its best epoch.

    Args:
        run: the run; nothing is written to it.
        loaded: the network of its checkpoint.
        evaluator: for the data that the run was trained on.
        count: number of samples.
        overrides: changes to the run's own sampling, both of samples and of denoised held-out images.
        seed: seed of all noises.
        groups: metrics to measure; those that do not apply to the data are skipped. None takes the evaluator's default
            groups. Samples are drawn if one of them needs samples.
        checkpoint: the checkpoint that `loaded` is of.
        nearest: file for the sheet of samples beside their nearest training images, if novelty is measured; None
            writes none.

    Raises:
        UserError: a checkpoint for images of another shape than the data's, overrides that the sampler
            does not take, or a network that has diverged.
    """
    from core.evaluation.metrics import likelihood, noise_error, reconstruction
    from core.evaluation.sampling import draw_samples, labels_in_proportion, to_unit
    from core.evaluation.starts import make_start

    data = evaluator.images
    loaded = replace(loaded, config=overrides.apply_to(loaded.config))
    check_guidance(loaded.config)
    groups = evaluator.default_groups if groups is None else groups
    if loaded.shape != data.heldout.shape[1:]:
        raise UserError(
            f"{sanitize(run.id)}: was trained on images of {list(loaded.shape)}, but those of {data.name} "
            f"are {list(data.heldout.shape[1:])} by now"
        )
    metrics: Metrics = {}
    real: Metrics = {}
    curves: Curves = {}
    classes: tuple[ClassEvaluation, ...] = ()
    if not set(IMAGE_GROUPS).isdisjoint(groups):
        with evaluator.stage("sampling", "network calls") as progress:
            start = None
            if overrides.start not in (None, "noise"):
                t = visited_timesteps(loaded.config)[0]
                start = make_start(overrides.start, data, loaded.diffusion, t, seed=seed)
            labels = None
            if loaded.classes and data.train_labels is not None and data.classes == loaded.classes:
                labels = labels_in_proportion(data.train_labels, count, seed=seed)
            drawn = draw_samples(loaded, count, seed=seed, start=start, progress=progress, labels=labels)
        samples = to_unit(drawn)
        try:
            metrics, curves = evaluator.evaluate(samples, groups, labels)
            classes = evaluator.classes if labels is not None else ()
        except UserError as error:
            raise UserError(f"{sanitize(run.id)}: its samples cannot be evaluated: {error}") from error
        if nearest is not None and "novelty" in groups and evaluator.copy_test is not None:
            write_nearest_sheet(
                nearest, samples, evaluator.copy_test, data.train, epoch=loaded.position.epoch
            )
        real = dict(evaluator.evaluate_real(count, groups))
    if "likelihood" in groups:
        with evaluator.stage("likelihood", "images") as progress:
            images = data.heldout[: likelihood.MAX_IMAGES]
            bound = likelihood.likelihood(loaded, images, seed=seed, progress=progress)
        metrics |= bound.metrics
        curves |= bound.curves
    if "noise" in groups:
        with evaluator.stage("noise errors", "images") as progress:
            images = data.heldout[: noise_error.MAX_IMAGES]
            found = noise_error.noise_error(
                loaded, images, data.train, seed=seed, progress=progress, denoiser=evaluator.linear_denoiser
            )
        metrics |= found[0]
        curves |= found[1]
    if "reconstruction" in groups:
        corners = data.heldout_vertices
        with evaluator.stage("reconstruction", "images") as progress:
            found = reconstruction.reconstruction(
                loaded,
                data.heldout[: reconstruction.MAX_IMAGES],
                None if corners is None else corners[: reconstruction.MAX_IMAGES],
                seed=seed,
                progress=progress,
            )
        metrics |= found[0]
        curves |= found[1]
    if "restoration" in groups:
        from core.evaluation.metrics import restoration

        with evaluator.stage("restoration", "network calls") as progress:
            images, triangles = data.heldout[: restoration.MAX_IMAGES], evaluator.has_triangles
            found = restoration.restoration(
                loaded, images, data.train, triangles=triangles, seed=seed, progress=progress
            )
        metrics |= found[0]
        curves |= found[1]
    planned = plan_evaluation(
        run, evaluator, count=count, overrides=overrides, seed=seed, checkpoint=checkpoint
    )
    position = loaded.position
    return msgspec.structs.replace(
        planned,
        epoch=position.epoch,
        step=position.step,
        metrics=metrics,
        real=real,
        curves=curves,
        classes=classes,
    )
