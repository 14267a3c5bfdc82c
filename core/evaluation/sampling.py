"""Samples of a trained run, drawn in batches; `core sample` and `core evaluate` draw the same images."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import SampleConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.guidance import autoguided, label_predictor
from core.diffusion.models.centred import starting_state
from core.diffusion.samplers.base import Model, SamplerOptions, timesteps_for
from core.diffusion.samplers.registry import run_sampler
from core.evaluation.metrics import Progress
from core.evaluation.starts import Start
from core.training.checkpoint import LoadedModel

BATCH: Final = 64
"""Images drawn at once; not an option, because the images of a seed depend on it."""


def draw_samples(
    loaded: LoadedModel,
    count: int,
    *,
    seed: int = 0,
    start: Start | None = None,
    progress: Progress | None = None,
    labels: NDArray[np.int64] | None = None,
    weak: LoadedModel | None = None,
) -> NDArray[np.float32]:
    """Draw samples with the run's own sampling configuration; `core.config.SamplingOverrides` changes it.

    Args:
        loaded: the run, as of a checkpoint.
        count: number of images, at least 1.
        seed: seed of the noises. Initial noises are drawn on the CPU and so are the same on all devices; noise that a
            sampler adds is drawn on the device.
        start: makes the starting states of the initial noises; None takes the noises.
        progress: called with the network calls done and in all.
        labels: classes of the images, [count], of a network trained with labels; None draws without labels.
        weak: worse network that guides this one (autoguidance); None guides by this one without labels.

    Returns:
        float32 [count, C, H, W], near [-1, 1] but not clipped to it; see `to_unit`.

    Raises:
        UserError: too many steps.
    """
    shape, config = (count, *loaded.shape), loaded.config.sample

    def predictor(part: slice) -> Model:
        return make_predictor(loaded, None if labels is None else labels[part], weak)

    return draw_samples_from(
        loaded.model,
        loaded.diffusion,
        config,
        shape,
        device=loaded.device,
        seed=seed,
        start=start,
        progress=progress,
        predictor=predictor,
    )


def make_predictor(
    loaded: LoadedModel, labels: NDArray[np.int64] | None = None, weak: LoadedModel | None = None
) -> Model:
    """Return the predictor of images of given classes, guided as the run's settings say.

    Args:
        loaded, weak: as for `draw_samples`.
        labels: classes of the images that it will be called with, [N]; None predicts without labels.
    """
    config = loaded.config.sample
    asked = None if labels is None else torch.from_numpy(labels).to(loaded.device)
    guide = partial(label_predictor, loaded.model)
    if weak is not None:
        guide = partial(autoguided, loaded.model, weak.model)
    return guide(loaded.diffusion, asked, guidance=config.guidance, interval=config.guidance_interval)


def draw_samples_from(
    model: Model,
    diffusion: GaussianDiffusion,
    config: SampleConfig,
    shape: tuple[int, ...],
    *,
    device: torch.device,
    seed: int = 0,
    start: Start | None = None,
    progress: Progress | None = None,
    predictor: Callable[[slice], Model] | None = None,
) -> NDArray[np.float32]:
    """Draw samples with any network in eval mode; for a run's network they are those of `draw_samples`.

    Seed, start, progress, result and errors are as in `draw_samples`.

    Args:
        model: the network, on `device`.
        diffusion: the process that the network was trained to reverse.
        config: sampler, steps, eta, spacing and clipping; its other settings are not used.
        shape: [count, C, H, W].
        device: device of the computation.
        predictor: returns the predictor of some of the images; None takes the network for all.
    """
    count, *image = shape
    options = SamplerOptions(
        steps=config.steps, eta=config.eta, spacing=config.spacing, levels=config.levels, clip=config.clip
    )
    timesteps = timesteps_for(diffusion, options)
    calls = len(timesteps)
    generator = torch.Generator().manual_seed(seed)
    added = generator if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    drawn = []
    for index, size in enumerate(sizes):
        noise = torch.randn((size, *image), generator=generator).to(device)
        noise = starting_state(model, noise, timesteps[0]) if start is None else start(noise, index * BATCH)
        final = noise
        called = model if predictor is None else predictor(slice(index * BATCH, index * BATCH + size))
        for state in run_sampler(config.sampler, called, diffusion, noise, options, generator=added):
            final = state.xt
            if progress is not None:
                progress(index * calls + state.index, len(sizes) * calls)
        drawn.append(final.cpu())
    images: NDArray[np.float32] = torch.cat(drawn).numpy()
    return images


def labels_in_proportion(labels: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Return labels of `count` samples in the proportions of a data set's labels [N], in random order: int64 [count].

    Sorted labels are taken at equal distances, so each class has its share of `count`, rounded.
    """
    positions = (np.arange(count) + 0.5) / count * len(labels)
    chosen = np.sort(labels)[positions.astype(np.int64)]
    return np.random.default_rng([seed, 3]).permutation(chosen)


def to_unit(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip images to [-1, 1] and scale them to [0, 1]."""
    return ((images.clip(-1, 1) + 1) / 2).astype(np.float32, copy=False)
