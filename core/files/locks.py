"""Exclusive file locks (flock), which the system releases when their holder ends, even by kill -9.

Where flock is missing, or holds on one host only, a lease (`core.files.leases`) is the lock.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.leases import Lease, take_lease
from core.files.lock_reach import Reach, lock_reach
from core.files.outputs import open_no_follow

_RETRY_SECONDS: Final = 0.01
_MISSING: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class NoLocksError(UserError):
    """The file system has no flock."""


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process holds.

    Attributes:
        handle: descriptor of the lock file.
        path: its path.
        lease: the lease that was taken besides or instead of an flock; None where flock is enough.
    """

    handle: int
    path: Path
    lease: Lease | None

    @property
    def is_same(self) -> bool:
        """True while the file at the path is the one that was locked; its folder may be removed meanwhile."""
        return is_same_file(self.handle, self.path)


@contextlib.contextmanager
def hold_lock(path: Path, *, wait: float = 0.0) -> Iterator[HeldLock | None]:
    """Hold the lock of a path on all hosts that see it; yields None if another process holds it.

    Args:
        path: the lock file, created if missing.
        wait: seconds to retry for; infinite waits.

    Raises:
        OSError: the file cannot be opened, or its folder not be written.
        UserError: locks fail for another reason than that the file system has none.
    """
    deadline = time.monotonic() + wait
    handle = open_lock_file(path)
    lease: Lease | None = None
    try:
        needs_lease = lock_reach(path.parent)[0] is Reach.THIS_HOST
        try:
            is_held = try_flock(handle, wait=wait)
        except NoLocksError:
            is_held = needs_lease = True
        if is_held and needs_lease:
            lease = take_lease(path, wait=deadline - time.monotonic())
            is_held = lease is not None
        yield HeldLock(handle, path, lease) if is_held else None
    finally:
        if lease is not None:
            lease.release()
        os.close(handle)


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
        kind = NoLocksError if error.errno in _MISSING else UserError
        raise kind(
            f"this file system has no locks that work ({error.strerror or error}), without which two processes could "
            "write one run; keep runs elsewhere, with --runs"
        ) from error
    return True
