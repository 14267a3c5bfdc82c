"""Files that are written whole or not at all, and locks that end with their holder."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path, *, fsync: bool = True) -> Iterator[Path]:
    """A path to write to; it takes the place of `path` when the block ends well, else it vanishes.

    Whoever reads `path`, at any time and even after a kill -9, sees the old file or the new one, whole.

    Args:
        path: the file to replace; its folder is made when missing.
        fsync: whether the new file must survive a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if fsync:
            _sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsync:
        sync_folder(path.parent)


def atomic_write(path: Path, data: bytes | str, *, fsync: bool = True) -> None:
    """Replace a file's content as a whole; see `atomic_path`. Text is written as UTF-8."""
    with atomic_path(path, fsync=fsync) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def try_flock(handle: int) -> bool:
    """Take an exclusive flock if nobody has it; False when somebody has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def same_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that its path names."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
