"""Sheets of samples and strips of the reverse process that a run writes, always from the same initial noise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from core.config.schema import SampleConfig
from core.diffusion.guidance import cycled_labels, label_predictor
from core.diffusion.models.centred import starting_state
from core.diffusion.samplers.base import Model, SamplerOptions, timesteps_for
from core.diffusion.samplers.registry import run_sampler
from core.files.outputs import make_folder
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.imaging.sheet_classes import class_columns, cycled_classes
from core.runs import RunDirectory
from core.training.loop import Trainer

_SHEET_COLUMNS = 8


def write_noise_sheet(run: RunDirectory, trainer: Trainer) -> None:
    """Write the initial noise as the sheet of epoch 0."""
    _write_sample_sheet(run, trainer, 0, _trainer_noise(trainer))


def initial_noise(sample: SampleConfig, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return the initial noise of a run's samples, [N, C, H, W]: a function of `sample.seed`, drawn on the CPU."""
    count = max(sample.count, sample.reverse_count)
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(sample.seed))


def sampler_generator(sample: SampleConfig, device: torch.device) -> torch.Generator:
    """Return the generator of the noise that a sampler adds after the initial noise, on the device of the images."""
    return torch.Generator(device).manual_seed(sample.seed + 1)


def sampling_predictor(trainer: Trainer, count: int) -> Model:
    """Return the predictor that draws samples of a training; with labels, image i is of class i mod K.

    Args:
        trainer: the training.
        count: number of images.
    """
    if not trainer.labels:
        return trainer.captured.network if trainer.captured else trainer.model
    sample = trainer.config.sample
    return label_predictor(
        trainer.model,
        trainer.diffusion,
        cycled_labels(count, trainer.labels.classes).to(trainer.device),
        guidance=sample.guidance,
        interval=sample.guidance_interval,
    )


def _trainer_noise(trainer: Trainer) -> torch.Tensor:
    """Return the initial noise, [N, C, H, W], on the device of the training."""
    shape = (trainer.channels, trainer.size, trainer.size)
    return initial_noise(trainer.config.sample, shape).to(trainer.device)


def write_missing_sheets(run: RunDirectory, trainer: Trainer, should_stop: Callable[[], bool]) -> None:
    """Write the sheets that `write_epoch_sheets` gave up because of a stop, if the training is at that epoch's end."""
    missing = any(
        due and not path.exists()
        for due, path in zip(_due(trainer), _sheet_paths(run, trainer.epoch), strict=True)
    )
    if trainer.batch == 0 and trainer.epoch > 0 and missing:
        write_epoch_sheets(run, trainer, should_stop)


def remove_later_sheets(run: RunDirectory, epoch: int) -> None:
    """Remove sheets and strips of epochs after `epoch`, which a killed worker drew and which will be trained again."""
    for number, path in run.sample_sheets() + run.reverse_strips():
        if number > epoch and not path.is_dir():
            path.unlink(missing_ok=True)


def write_epoch_sheets(run: RunDirectory, trainer: Trainer, should_stop: Callable[[], bool]) -> None:
    """Sample after an epoch if a sheet is due, and write the sheet, and a strip if one is due.

    Args:
        run: the run to write to.
        trainer: a training at the end of an epoch.
        should_stop: called after each network call; sampling is given up once it returns True.
    """
    sample, epoch = trainer.config.sample, trainer.epoch
    sheet_due, strip_due = _due(trainer)
    if not sheet_due:
        return
    states = []
    options = SamplerOptions(
        steps=sample.steps, eta=sample.eta, spacing=sample.spacing, levels=sample.levels, clip=sample.clip
    )
    noise = _trainer_noise(trainer)
    with trainer.eval_mode():
        steps = run_sampler(
            sample.sampler,
            sampling_predictor(trainer, len(noise)),
            trainer.diffusion,
            starting_state(trainer.model, noise, timesteps_for(trainer.diffusion, options)[0]),
            options,
            generator=sampler_generator(sample, trainer.device),
        )
        for state in steps:
            if should_stop():
                return
            if strip_due:
                states.append(state.xt[: sample.reverse_count])  # fetched together, after the last
            final = state.xt
    _write_sample_sheet(run, trainer, epoch, final)
    if strip_due:
        shown = np.linspace(0, len(states) - 1, min(sample.reverse_states, len(states))).round().astype(int)
        # Each row is one image, from x_T to x_0.
        rows = torch.stack([states[i] for i in shown], dim=1).flatten(0, 1).cpu()
        make_folder(run.reverse)
        write_sheet(
            _sheet_paths(run, epoch)[1],
            to_channels_last(to_pixels(rows.numpy())),
            columns=len(shown),
            meta={"epoch": str(epoch), "schedule": trainer.config.schedule.name},
        )


def sheet_due(trainer: Trainer) -> bool:
    """Return whether the last complete epoch has a sheet of samples."""
    return _due(trainer)[0]


def _due(trainer: Trainer) -> tuple[bool, bool]:
    """Return whether the last complete epoch has a sheet of samples, and whether it has a strip."""
    sample, epoch = trainer.config.sample, trainer.epoch
    last = trainer.budget.is_last(epoch)
    strip = last or epoch % sample.reverse_every == 0
    return strip or epoch % sample.every == 0, strip


def _sheet_paths(run: RunDirectory, epoch: int) -> tuple[Path, Path]:
    """Return the paths of the sheet and the strip of an epoch."""
    return run.samples / f"epoch-{epoch:04d}.png", run.reverse / f"epoch-{epoch:04d}.png"


def _write_sample_sheet(run: RunDirectory, trainer: Trainer, epoch: int, images: torch.Tensor) -> None:
    count = trainer.config.sample.count
    names = trainer.class_names
    make_folder(run.samples)
    write_sheet(
        _sheet_paths(run, epoch)[0],
        to_channels_last(to_pixels(images[:count].cpu().numpy())),
        columns=min(count, class_columns(len(names), _SHEET_COLUMNS)),
        meta={"epoch": str(epoch), "schedule": trainer.config.schedule.name} | cycled_classes(count, names),
    )
