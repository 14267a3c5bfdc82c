"""Samples evaluated while training goes on: metrics in the record of their epoch, and nothing else changes."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from core.cli.runs import show
from core.config import RunConfig
from core.config.consistency import check_consistent
from core.data import load_dataset
from core.errors import UserError
from core.evaluation.epoch_quality import epoch_quality
from core.evaluation.evaluator import evaluate_images
from core.runs import MetricsTail, RunDirectory
from core.training import epoch_samples
from core.training.checkpoint import read_best_checkpoint
from tests.support.tiny_runs import new_tiny_run, train_here


def epochs_of(run: RunDirectory) -> MetricsTail:
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    return tail


def with_samples(run: RunDirectory, **train: Any) -> RunDirectory:
    file = run.read()
    config = msgspec.structs.replace(
        file.config,
        sample=msgspec.structs.replace(file.config.sample, evaluate_count=8),
        train=msgspec.structs.replace(file.config.train, **train),
    )
    check_consistent(config)
    run.write_run_file(msgspec.structs.replace(file, config=config))
    return run


def test_epochs_with_a_sheet_have_the_metrics_of_their_samples_and_the_training_is_the_same(
    home: Path,
) -> None:
    plain = new_tiny_run(home, every=2, epochs=2)
    run = with_samples(new_tiny_run(home, every=2, epochs=2), monitor="balanced_pass_rate", keep_best=True)
    assert train_here(plain) == train_here(run) == 0
    mine, other = epochs_of(run), epochs_of(plain)
    assert mine.losses.tolist() == other.losses.tolist()
    assert [sorted(record.quality) for record in mine.epochs] == [
        [],
        ["area_distance", "balanced_pass_rate"],
    ]
    assert [record.quality for record in other.epochs] == [{}, {}]
    assert b'"q"' not in plain.metrics_file.read_bytes()
    best = read_best_checkpoint(run)[1]
    assert (best.monitor, best.epoch) == ("balanced_pass_rate", 2)
    assert "balanced pass" in CliRunner().invoke(show, [str(run.path)]).output


def test_the_numbers_are_those_of_an_evaluation_of_the_same_images(home: Path) -> None:
    images = load_dataset("tiny", data_dir=home, workers=1)
    samples = np.random.default_rng(0).integers(0, 256, images.train.shape, dtype=np.uint8)
    found = epoch_quality(samples, images.heldout, images.path)
    metrics, _ = evaluate_images((samples / np.float32(255)).astype(np.float32), images, groups=("shape",))
    assert found == {name: metrics[name] for name in found}


def test_an_evaluation_that_fails_costs_an_epoch_its_metrics_and_not_the_run_its_life(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 2, b"", b"no memory is left\n")

    monkeypatch.setattr(epoch_samples.subprocess, "run", fail)
    run = with_samples(new_tiny_run(home, every=2, epochs=2))
    assert train_here(run) == 0
    assert [record.quality for record in epochs_of(run).epochs] == [{}, {}]
    assert "epoch 2: its samples could not be evaluated: no memory is left" in capsys.readouterr().err


def test_a_monitored_metric_that_is_not_measured_is_refused_with_what_to_set() -> None:
    train = msgspec.structs.replace(RunConfig().train, monitor="area_distance")
    with pytest.raises(UserError, match=r"no samples are evaluated; set sample.evaluate_count .* such as 64"):
        check_consistent(RunConfig(train=train))
