"""Atomic replacement of files: a reader sees the old content or the new one, never a part."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FLUSHES_AT_ONCE: Final = 16


@contextlib.contextmanager
def atomic_path(path: Path, *, fsync: bool = True) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds, and is deleted otherwise.

    A reader of `path` sees the old file or the new one, whole, at any time and even after a kill -9. The parent
    folder must exist. It is never created, because a deleted run must not come back as a single file.

    Args:
        path: the file to replace.
        fsync: whether the new file must survive a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    # Exclusive, so that no link is followed in a folder that others may write to.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        yield temporary
        if fsync:
            fsync_path(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsync:
        fsync_path(path.parent)


def atomic_write(path: Path, data: bytes | str, *, fsync: bool = True) -> None:
    """Replace a file's whole content; see `atomic_path`. Text is written as UTF-8."""
    with atomic_path(path, fsync=fsync) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_new_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that must not exist yet, and flush it to the disk. An interrupted write leaves a partial file.

    For files of a folder that is itself renamed into place; elsewhere use `atomic_write`.
    """
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def fsync_path(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_paths(paths: Iterable[Path]) -> None:
    """Make many files and folders survive a power cut. The file system writes those that wait together at once."""
    from concurrent.futures import ThreadPoolExecutor  # here, because few commands need it

    with ThreadPoolExecutor(_FLUSHES_AT_ONCE) as threads:
        for _ in threads.map(fsync_path, paths):
            pass
