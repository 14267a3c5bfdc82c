"""Signatures of files: values of stat that change when a file is replaced or appended to."""

import os
from pathlib import Path
from typing import NamedTuple


class FileSignature(NamedTuple):
    """Inode, modification time in nanoseconds and size in bytes of a file at one moment."""

    inode: int
    mtime_ns: int
    size: int

    @classmethod
    def from_stat(cls, stat: os.stat_result) -> "FileSignature":
        """Take the signature from a stat result."""
        return cls(stat.st_ino, stat.st_mtime_ns, stat.st_size)


def signature(path: Path) -> FileSignature | None:
    """Return the signature of a file or folder; None if there is none that can be accessed."""
    try:
        return FileSignature.from_stat(os.stat(path))
    except OSError:
        return None
