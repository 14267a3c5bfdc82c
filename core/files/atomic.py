"""Files that are written whole or not at all, and locks that end with their holder."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError


@contextlib.contextmanager
def atomic_path(path: Path, *, fsync: bool = True) -> Iterator[Path]:
    """A path to write to; it takes the place of `path` when the block ends well, else it vanishes.

    Whoever reads `path`, at any time and even after a kill -9, sees the old file or the new one, whole. Its folder
    must be there, and is not made: a run that was deleted must not come back as one file.

    Args:
        path: the file to replace.
        fsync: whether the new file must survive a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    # Exclusive, so that in a folder that others may write to nobody's link is followed.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        yield temporary
        if fsync:
            _fsync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsync:
        fsync_directory(path.parent)


def atomic_write(path: Path, data: bytes | str, *, fsync: bool = True) -> None:
    """Replace a file's content as a whole; see `atomic_path`. Text is written as UTF-8."""
    with atomic_path(path, fsync=fsync) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def try_flock(handle: int) -> bool:
    """Take an exclusive flock if nobody has it; False when somebody has.

    Raises:
        UserError: the file system has no locks.
    """
    return _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait_for_flock(handle: int) -> None:
    """Take an exclusive flock as soon as nobody has it.

    Raises:
        UserError: the file system has no locks.
    """
    _flock(handle, fcntl.LOCK_EX)


def is_same_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that its path names."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def fsync_directory(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def _fsync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
