"""Leases: locks for file systems whose flock is missing, or holds on one host only. They need only exclusive creation.

A lease of `.lock` is a file `.lock-N` beside it. The highest N is the lock: its holder renews the file's time, and
renames it to `.lock-N.free` at the end. Who wants a lock that is free, or that was not renewed for `EXPIRY`, creates
`.lock-(N+1)`, which only one of several can. So N is a fence token: a holder that was cut off and comes back finds a
higher one, and must not write any more.

Ages are measured by the file system's clock, because clocks of hosts differ.
"""

import contextlib
import os
import re
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Final

EXPIRY: Final = 60.0
"""Seconds without renewal after which a lease may be taken over."""
RENEWAL: Final = 10.0
"""Seconds between two renewals."""
_RETRY_SECONDS: Final = 0.1
_OWNER_BYTES: Final = 512


class Lease:
    """A lease that this process holds; a thread renews it until it is released."""

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._number = path, number
        self._file = _file(path, number)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def is_ours(self) -> bool:
        """Return whether no other process has taken the lease over."""
        number, is_free = _latest(self._path)
        return number == self._number and not is_free

    def release(self) -> None:
        """Let another process have the lock."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # taken over, or removed together with its folder
            os.rename(self._file, f"{self._file}.free")

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL):
            with contextlib.suppress(OSError):
                os.utime(self._file)


def take_lease(path: Path, *, wait: float = 0.0) -> Lease | None:
    """Take the lease of a lock, retrying for `wait` seconds; None if another process holds it.

    Args:
        path: the lock; its folder must exist.
        wait: seconds.

    Raises:
        OSError: the folder cannot be read or written.
    """
    deadline = time.monotonic() + wait
    while True:
        number, is_free = _latest(path)
        if is_free or _is_abandoned(_file(path, number)):
            lease = _create(path, number + 1)
            if lease is not None:
                return lease
        elif time.monotonic() >= deadline:
            return None
        time.sleep(_RETRY_SECONDS)


def _create(path: Path, number: int) -> Lease | None:
    file = _file(path, number)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return None
    with os.fdopen(handle, "wb") as output:
        output.write(f"{socket.gethostname()} {os.getpid()}\n".encode())
    if _latest(path)[0] != number:  # others were faster, more than once
        file.unlink(missing_ok=True)
        return None
    for entry in _entries(path):
        if entry[0] < number:
            with contextlib.suppress(OSError):
                os.unlink(entry[1])
    return Lease(path, number)


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}-{number}")


def _entries(path: Path) -> list[tuple[int, str, bool]]:
    """Return number, path and whether it is free, of each lease."""
    pattern = re.compile(re.escape(path.name) + r"-(\d{1,18})(\.free)?")
    with os.scandir(path.parent) as found:
        matches = [(pattern.fullmatch(entry.name), entry.path) for entry in found]
    return [(int(match[1]), name, bool(match[2])) for match, name in matches if match]


def _latest(path: Path) -> tuple[int, bool]:
    """Return the highest number and whether it is free; 0 and True if there is none."""
    number, _, is_free = max(_entries(path), default=(0, "", True))
    return number, is_free


def _is_abandoned(file: Path) -> bool:
    """Return whether the holder is gone: its process, if it was one of this host, or else its renewals."""
    try:
        words = file.read_bytes()[:_OWNER_BYTES].decode(errors="replace").split()
        if len(words) == 2 and words[0] == socket.gethostname() and words[1].isdecimal():
            try:
                os.kill(int(words[1]), 0)
            except (ProcessLookupError, OverflowError):
                return True
            except PermissionError:
                pass
        return _now_there(file.parent) - file.stat().st_mtime > EXPIRY
    except FileNotFoundError:  # freed or taken over meanwhile
        return False


def _now_there(folder: Path) -> float:
    """Return the time by the file system's own clock, which is that of a server for a network's."""
    probe = folder / f".now-{secrets.token_hex(4)}.tmp"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)
