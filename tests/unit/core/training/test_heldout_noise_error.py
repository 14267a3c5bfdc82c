"""Noise-prediction error of averaged weights on held-out images, after the epochs with a sheet of samples."""

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from core.data import load_dataset
from core.runs import EpochRecord, MetricsTail, RunDirectory
from core.schedules import make_schedule
from core.statistics.noise_error_bins import BINS, EDGES
from core.training import attempt
from core.training.augmentation import scale
from core.training.heldout_noise_error import IMAGES_PER_LEVEL, heldout_noise_error, level_timesteps
from core.training.loop import StepsReport, Trainer
from tests.support.tiny_runs import new_tiny_run, train_here


def epochs_of(run: RunDirectory) -> list[EpochRecord]:
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    return tail.epochs


def trained(home: Path, steps: int = 2) -> Trainer:
    """A training after a few steps, whose averaged weights differ from the weights."""
    config = new_tiny_run(home, ema_decay=0.9).read().config
    trainer = Trainer(config, load_dataset("tiny", data_dir=home, workers=1), torch.device("cpu"))
    next(report for report in trainer.reports(lambda: trainer.step >= steps))
    return trainer


def losses_of(trainer: Trainer) -> list[float]:
    """Train to the end, and return the losses of the steps."""
    return [loss for report in trainer.reports() if isinstance(report, StepsReport) for loss in report.losses]


@pytest.mark.parametrize("name", ["linear", "x^10", "edm", "flow"])
def test_each_bin_that_the_schedule_reaches_has_the_timestep_nearest_to_its_centre(name: str) -> None:
    log_snr = make_schedule(name=name, timesteps=1000).log_snr
    chosen = log_snr[level_timesteps(log_snr)].tolist()
    finite = log_snr[np.isfinite(log_snr)]
    edges = [-np.inf, *EDGES[1:-1], np.inf]
    centres = [(low + high) / 2 for low, high in pairwise(EDGES)]
    for (low, high), centre in zip(pairwise(edges), centres, strict=True):
        inside = finite[(low <= finite) & (finite < high)]
        if len(inside):
            assert chosen.pop(0) == inside[np.abs(inside - centre).argmin()]
    assert chosen == []


def test_a_schedule_of_pure_noise_alone_has_no_levels() -> None:
    assert level_timesteps(np.array([-np.inf])).shape == (0,)


def test_the_error_is_that_of_the_averaged_weights_and_the_training_goes_on_as_if_it_had_not_been_measured(
    home: Path,
) -> None:
    trainer, other = trained(home), trained(home)
    bins = heldout_noise_error(trainer)
    assert bins == heldout_noise_error(trainer)
    levels = level_timesteps(trainer.diffusion.schedule.log_snr)
    assert 0 < len(levels) < BINS
    assert sum(bins.images) == len(levels)  # few training images afford one image a level
    assert IMAGES_PER_LEVEL > 1

    eps = torch.randn((len(levels), 1, 8, 8), generator=torch.Generator().manual_seed(0))
    x0, t = scale(trainer.heldout[np.arange(len(levels)) % 4]), torch.from_numpy(levels)
    xt = trainer.diffusion.q_sample(x0, t, eps)
    with trainer.eval_mode():
        predicted = trainer.diffusion.predict_eps(trainer.model(xt, t), xt, t)
    errors = (eps - predicted).square().mean((1, 2, 3)).tolist()
    assert bins.curve()[1] == pytest.approx(errors, rel=1e-4)
    trainer.ema = None
    assert heldout_noise_error(trainer).error != bins.error

    trainer.ema = trained(home).ema
    assert losses_of(trainer) == losses_of(other)


def test_epochs_with_a_sheet_have_it_and_a_resumed_run_writes_the_same_lines(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_tiny_run(home, every=2, epochs=4)
    assert train_here(whole) == 0
    records = epochs_of(whole)
    assert [record.heldout_noise_error is not None for record in records] == [False, True, False, True]
    assert all(record.noise_error is not None for record in records)
    assert whole.metrics_file.read_bytes().count(b'"heldout_noise"') == 2

    broken = new_tiny_run(home, every=2, epochs=2)
    assert train_here(broken) == 0
    file = broken.read()
    longer = msgspec.structs.replace(file.config.train, epochs=4)
    broken.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, train=longer))
    )
    assert train_here(broken) == 0
    assert [record.heldout_noise_error for record in epochs_of(broken)] == [
        record.heldout_noise_error for record in records
    ]

    monkeypatch.setattr(attempt, "heldout_noise_error", lambda *_: None)
    without = new_tiny_run(home, every=2, epochs=4)
    assert train_here(without) == 0
    assert [record.noise_error for record in epochs_of(without)] == [record.noise_error for record in records]
