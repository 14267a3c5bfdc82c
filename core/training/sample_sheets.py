"""What a run draws as it learns: sheets of samples and strips of the reverse process, always from the same noises."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from core.config.schema import SampleConfig
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import run_sampler
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.runs import RunDirectory
from core.training.loop import Trainer

_SHEET_COLUMNS = 8


def draw_noises(run: RunDirectory, trainer: Trainer) -> None:
    """Write the starting noises as the sheet of epoch 0."""
    _write_samples(run, trainer, 0, trainer_noise(trainer))


def starting_noises(sample: SampleConfig, shape: tuple[int, int, int]) -> torch.Tensor:
    """The noises [N, C, H, W] from which a run's pictures start: a function of `sample.seed`, on the CPU."""
    count = max(sample.count, sample.reverse_count)
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(sample.seed))


def sampler_generator(sample: SampleConfig) -> torch.Generator:
    """What draws the noise that a sampler adds between a run's starting noises and its pictures."""
    return torch.Generator().manual_seed(sample.seed + 1)


def trainer_noise(trainer: Trainer) -> torch.Tensor:
    """The starting noises [N, C, H, W], where the training is."""
    shape = (trainer.channels, trainer.size, trainer.size)
    return starting_noises(trainer.config.sample, shape).to(trainer.device)


def draw_missing(run: RunDirectory, trainer: Trainer, tick: Callable[[], bool]) -> None:
    """Draw what a stop made `draw_epoch` give up, where the training stands at that epoch's end."""
    sheet_due, strip_due = _due(trainer)
    there = [file.exists() for file in _files(run, trainer.epoch)]
    if (
        trainer.batch == 0
        and trainer.epoch > 0
        and ((sheet_due and not there[0]) or (strip_due and not there[1]))
    ):
        draw_epoch(run, trainer, tick)


def draw_epoch(run: RunDirectory, trainer: Trainer, tick: Callable[[], bool]) -> None:
    """Write the samples of the epoch that just ended, and a strip where one is due.

    Args:
        run: where to.
        trainer: what draws.
        tick: called after each call of the network; pictures are given up when it says True.
    """
    sample, epoch = trainer.config.sample, trainer.epoch
    sheet_due, strip_due = _due(trainer)
    if not sheet_due:
        return
    states = []
    options = SamplerOptions(steps=sample.steps, eta=sample.eta, spacing=sample.spacing, clip=sample.clip)
    with trainer.evaluating():
        steps = run_sampler(
            sample.sampler,
            trainer.model,
            trainer.diffusion,
            trainer_noise(trainer),
            options,
            generator=sampler_generator(sample),
        )
        for state in steps:
            if tick():
                return
            if strip_due:
                states.append(state.xt[: sample.reverse_count].cpu())
            final = state.xt
    _write_samples(run, trainer, epoch, final)
    if strip_due:
        shown = np.linspace(0, len(states) - 1, min(sample.reverse_states, len(states))).round().astype(int)
        # Strips side by side: a row is one start, from x_T to x_0.
        rows = torch.stack([states[i] for i in shown], dim=1).flatten(0, 1)
        run.reverse.mkdir(exist_ok=True)
        write_sheet(
            _files(run, epoch)[1],
            to_channels_last(to_pixels(rows.numpy())),
            columns=len(shown),
            meta={"epoch": str(epoch), "schedule": trainer.config.schedule.name},
        )


def _due(trainer: Trainer) -> tuple[bool, bool]:
    """Whether the epoch that ended last has a sheet of samples, and whether it has a strip."""
    sample, epoch = trainer.config.sample, trainer.epoch
    last = epoch == trainer.config.train.epochs
    strip = last or epoch % sample.reverse_every == 0
    return strip or epoch % sample.every == 0, strip


def _files(run: RunDirectory, epoch: int) -> tuple[Path, Path]:
    """The sheet and the strip of an epoch."""
    return run.samples / f"epoch-{epoch:04d}.png", run.reverse / f"epoch-{epoch:04d}.png"


def _write_samples(run: RunDirectory, trainer: Trainer, epoch: int, images: torch.Tensor) -> None:
    count = trainer.config.sample.count
    run.samples.mkdir(exist_ok=True)
    write_sheet(
        _files(run, epoch)[0],
        to_channels_last(to_pixels(images[:count].cpu().numpy())),
        columns=min(count, _SHEET_COLUMNS),
        meta={"epoch": str(epoch), "schedule": trainer.config.schedule.name},
    )
