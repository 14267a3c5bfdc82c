"""Faults of storage: full disks, folders that are read-only or gone, and files changed by others."""

import contextlib
import ctypes
import errno
import fcntl
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from core.errors import UserError
from core.launch.queue import enqueue
from core.runs import RunDirectory, State
from core.training import checkpoint_writer
from tests.faults import tiny
from tests.faults.lab import NotPossibleHereError, fault, wait_for_exit

NOBODY = 65534
DISK = 8 << 20
"""Bytes of the small disk: space for three checkpoints of the tiny network, but not for four."""


@contextlib.contextmanager
def _little_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system in memory of a few MiB, if permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = folder / "disk"
    place.mkdir()
    if libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, f"size={DISK}".encode()):
        raise NotPossibleHereError("mounting a small file system needs root")
    try:
        yield place
    finally:
        libc.umount2(os.fsencode(place), 2)


@fault("disk full at a random instant", times=25, short=1)
def disk_full(folder: Path, rng: random.Random) -> None:
    with _little_disk(folder) as disk:
        run = tiny.new_run(disk)
        pid = tiny.start(run)
        tiny.wait_until(lambda: tiny.state(run) is State.RUNNING or tiny.state(run).is_ended, "the worker")
        time.sleep(rng.uniform(0, 0.5) * tiny.duration())
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        code = wait_for_exit(pid, 60.0)
        if code != 0:  # else it had written everything before
            assert code == 3, run.log.read_text()
            status = run.read_status()
            assert status.state is State.FAILED, status
            assert "No space left" in status.error, status
            assert "free some space, then resume" in status.error, status
        filler.unlink()
        tiny.resume_and_compare(run)


@fault("file size limit, as of a quota, at a random instant", times=15)
def file_size_limit(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    time.sleep(rng.uniform(0, 0.8) * tiny.duration())
    resource.prlimit(
        pid, resource.RLIMIT_FSIZE, (20_000, 20_000)
    )  # a status or a line fits, a checkpoint does not
    code = wait_for_exit(pid, 60.0)
    if code != 0:
        assert run.read_status().state is State.FAILED, run.log.read_text()
        assert "File too large" in run.read_status().error
    tiny.resume_and_compare(run)


def _as_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _give_to_nobody(root: Path) -> None:
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def _set_writable(run: RunDirectory, writable: bool) -> None:
    for folder in (run.path, run.samples, run.reverse, run.checkpoint.parent):
        if folder.exists():
            folder.chmod(0o755 if writable else 0o555)


@fault("folder becomes read-only at a random instant", times=15, short=1)
def read_only(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    _give_to_nobody(run.path.parent)
    pid = tiny.start(run, _as_nobody)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    time.sleep(rng.uniform(0, 0.8) * tiny.duration())
    _set_writable(run, False)
    code = wait_for_exit(pid, 60.0)
    # The worker cannot write that it failed: readers find its process gone, and the log has the error.
    if code != 0:
        assert tiny.state(run) is State.CRASHED
        assert "make the folder writable again, then resume" in run.log.read_text()
    _set_writable(run, True)
    tiny.check_files(run)
    if tiny.state(run) is not State.FINISHED:
        tiny.resume(run)
        _give_to_nobody(run.path.parent)
        assert tiny.finish(run, _as_nobody) == 0, run.log.read_text()
    tiny.assert_undisturbed(run)


@fault("folder that cannot be written from the start", times=3)
def never_writable(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    _give_to_nobody(run.path.parent)
    run.log.touch()
    _set_writable(run, False)
    assert tiny.finish(run, _as_nobody) == 2
    _set_writable(run, True)
    tiny.resume_and_compare(run)


@fault("folder deleted under a live run", times=15, short=1)
def deleted(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder, tiny.config(epochs=1000))
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is State.RUNNING, "the worker")
    time.sleep(rng.uniform(0, 0.5))
    while run.path.exists():
        shutil.rmtree(run.path, ignore_errors=True)
    assert wait_for_exit(pid, 30.0) == 3, "the worker goes on without a folder"
    assert not run.path.exists(), f"the folder is back: {list(run.path.rglob('*'))}"


@fault("folder moved under a live run", times=10)
def moved(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    time.sleep(rng.uniform(0, 0.8) * tiny.duration())
    elsewhere = RunDirectory(run.path.with_name("moved"))
    os.rename(run.path, elsewhere.path)
    assert wait_for_exit(pid, 30.0) in (0, 2, 3)
    assert not run.path.exists()
    tiny.resume_and_compare(elsewhere)


@fault("I/O error at a random write", times=20, short=1)
def io_error(folder: Path, rng: random.Random) -> None:
    run, left = tiny.new_run(folder), [rng.randint(1, 30)]
    real = os.fsync

    def failing(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(handle)

    def sabotage() -> None:
        os.fsync = failing

    code = tiny.finish(run, sabotage)
    assert code in (0, 2, 3)
    if code == 3:
        assert run.read_status().state is State.FAILED
        assert "Input/output error" in run.read_status().error
    tiny.resume_and_compare(run)


@fault("slow disk", times=5)
def slow_disk(folder: Path, rng: random.Random) -> None:
    run, real = tiny.new_run(folder), os.fsync

    def slow(handle: int) -> None:
        time.sleep(rng.uniform(0.0, 0.1))
        real(handle)

    def sabotage() -> None:
        os.fsync = slow

    assert tiny.finish(run, sabotage) == 0
    tiny.assert_undisturbed(run)


def _refuse(number: int) -> Any:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@fault("file system without hard links, kill -9", times=10)
def no_links(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)

    def sabotage() -> None:
        os.link = _refuse(errno.EPERM)

    tiny.kill_after(tiny.start(run, sabotage), rng.uniform(0, tiny.duration()))
    tiny.resume_and_compare(run)


@fault("file system that cannot rename over a file", times=3)
def no_rename(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)

    def sabotage() -> None:
        os.replace = _refuse(errno.EEXIST)

    assert tiny.finish(run, sabotage) == 2
    assert "File exists" in run.log.read_text()
    assert tiny.state(run) is State.QUEUED
    tiny.resume_and_compare(run)


@fault("file system without locks", times=3)
def no_locks(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)

    def sabotage() -> None:
        fcntl.flock = _refuse(errno.ENOLCK)

    assert tiny.finish(run, sabotage) == 0, "a lease replaces the lock"
    with (
        mock.patch("fcntl.flock", _refuse(errno.ENOTSUP)),
        pytest.raises(UserError, match="keep runs elsewhere, with --runs"),
    ):
        enqueue(folder / "runs", [tiny.config()], group="g")
    tiny.resume_and_compare(run)


@fault("last checkpoint changed on disk", times=40, short=1)
def damaged_checkpoint(folder: Path, rng: random.Random) -> None:
    """After a flipped bit, a truncated, an empty or a missing file, the previous checkpoint gives the same training."""
    run, left = tiny.new_run(folder), [rng.randint(2, tiny.STEPS)]
    real = checkpoint_writer.save_checkpoint

    def sabotage() -> None:
        def save(*arguments: Any) -> None:
            real(*arguments)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint_writer.save_checkpoint = save

    assert tiny.finish(run, sabotage) == -signal.SIGKILL
    data = bytearray(run.checkpoint.read_bytes())
    place = rng.randrange(len(data))
    match rng.randrange(4):
        case 0:
            data[place] ^= 1 << rng.randrange(8)
            run.checkpoint.write_bytes(data)
        case 1:
            run.checkpoint.write_bytes(data[:place])
        case 2:
            run.checkpoint.write_bytes(b"")
        case 3:
            run.checkpoint.unlink()
    tiny.resume(run)
    assert tiny.finish(run) == 0, run.log.read_text()
    assert "taking the previous checkpoint" in run.log.read_text()
    tiny.assert_undisturbed(run)


@fault("status lost or cut off by a power cut", times=12, short=1)
def lost_status(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    code = tiny.kill_after(tiny.start(run), rng.uniform(0.2, 0.9) * tiny.duration())
    data = run.status_file.read_bytes()
    if rng.random() < 0.3:
        run.status_file.unlink()
    else:
        run.status_file.write_bytes(data[: rng.randrange(len(data) - 2)])
    assert "core runs resume" in tiny.listing(run)
    tiny.control.resume(run)
    assert tiny.finish(run) == 0, (code, run.log.read_text())
    tiny.assert_undisturbed(run)


@fault("metrics cut off by a power cut", times=12)
def cut_metrics(folder: Path, rng: random.Random) -> None:
    """Only lines after the last checkpoint can be lost, because it syncs the earlier ones."""
    run = tiny.new_run(folder)
    code = tiny.kill_after(tiny.start(run), rng.uniform(0.3, 0.9) * tiny.duration())
    if code == -signal.SIGKILL and run.metrics_file.exists():
        size = run.metrics_file.stat().st_size
        kept = tiny.read_checkpoint(run)[1].metrics_offset if run.checkpoint.exists() else 0
        os.truncate(run.metrics_file, rng.randint(min(kept, size), size))
    tiny.resume_and_compare(run)
