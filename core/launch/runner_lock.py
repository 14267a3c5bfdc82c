"""The two locks of a runs folder: one for its runner, and one held while a group of runs is enqueued."""

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from core.errors import UserError
from core.files.locks import hold_lock, is_locked, is_same_file, open_lock_file, try_flock
from core.files.untrusted import open_regular
from core.runs.process import ProcessIdentity, is_alive

_ACQUIRE_WAIT: Final = 5.0
_PROBE_WAIT: Final = 0.05
"""Seconds to wait for processes that only look whether the lock is held, which takes microseconds."""
_SIZE_LIMIT: Final = 4096


class RunnerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The runner of a runs folder, as written to the lock file."""

    identity: ProcessIdentity
    device: str
    slots: int | None


class RunnerLock:
    """The lock that the one runner of a runs folder holds."""

    def __init__(self, path: Path, handle: int, info: RunnerInfo) -> None:
        self._path = path
        self._handle = handle
        self._info = info

    def announce(self) -> None:
        """Write this runner's identity: processes that queue a run from now on rely on it."""
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, msgspec.json.encode(self._info), 0)

    def retract(self) -> None:
        """Erase this runner's identity: processes that queue a run from now on start another runner."""
        os.ftruncate(self._handle, 0)

    def is_ours(self) -> bool:
        """Return whether the lock file is still the one held: the runs folder may have been deleted or recreated."""
        return is_same_file(self._handle, self._path)


def read_runner(root: Path | str) -> RunnerInfo | None:
    """Return what the runner last wrote, alive or not (see `runner_is_alive`); None if there is no runner."""
    try:
        with open_regular(Path(root) / ".queue.lock") as file:
            return msgspec.json.decode(file.read(_SIZE_LIMIT), type=RunnerInfo)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def runner_is_alive(root: Path | str, info: RunnerInfo | None = None) -> bool | None:
    """Return whether a queue runner serves a runs folder; None for one on another host, as it is unknown.

    Args:
        root: the runs folder.
        info: its runner, if read already. In a copied folder this is the runner of the original.
    """
    info = info or read_runner(root)
    if info is None:
        return False
    alive = is_alive(info.identity)
    return is_locked(Path(root) / ".queue.lock") if alive else alive


@contextlib.contextmanager
def hold_runner_lock(root: Path, *, device: str, slots: int | None) -> Iterator[RunnerLock | None]:
    """Become the runner of a folder and announce it; yields None if a live runner holds the lock.

    A runner that has erased its identity is about to leave or to come back, so this waits for it.

    Raises:
        UserError: the folder cannot be written.
    """
    path = root / ".queue.lock"
    handle = _acquire(path)
    if handle is None:
        yield None
        return
    try:
        lock = RunnerLock(
            path, handle, RunnerInfo(identity=ProcessIdentity.current(), device=device, slots=slots)
        )
        lock.announce()
        try:
            yield lock
        finally:
            lock.retract()
    finally:
        os.close(handle)


def _acquire(path: Path) -> int | None:
    deadline = time.monotonic() + _ACQUIRE_WAIT
    while True:
        handle = _open(path)
        if try_flock(handle, wait=_PROBE_WAIT) and is_same_file(handle, path):
            return handle
        os.close(handle)
        if runner_is_alive(path.parent) or time.monotonic() >= deadline:
            return None
        time.sleep(0.02)


@contextlib.contextmanager
def hold_enqueue_lock(root: Path, *, for_runner: bool = True) -> Iterator[None]:
    """Enqueue several runs as one group: no runner reads the folder until the block ends.

    Args:
        root: the runs folder; created if missing.
        for_runner: a queue runner is to start the runs, which needs a file system with flock.

    Raises:
        UserError: the folder cannot be written, or has no flock.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: cannot be made ({error.strerror or error})") from error
    if for_runner:
        handle = _open(root / ".enqueue.lock")
        try:
            try_flock(handle)  # raises where there is none
        finally:
            os.close(handle)
    with _hold(root / ".enqueue.lock", wait=math.inf):
        yield


@contextlib.contextmanager
def try_enqueue_lock(root: Path) -> Iterator[bool]:
    """Read the folder while no group is enqueued; yields False if one is, and then the runner retries soon."""
    with _hold(root / ".enqueue.lock") as acquired:
        yield acquired


@contextlib.contextmanager
def _hold(path: Path, *, wait: float = 0.0) -> Iterator[bool]:
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(hold_lock(path, wait=wait))
        except OSError as error:
            raise UserError(f"{path.parent}: cannot be written ({error.strerror or error})") from error
        yield held is not None


def _open(path: Path) -> int:
    try:
        return open_lock_file(path)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror or error})") from error
