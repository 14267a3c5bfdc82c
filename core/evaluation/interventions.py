"""Samples of one checkpoint drawn in several ways, from which the causes of bad samples follow.

Noises of all ways are the same, so that differences between the ways are those of pairs.
"""

from typing import Final

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor

from core.config import SampleConfig
from core.evaluation.evaluator import Evaluator, timestamp
from core.evaluation.metrics.noise_error import noise_error
from core.evaluation.sampling import draw_samples_from, to_unit
from core.runs import RunDirectory
from core.runs.interventions import Drawn, Interventions, Way
from core.sampling_names import SAMPLERS_WITH_ETA
from core.statistics.gaussian_sampling import MAX_DIMENSIONS
from core.statistics.linear_denoiser import LinearDenoiser
from core.training.checkpoint import LoadedModel, load_model, read_checkpoint

FINER: Final = 4
"""Times as many network calls as the run's own sampling takes; at least `FINER_CALLS`, at most T."""
FINER_CALLS: Final = 40


def finer_steps(steps: int, timesteps: int) -> int:
    """Return the network calls of the finer sampling of a run."""
    return min(timesteps, max(FINER * steps, FINER_CALLS))


def quiet(config: SampleConfig) -> SampleConfig | None:
    """Return the same sampling without added noise; None if it adds none."""
    if config.sampler == "ddpm":
        return replace(config, sampler="ddim", eta=0.0)
    if config.sampler in SAMPLERS_WITH_ETA and config.eta > 0:
        return replace(config, eta=0.0)
    return None


def plan(run: RunDirectory, evaluator: Evaluator, *, count: int, seed: int = 0) -> tuple[object, ...]:
    """Return what `Interventions.settings` will be of `intervene` with these arguments."""
    config = run.read().config
    _, position = read_checkpoint(run, "model.nothing")
    timesteps = config.schedule.timesteps
    steps = config.sample.steps or timesteps
    return (
        position.step,
        evaluator.images.name,
        min(count, len(evaluator.heldout)),
        seed,
        config.sample.sampler,
        steps,
        finer_steps(steps, timesteps),
    )


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
    steps = sample.steps or loaded.diffusion.timesteps
    finer = finer_steps(steps, loaded.diffusion.timesteps)
    count = min(count, len(evaluator.heldout))
    starts = _Starts(loaded, evaluator, count, seed)
    more = replace(sample, steps=finer)
    ways: dict[Way, tuple[SampleConfig, Tensor]] = {
        "own": (sample, starts.noise),
        "images": (sample, starts.images()),
        "finer": (more, starts.noise),
        "images+finer": (more, starts.images()),
    }
    if (gaussian := starts.gaussian()) is not None:
        ways["gaussian"] = (sample, gaussian)
    if (without := quiet(sample)) is not None:
        ways["quiet"] = (without, starts.noise)
    drawn = _draw(loaded, evaluator, ways, seed)
    with evaluator.stage("measuring noise errors", "images") as progress:
        _, curves = noise_error(
            loaded, evaluator.images.heldout[:count], evaluator.images.train, seed=seed, progress=progress
        )
    real = evaluator.real_sample(count)
    test = evaluator.copies(drawn["own"])
    return Interventions(
        created=timestamp(),
        epoch=loaded.position.epoch,
        step=loaded.position.step,
        dataset=evaluator.images.name,
        count=count,
        seed=seed,
        sampler=sample.sampler,
        steps=steps,
        finer_steps=finer,
        drawn={way: _reduce(evaluator, images) for way, images in drawn.items()},
        real=_reduce(evaluator, real),
        copies=test.copies.value,
        copy_z=test.z.value,
        measure="area" if evaluator.has_triangles else "brightness",
        curves=curves,
    )


def _draw(
    loaded: LoadedModel, evaluator: Evaluator, ways: dict[Way, tuple[SampleConfig, Tensor]], seed: int
) -> dict[Way, NDArray[np.float32]]:
    calls = {way: config.steps or loaded.diffusion.timesteps for way, (config, _) in ways.items()}
    drawn: dict[Way, NDArray[np.float32]] = {}
    with evaluator.stage("sampling in several ways", "network calls") as progress:
        for way, (config, start) in ways.items():
            before = sum(calls[earlier] for earlier in drawn)

            def report(done: int, total: int, before: int = before, own: int = calls[way]) -> None:
                progress(before + own * done // total, sum(calls.values()))

            images = draw_samples_from(
                loaded.model,
                loaded.diffusion,
                config,
                tuple(start.shape),
                device=loaded.device,
                seed=seed,
                starts=start,
                progress=report,
            )
            drawn[way] = to_unit(images)
    return drawn


def _reduce(evaluator: Evaluator, images: NDArray[np.float32]) -> Drawn:
    return Drawn(kinds=evaluator.kinds(images).tolist(), brightness=float(images.mean()))


class _Starts:
    """States at the last timestep from which samples are drawn."""

    def __init__(self, loaded: LoadedModel, evaluator: Evaluator, count: int, seed: int) -> None:
        self._loaded, self._evaluator, self._count = loaded, evaluator, count
        generator = torch.Generator().manual_seed(seed)
        self.noise = torch.randn((count, *loaded.shape), generator=generator)
        """[count, C, H, W], standard normal: how every sampling of the run starts."""
        self._generator = generator

    def images(self) -> Tensor:
        """Return held-out images noised to the last timestep, with `noise`, [count, C, H, W]."""
        images = torch.from_numpy(self._evaluator.heldout[: self._count] * 2 - 1)
        t = torch.full((self._count,), self._loaded.diffusion.timesteps - 1)
        return self._loaded.diffusion.q_sample(images, t, self.noise)

    def gaussian(self) -> Tensor | None:
        """Return draws from a Gaussian with the mean and covariance of noised training images, [count, C, H, W].

        None for images of more than `MAX_DIMENSIONS` numbers, whose covariance takes minutes.
        """
        if self.noise[0].numel() > MAX_DIMENSIONS:
            return None
        denoiser = LinearDenoiser.fit(self._evaluator.images.train)
        z = torch.randn(self.noise[0].numel(), self._count, generator=self._generator, dtype=torch.float64)
        deviations = denoiser.vectors @ (np.sqrt(denoiser.variances)[:, None] * z.numpy())
        images = torch.from_numpy((denoiser.mean[:, None] + deviations).T.astype(np.float32))
        t = torch.full((self._count,), self._loaded.diffusion.timesteps - 1)
        return self._loaded.diffusion.q_sample(images.reshape(self.noise.shape), t, self.noise)
