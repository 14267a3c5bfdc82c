"""Runs of every version of the format, saved as files. Each must stay readable.

Where the format changes, `FORMAT_VERSION` grows, a fixture of the new one is added, and those that are here stay.
"""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from core.cli.describe import read_epochs, run_details_json, run_row, run_text
from core.imaging import read_sheet
from core.launch import control
from core.runs import MetricsTail, RunDirectory, RunStore, State, latest_evaluation
from core.training.checkpoint import has_checkpoint, load_model, make_diffusion, recover_checkpoint
from core.training.loop import Trainer
from tests.support import ROOT
from tui.state.reader import RunsReader

FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a copy, because readers may lock."""
    shutil.copytree(FIXTURES / "run-v1", tmp_path / "runs" / "run-v1")
    return RunDirectory(tmp_path / "runs" / "run-v1")


def test_a_run_of_version_one_is_listed_and_shown(run: RunDirectory) -> None:
    (info,) = RunStore(run.path.parent).infos()
    assert (info.state, info.status.epoch, info.status.step, info.file.tags) == (
        State.FINISHED,
        2,
        6,
        ("kept",),
    )
    assert info.file.config.schedule.name == "x^1.5"
    assert info.file.config.train.seed == 7
    epochs = read_epochs(info)
    assert [record.epoch for record in epochs] == [1, 2]
    assert run_row(info, epochs)[1:3] == ("finished", "2/2")
    assert "x^1.5" in run_text(info, epochs)
    assert run_details_json(info, epochs)["files"]["checkpoint"]
    snapshot = RunsReader(run.path.parent).poll()
    assert snapshot is not None
    assert snapshot.runs[0].losses.shape == (6,)


def test_its_numbers_images_and_evaluation_are_read(run: RunDirectory) -> None:
    tail = MetricsTail(run.metrics_file)
    assert tail.poll()
    assert tail.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(tail.losses).all()
    assert tail.damaged == 0
    assert [epoch for epoch, _ in run.sample_sheets()] == [0, 1, 2]
    assert read_sheet(run.sample_sheets()[2][1]).images.shape == (3, 32, 32)
    assert read_sheet(run.reverse_strips()[0][1]).images.shape == (6, 32, 32)
    evaluation = latest_evaluation(run)
    assert evaluation is not None
    assert evaluation.metrics["balanced_pass_rate"].low == 0.1
    assert evaluation.metrics["copy_z"].value is None
    assert evaluation.curves["loss_by_timestep"] == [0.5, None, 0.25]


def test_its_network_computes_the_same_output(run: RunDirectory) -> None:
    loaded = load_model(run)
    assert loaded.shape == (1, 32, 32)
    assert (loaded.position.epoch, loaded.position.step) == (2, 6)
    with torch.no_grad():
        output = loaded.model(torch.zeros(1, 1, 32, 32), torch.tensor([3]))
    assert output.mean().item() == pytest.approx(MEAN, rel=1e-3)
    assert make_diffusion(loaded.config).timesteps == 20


def test_its_training_can_be_resumed(run: RunDirectory, tmp_path: Path) -> None:
    control.resume(run, epochs=3)
    assert run.read_status().state is State.QUEUED
    assert has_checkpoint(run)
    tensors, position = recover_checkpoint(run)
    images = FakeImages(np.zeros((24, 1, 32, 32), np.uint8), np.zeros((8, 1, 32, 32), np.uint8))
    trainer = Trainer(run.read().config, images, torch.device("cpu"))  # type: ignore[arg-type]  # all it looks at
    trainer.restore(tensors, position, run)
    assert len(list(trainer.reports())) >= 2
    assert (trainer.epoch, trainer.step) == (3, 9)


class FakeImages(msgspec.Struct):
    train: np.ndarray
    heldout: np.ndarray
    channels: int = 1
    size: int = 32


MEAN = -0.44477
"""Of the frozen network's output for a grey image at t = 3."""
