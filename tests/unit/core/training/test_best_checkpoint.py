"""Weights of the best epoch: kept beside the last checkpoint, never of a later step, and right after any kill."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from core.cli.runs import show
from core.errors import UserError
from core.launch import control
from core.runs import MetricsTail, RunDirectory, State
from core.training import best_checkpoint, checkpoint_writer
from core.training.best_checkpoint import PENDING_NAME
from core.training.checkpoint import load_model, read_best_checkpoint, read_checkpoint
from core.training.loop import Trainer
from core.training.worker import Worker
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here

LOSSES = (0.0, 0.5, 0.3, 0.2, 0.4, 0.4, 0.4, 0.4)
"""Held-out loss after each epoch; the third is the best."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    monkeypatch.setattr(Trainer, "heldout_loss", lambda trainer, *_: LOSSES[trainer.epoch])
    make_tiny_set(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def run_of(home: Path, **train: Any) -> RunDirectory:
    return new_tiny_run(home, **{"every": 9, "epochs": 5, "ema_decay": 0.5, "keep_best": True} | train)


def test_the_averaged_weights_of_the_best_epoch_are_kept_and_can_be_sampled(home: Path) -> None:
    run, until = run_of(home), run_of(home, epochs=3, keep_best=False)
    assert train_here(run) == train_here(until) == 0
    weights, position = read_best_checkpoint(run)
    assert (position.epoch, position.monitor, position.monitored) == (3, "heldout", 0.2)
    assert position.trained_with == read_checkpoint(run)[1].trained_with
    assert {name.partition(".")[0] for name in weights} == {"model"}
    best, last = load_model(run, checkpoint="best").model, load_model(until).model
    assert all(torch.equal(a, b) for a, b in zip(best.parameters(), last.parameters(), strict=True))
    assert run.best_checkpoint.stat().st_size < run.checkpoint.stat().st_size / 2
    assert sorted(path.name for path in run.checkpoint.parent.iterdir()) == [
        "best.safetensors", "last.safetensors", "previous.safetensors",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"keeps no best checkpoint; train with --set train.keep_best=true"):
        load_model(until, checkpoint="best")
    text = CliRunner().invoke(show, [str(run.path)]).output
    assert "held-out loss 0.2: best in epoch 3" in text
    assert "best kept" in text
    run.best_checkpoint.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"the last checkpoint may be whole: --checkpoint last"):
        load_model(run, checkpoint="best")


def test_a_kill_at_any_place_of_the_writing_leaves_what_a_resume_makes_the_same(home: Path) -> None:
    calm = run_of(home, epochs=4, checkpoint_seconds=1e-6)
    assert train_here(calm) == 0
    for place, best in (("pending written", 2), ("checkpoint written", 2), ("in place", 3)):
        killed = run_of(home, epochs=4, checkpoint_seconds=1e-6)
        pid = os.fork()
        if not pid:
            _train_and_die(killed, place)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        before = read_best_checkpoint(killed)[1]
        assert before.step <= read_checkpoint(killed)[1].step
        assert before.epoch == best
        control.resume(killed)
        assert train_here(killed) == 0
        for read in (read_best_checkpoint, read_checkpoint):
            mine, other = read(killed)[0], read(calm)[0]
            assert mine.keys() == other.keys()
            assert all(torch.equal(mine[name], other[name]) for name in other)
        assert not killed.best_checkpoint.with_name(PENDING_NAME).exists()


def _train_and_die(run: RunDirectory, place: str) -> None:
    """Train in a fork that ends without any cleaning up, as by kill -9, while the third epoch's files are written."""
    real_save, real_take = checkpoint_writer.save_checkpoint, best_checkpoint.BestCheckpoint._take_place

    def save(run: RunDirectory, tensors: Any, position: Any) -> None:
        if place == "pending written" and position.epoch == 3:
            assert run.best_checkpoint.with_name(PENDING_NAME).exists()
            os._exit(9)
        real_save(run, tensors, position)

    def take(keeper: Any) -> None:
        is_third = read_checkpoint(run)[1].epoch == 3
        if place == "in place" or not is_third:
            real_take(keeper)
        if is_third:
            os._exit(9)

    checkpoint_writer.save_checkpoint = save  # type: ignore[assignment]
    best_checkpoint.BestCheckpoint._take_place = take  # type: ignore[method-assign]
    checkpoint_writer.CheckpointWriter.is_due_at_epoch_end = lambda self: True  # type: ignore[method-assign]
    os._exit(train_here(run))


def test_best_weights_of_a_step_that_will_be_trained_again_are_removed(home: Path) -> None:
    run = run_of(home, epochs=2)
    assert train_here(run) == 0
    later = run_of(home)
    assert train_here(later) == 0
    os.replace(later.best_checkpoint, run.best_checkpoint)  # as if the last two checkpoints were lost
    keeper = best_checkpoint.BestCheckpoint(run, run.read().config.train)
    keeper.resume(read_checkpoint(run)[1].step)
    assert not run.best_checkpoint.exists()


def test_a_full_disk_takes_the_previous_checkpoint_and_then_fails_the_run_as_for_any_checkpoint(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(home, checkpoint_seconds=1e-6)
    full: list[bool] = []

    def save_tensors(path: Path, *arguments: Any, **named: Any) -> None:
        full.append(run.previous_checkpoint.exists())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(best_checkpoint, "save_tensors", save_tensors)
    assert train_here(run) == 3
    assert full == [False]
    assert "free some space, then resume" in run.read_status().error
    assert not list(run.checkpoint.parent.glob(".*"))
    monkeypatch.undo()
    monkeypatch.setenv("DDPM_DATA", str(home))
    monkeypatch.setattr(Trainer, "heldout_loss", lambda trainer, *_: LOSSES[trainer.epoch])
    assert train_here(run) == 0
    assert read_best_checkpoint(run)[1].epoch == 3


def test_a_plateau_ends_the_run_as_finished_and_says_so_also_after_a_kill_before_its_last_images(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(home, epochs=7, stop_on_plateau=3)
    real = Worker._should_stop_sampling

    with monkeypatch.context() as patch:

        def die(worker: Worker) -> bool:
            if worker.status.epoch == 6:
                raise OSError(errno.EIO, "the power is cut")
            return real(worker)

        patch.setattr(Worker, "_should_stop_sampling", die)
        assert train_here(run) == 3
    assert train_here(run) == 0
    status = run.read_status()
    assert (status.state, status.epoch, status.ended_by) == (State.FINISHED, 6, "train.stop_on_plateau = 3")
    assert status.ending == "no better since epoch 3, worse beyond noise"
    assert [epoch for epoch, _ in run.sample_sheets()] == [0, 6]
    tail = MetricsTail(run.metrics_file, epochs_only=True)
    tail.poll()
    assert len(tail.epochs) == 6
    with pytest.raises(UserError, match=r"no better since epoch 3.*raise that in"):
        control.resume(run, epochs=9)
