"""Checkpoints in the background: when they are written, how many bytes, and where their errors end up."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from core.runs import MetricsTail, RunDirectory, State, Status
from core.training import checkpoint, checkpoint_writer
from core.training.checkpoint import Position, has_checkpoint, read_checkpoint
from core.training.checkpoint_writer import CheckpointWriter, take_snapshot
from core.training.distributed import SingleProcess
from core.training.loop import Trainer
from core.training.noise_error import SUMS
from core.training.worker import Worker
from tests.support.fake_runs import make_run
from tests.support.tiny_runs import new_tiny_run, train_here

POSITION = Position(
    epoch=1, batch=0, step=5, losses=[], elapsed=1.0, metrics_offset=0, channels=1, size=8, seeding="step"
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", state=State.QUEUED, epoch=0, images=False)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each checkpoint that is written."""
    sizes: list[int] = []
    real = checkpoint.save_file

    def save_file(tensors: dict[str, torch.Tensor], path: str, metadata: Any) -> None:
        real(tensors, path, metadata=metadata)
        sizes.append(Path(path).stat().st_size)

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    return sizes


# When


def test_a_hundred_short_epochs_write_two_checkpoints(
    home: Path, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_step(trainer: Trainer, order: torch.Tensor) -> torch.Tensor:
        trainer.step += 1
        trainer.batch += 1
        return torch.full((1 + SUMS,), 0.5)

    monkeypatch.setattr(Trainer, "_train_step", train_step)
    monkeypatch.setattr(Trainer, "heldout_loss", lambda *_: 0.5)
    run = new_tiny_run(home, every=100, epochs=100)
    assert train_here(run) == 0
    assert len(written) == 2
    assert sum(written) <= 2.1 * run.checkpoint.stat().st_size
    assert read_checkpoint(run)[1].epoch == 100


def test_checkpoints_are_due_by_time_and_at_the_end_of_an_epoch_rather_than_soon_after(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now[0])

    def due_after(epoch: float, *seconds: float) -> list[bool]:
        """Ask at the end of an epoch of so many seconds, so long after the last checkpoint."""
        found = []
        for ended in seconds:
            now[0] = 0.0
            writer = CheckpointWriter(run, 60.0)
            writer._epoch_ended = ended - epoch
            now[0] = ended
            found.append(writer.is_due_at_epoch_end())
        return found

    assert due_after(5.0, 5.0, 54.0, 55.0, 60.0) == [False, False, True, True]
    assert due_after(90.0, 29.0, 30.0, 60.0) == [False, True, True]
    now[0] = 0.0
    writer = CheckpointWriter(run, 60.0)
    now[0] = 59.9
    assert not writer.is_due()
    now[0] = 60.0
    assert writer.is_due()


def test_none_is_due_while_one_is_written_and_the_interval_begins_at_its_end(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    now = [0.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now[0])
    with CheckpointWriter(run, 10.0) as writer:
        writer.write({"model.a": torch.ones(3)}, POSITION, go_on.wait)
        now[0] = 100.0
        assert not writer.is_due()
        assert not writer.is_due_at_epoch_end()
        assert not has_checkpoint(run)
        go_on.set()
        writer.wait()
        assert has_checkpoint(run)
        assert not writer.is_due()
        now[0] = 110.0
        assert writer.is_due()


def test_a_stop_writes_the_position_once(home: Path, written: list[int]) -> None:
    run = new_tiny_run(home, epochs=3)
    assert train_here(run) == 0
    run = new_tiny_run(home, epochs=3)
    with run.claim(device="cpu", threads=1) as status:
        worker = Worker(run, status, SingleProcess())
        real = worker._on_epoch

        def stop_at_the_end_of_the_first(*arguments: Any) -> None:
            worker.stop_requested = True
            real(*arguments)

        worker._on_epoch = stop_at_the_end_of_the_first  # type: ignore[method-assign]
        written.clear()
        assert worker.train() is State.STOPPED
    assert len(written) == 1
    assert (read_checkpoint(run)[1].epoch, read_checkpoint(run)[1].batch) == (1, 0)


def test_samples_of_epochs_that_are_trained_again_are_removed_and_then_the_same(home: Path) -> None:
    calm, broken = new_tiny_run(home, epochs=4), new_tiny_run(home, epochs=4)
    assert train_here(calm) == 0

    with pytest.MonkeyPatch.context() as patch:
        real = Worker._on_epoch

        def die_after_three(worker: Worker, report: Any, *rest: Any) -> None:
            real(worker, report, *rest)
            if report.epoch == 3:
                raise OSError(errno.EIO, "the power is cut")

        patch.setattr(Worker, "_on_epoch", die_after_three)
        assert train_here(broken) == 3
    assert read_checkpoint(broken)[1].epoch == 1
    assert [epoch for epoch, _ in broken.sample_sheets()] == [0, 1, 2, 3]
    seen: list[list[int]] = []
    with pytest.MonkeyPatch.context() as patch:
        real_reports = Trainer.reports

        def reports(trainer: Trainer, *arguments: Any) -> Any:
            seen.append([epoch for epoch, _ in broken.sample_sheets() + broken.reverse_strips()])
            return real_reports(trainer, *arguments)

        patch.setattr(Trainer, "reports", reports)
        assert train_here(broken) == 0
    assert seen == [[0, 1, 1]]
    for mine, other in zip(
        calm.sample_sheets() + calm.reverse_strips(),
        broken.sample_sheets() + broken.reverse_strips(),
        strict=True,
    ):
        assert mine[1].read_bytes() == other[1].read_bytes()
    tails = [MetricsTail(one.metrics_file) for one in (calm, broken)]
    assert all(tail.poll() for tail in tails)
    assert np.array_equal(tails[0].losses, tails[1].losses)
    assert [record.epoch for record in tails[1].epochs] == [1, 2, 3, 4]


def test_the_time_of_training_stays_while_a_resume_is_prepared_and_if_it_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_tiny_run(home)
    assert train_here(run) == 0
    with run.lock():
        run.write_status(msgspec.structs.replace(run.read_status(), elapsed=100.0))
    shown: list[float] = []
    real = RunDirectory.write_status

    def write_status(self: RunDirectory, status: Status, **options: Any) -> None:
        shown.append(status.elapsed)
        real(self, status, **options)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(RunDirectory, "write_status", write_status)
    monkeypatch.setattr(Worker, "_resume_or_begin", refuse)
    assert train_here(run) == 3
    assert len(shown) > 3
    assert set(shown) == {100.0}


# How


def test_what_is_written_is_the_state_at_the_call_whatever_training_does_then(run: RunDirectory) -> None:
    go_on = threading.Event()
    kernel = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = kernel.clone()
    with CheckpointWriter(run, 1.0) as writer:
        writer.write({"model.a": kernel, "optimizer.0.0.step": torch.tensor(3.0)}, POSITION, go_on.wait)
        kernel.zero_()
        go_on.set()
    tensors, position = read_checkpoint(run)
    assert torch.equal(tensors["model.a"], before)
    assert position == POSITION


def test_a_checkpoint_that_was_read_frees_its_disk_space_once_it_is_replaced(run: RunDirectory) -> None:
    saved = torch.rand(1 << 16)
    checkpoint.save_checkpoint(run, {"model.a": saved}, POSITION)
    tensors, _ = read_checkpoint(run)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(run.checkpoint) not in maps.read_text()
    assert torch.equal(tensors["model.a"], saved)


def test_an_error_of_the_thread_is_raised_in_the_training_and_only_once(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state = {"model.a": torch.ones(3)}

    def write_and(then: Callable[[], object]) -> None:
        with CheckpointWriter(run, 1.0) as writer:
            writer.write(state, POSITION, lambda: None)
            then()

    def fail() -> None:
        raise ValueError("training's own")

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", full)
    writer = CheckpointWriter(run, 1.0)
    for end in (writer.wait, lambda: writer.write(state, POSITION, lambda: None)):
        writer.write(state, POSITION, lambda: None)
        with pytest.raises(OSError, match="No space left"):
            end()
        writer.check()
    with pytest.raises(OSError, match="No space left"):
        write_and(lambda: None)
    with pytest.raises(ValueError, match="training's own"):
        write_and(fail)
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoint"]


def test_a_run_whose_disk_is_full_fails_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_tiny_run(home)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_writer, "save_checkpoint", full)
        assert train_here(run) == 3
    status = run.read_status()
    assert status.state is State.FAILED
    assert "No space left on device: free some space, then resume" in status.error
    assert train_here(run) == 0
    assert read_checkpoint(run)[1].epoch == 3


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_without_room_on_the_gpu_or_in_pinned_memory_the_state_is_copied_at_once(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: Any) -> None:
        raise error("CUDA error: out of memory")

    monkeypatch.setattr(checkpoint_writer, "_cuda_snapshot", refuse)
    weight = torch.ones(3)
    on_gpu = SimpleNamespace(device=torch.device("cuda", 0), detach=weight.detach)
    snapshot = take_snapshot({"a": on_gpu})  # type: ignore[dict-item]
    weight.zero_()
    assert torch.equal(snapshot()["a"], torch.ones(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_snapshot_is_of_the_call_and_in_pinned_memory() -> None:
    weight = torch.rand(1 << 20, device="cuda")
    before = weight.cpu()
    snapshot = take_snapshot({"a": weight, "b": torch.ones(3)})
    weight.zero_()
    tensors = snapshot()
    assert torch.equal(tensors["a"], before)
    assert tensors["a"].is_pinned()
    assert torch.equal(tensors["b"], torch.ones(3))
