"""Guarantees of docs/reliability.md about checkpoints that need no worker."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from core.errors import UserError
from core.runs import (
    RunDirectory,
    State,
)
from core.training.checkpoint import Position, read_checkpoint, recover_checkpoint, save_checkpoint
from tests.support.fake_runs import make_run

POSITION = Position(epoch=1, batch=0, step=5, losses=[], elapsed=1.0, metrics_offset=9, channels=1, size=8)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", state=State.QUEUED, epoch=0, images=False)


def save(run: RunDirectory, step: int) -> None:
    position = msgspec.structs.replace(POSITION, step=step)
    save_checkpoint(run, {"model.a": torch.full((100,), float(step)), "rng": torch.zeros(3)}, position)


def test_the_checkpoint_before_the_last_is_kept(run: RunDirectory) -> None:
    save(run, 1)
    assert not run.previous_checkpoint.exists()
    save(run, 2)
    save(run, 3)
    assert read_checkpoint(run)[1].step == 3
    run.checkpoint.unlink()
    assert read_checkpoint(run)[1].step == 2
    assert sorted(path.name for path in run.checkpoint.parent.iterdir()) == ["previous.safetensors"]


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed_and_the_one_before_taken(
    run: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    save(run, 1)
    save(run, 2)
    data = run.checkpoint.read_bytes()
    for place in range(8, len(data), 7):
        run.checkpoint.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        caplog.clear()
        tensors, position = read_checkpoint(run)
        assert (position.step, tensors["model.a"][0]) in ((1, 1.0), (2, 2.0))
        if position.step == 1:
            assert "taking the previous checkpoint, of step 1" in caplog.text


def test_checksums_cannot_be_lost_by_damage_to_their_name(run: RunDirectory) -> None:
    save(run, 1)
    save(run, 2)
    data = run.checkpoint.read_bytes()
    damaged = data.replace(b"crc32", b"brc32").replace(b'\\"step\\":2', b'\\"step\\":3')
    assert sum(a != b for a, b in zip(data, damaged, strict=True)) == 2
    run.checkpoint.write_bytes(damaged)
    assert read_checkpoint(run)[1].step == 1


@pytest.mark.parametrize("at", ["link", "replace", "second replace"])
def test_last_and_previous_are_two_whole_files_wherever_a_save_is_cut_short(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """If they were one file, a rename of one over the other would do nothing, and damage would affect both."""
    save(run, 1)
    save(run, 2)
    real, left = os.replace, [2 if at == "second replace" else 1]

    def die(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(*_)

    monkeypatch.setattr(os, at.split()[-1], die)
    with pytest.raises(KeyboardInterrupt):
        save(run, 3)
    monkeypatch.undo()
    assert read_checkpoint(run)[1].step == (3 if at == "second replace" else 2)
    assert not run.checkpoint.samefile(run.previous_checkpoint)
    run.checkpoint.write_bytes(b"rubbish")
    assert read_checkpoint(run)[1].step == 1


def test_who_goes_on_from_the_previous_checkpoint_makes_it_the_last_so_that_it_is_not_lost(
    run: RunDirectory,
) -> None:
    save(run, 1)
    save(run, 2)
    run.checkpoint.write_bytes(b"rubbish")
    assert recover_checkpoint(run)[1].step == 1
    save(run, 2)
    run.checkpoint.unlink()
    assert read_checkpoint(run)[1].step == 1


def test_two_damaged_checkpoints_are_an_error_that_says_how_to_begin_again(run: RunDirectory) -> None:
    save(run, 1)
    save(run, 2)
    run.checkpoint.write_bytes(b"rubbish")
    run.previous_checkpoint.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"move .*checkpoints away to train from the beginning"):
        read_checkpoint(run)


def test_a_checkpoint_of_a_newer_version_asks_for_an_upgrade_and_nothing_older_is_taken(
    run: RunDirectory,
) -> None:
    save(run, 1)
    tensors = {"rng": torch.zeros(3)}
    save_checkpoint(run, tensors, msgspec.structs.replace(POSITION, format_version=2))
    with pytest.raises(UserError, match=r"made by a newer ddpm-tui \(format 2, this one reads 1\): upgrade"):
        read_checkpoint(run)


def test_a_checkpoint_may_be_read_by_whom_the_umask_lets(run: RunDirectory) -> None:
    before = os.umask(0o022)
    try:
        save(run, 1)
    finally:
        os.umask(before)
    assert run.checkpoint.stat().st_mode & 0o777 == 0o644


def test_a_full_disk_takes_the_previous_checkpoint_before_the_training(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 1)
    save(run, 2)
    import core.training.checkpoint as module

    real, calls = module.save_file, []

    def full_once(*arguments: Any, **options: Any) -> None:
        calls.append(run.previous_checkpoint.exists())
        if len(calls) == 1:
            raise module.SafetensorError("I/O error: No space left on device (os error 28)")
        real(*arguments, **options)

    monkeypatch.setattr(module, "save_file", full_once)
    save(run, 3)
    assert calls == [True, False]
    assert read_checkpoint(run)[1].step == 3
