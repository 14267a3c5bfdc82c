"""Samples of one checkpoint drawn in several ways, from which the causes of bad samples follow.

Noises of all ways are the same, so that differences between the ways are those of pairs.
"""

from collections.abc import Callable
from dataclasses import replace as replace_config
from functools import partial
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.config import RunConfig, SampleConfig
from core.config.sampling_levels import sampling_calls, visited_timesteps
from core.evaluation.evaluator import Evaluator
from core.evaluation.metrics import Curves, Progress
from core.evaluation.metrics.noise_error import LEVELS, noise_error
from core.evaluation.parallel import run_together
from core.evaluation.plan import timestamp
from core.evaluation.sampling import draw_samples, to_unit
from core.evaluation.starts import make_start
from core.runs import RunDirectory
from core.runs.interventions import Interventions, SampleKinds, Variant
from core.sampling_names import SAMPLERS_WITH_ETA, StartName
from core.training.checkpoint import LoadedModel, load_model, read_checkpoint

Pixels = NDArray[np.float32]

FINER: Final = 3
"""Times as many network calls as the run's own sampling takes; at least `FINER_CALLS`, at most T."""
FINER_CALLS: Final = 30

CURVE_IMAGES: Final = 96
"""Number of held-out images, and of training images, from which the noise error is measured."""


def finer_steps(config: RunConfig) -> int:
    """Return the network calls of its finer sampling."""
    return min(config.schedule.timesteps, max(FINER * sampling_calls(config), FINER_CALLS))


def quiet(config: SampleConfig) -> SampleConfig | None:
    """Return the same sampling without added noise; None if it adds none."""
    if config.sampler == "ddpm":
        return replace(config, sampler="ddim", eta=0.0)
    if config.sampler in SAMPLERS_WITH_ETA and config.eta > 0:
        return replace(config, eta=0.0)
    return None


def is_current(
    kept: Interventions, run: RunDirectory, evaluator: Evaluator, *, count: int, seed: int = 0
) -> bool:
    """Return whether `intervene` with these arguments would give the interventions that are kept with a run."""
    _, position = read_checkpoint(run, ("nothing",))
    wanted = (
        position.step,
        evaluator.images.name,
        min(count, len(evaluator.heldout)),
        seed,
        _sampling(run.read().config),
    )
    return wanted == (kept.step, kept.dataset, kept.count, kept.seed, kept.sampling)


def _sampling(config: RunConfig) -> dict[str, object]:
    # As it is read from a file: with lists in place of tuples.
    found: dict[str, object] = msgspec.json.decode(msgspec.json.encode(config.sample))
    return found


def intervene(
    run: RunDirectory, evaluator: Evaluator, *, count: int, seed: int = 0, device: str = "cpu"
) -> Interventions:
    """Draw samples of a run's last checkpoint in all ways, and measure its noise error.

    Args:
        run: the run; nothing is written to it.
        evaluator: for the data that the run was trained on.
        count: number of samples in each way, and of held-out images that are noised; at most as many as those.
        seed: seed of all noises.
        device: device of the network.

    Raises:
        UserError: no checkpoint, or a network that has diverged.
    """
    loaded = load_model(run, device)
    sample = loaded.config.sample
    count = min(count, len(evaluator.heldout))
    more = replace(sample, steps=finer_steps(loaded.config), levels=None)
    variants: dict[Variant, tuple[SampleConfig, StartName]] = {
        "own": (sample, "noise"),
        "images": (sample, "images"),
        "gaussian": (sample, "gaussian"),
        "finer": (more, "noise"),
        "images+finer": (more, "images"),
    }
    if (without := quiet(sample)) is not None:
        variants["quiet"] = (without, "noise")
    real = _reduce(evaluator.real_sample(count), evaluator.real_kinds(count))
    drawn, own, curves = _draw(loaded, evaluator, variants, count, seed)
    test = evaluator.copies(own)
    return Interventions(
        created=timestamp(),
        epoch=loaded.position.epoch,
        step=loaded.position.step,
        dataset=evaluator.images.name,
        count=count,
        seed=seed,
        sampler=sample.sampler,
        sampling=_sampling(loaded.config),
        steps=sampling_calls(loaded.config),
        finer_steps=finer_steps(loaded.config),
        drawn=drawn,
        real=real,
        copies=test.copies.value,
        copy_z=test.z.value,
        measure="area" if evaluator.has_triangles else "brightness",
        curves=curves,
    )


def _draw(
    loaded: LoadedModel,
    evaluator: Evaluator,
    variants: dict[Variant, tuple[SampleConfig, StartName]],
    count: int,
    seed: int,
) -> tuple[dict[Variant, SampleKinds], Pixels, Curves]:
    """Draw and reduce the samples of all ways; return the run's own samples and its noise errors too."""
    runs = {
        way: replace_config(loaded, config=replace(loaded.config, sample=variants[way][0]))
        for way in variants
    }
    images: dict[Variant, Pixels] = {}
    drawn: dict[Variant, SampleKinds] = {}
    curves: Curves = {}

    def draw(way: Variant, progress: Progress) -> None:
        run = runs[way]
        t = visited_timesteps(run.config)[0]
        start = make_start(variants[way][1], evaluator.images, run.diffusion, t, seed=seed)
        images[way] = to_unit(draw_samples(run, count, seed=seed, start=start, progress=progress))
        drawn[way] = _reduce(images[way], evaluator.kinds(images[way], silent=True))

    def measure(progress: Progress) -> None:
        first = evaluator.images.heldout[: min(count, CURVE_IMAGES)]
        denoiser = evaluator.linear_denoiser
        train = evaluator.images.train
        curves.update(noise_error(loaded, first, train, seed=seed, progress=progress, denoiser=denoiser)[1])

    tasks: dict[str, Callable[[Progress], None]] = {way: partial(draw, way) for way in variants}
    work: dict[str, int] = {way: sampling_calls(run.config) for way, run in runs.items()}
    # As many batches as a way of sampling has are counted once.
    work["errors"] = max(1, round(2 * LEVELS * min(count, CURVE_IMAGES) / count))
    with evaluator.stage("sampling in several ways", "network calls") as progress:
        run_together(tasks | {"errors": measure}, work, device=loaded.device, progress=progress)
    return {way: drawn[way] for way in variants}, images["own"], curves


def _reduce(images: Pixels, kinds: NDArray[np.intp]) -> SampleKinds:
    return SampleKinds(kinds=kinds.tolist(), brightness=float(images.mean()))
