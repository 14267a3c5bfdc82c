"""Exclusive file locks (flock), which the system releases when their holder ends, even by kill -9."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.outputs import open_no_follow

_RETRY_SECONDS: Final = 0.01


def open_lock_file(path: Path) -> int:
    """Open a lock file, created if missing, and return its descriptor. A link or a pipe in its place is refused.

    Raises:
        OSError: it cannot be opened.
    """
    return open_no_follow(path, os.O_RDWR | os.O_CREAT)


def try_flock(handle: int, *, wait: float = 0.0) -> bool:
    """Take an exclusive flock, retrying for `wait` seconds; False if another process holds it.

    Raises:
        UserError: the file system has no locks.
    """
    deadline = time.monotonic() + wait
    while not _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_RETRY_SECONDS)
    return True


def wait_for_flock(handle: int) -> None:
    """Take an exclusive flock, waiting as long as another process holds it.

    Raises:
        UserError: the file system has no locks.
    """
    _flock(handle, fcntl.LOCK_EX)


def is_locked(path: Path) -> bool:
    """Return whether another process holds an exclusive flock on a file; True if that cannot be found out.

    For an instant this takes a shared lock. Who takes the lock meanwhile must try again.
    """
    try:
        handle = open_no_follow(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not _flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except UserError:
        return True
    finally:
        os.close(handle)


def is_same_file(handle: int, path: Path) -> bool:
    """Return whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _flock(handle: int, operation: int) -> bool:
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"this file system has no locks that work ({error.strerror or error}), without which two processes could "
            "write one run; keep runs elsewhere, with --runs"
        ) from error
    return True
