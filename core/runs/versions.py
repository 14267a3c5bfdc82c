"""Checks of a run's files before they are read: their size, and the version that wrote them."""

import stat
from pathlib import Path
from typing import Final

import msgspec

from core.errors import UserError
from core.runs.status import FORMAT_VERSION

SIZE_LIMIT: Final = 1 << 20
"""Bytes. A larger run.toml or status.json was not written by this program."""


class Versioned(msgspec.Struct):
    """The version in a file of any version."""

    format_version: int = FORMAT_VERSION


def require_small_file(path: Path) -> None:
    """Refuse what is no file, or larger than `SIZE_LIMIT`.

    Raises:
        UserError: it is, or it cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: expected a file, found something else")
    if found.st_size > SIZE_LIMIT:
        raise UserError(f"{path}: {found.st_size:,} bytes; no run has one that large")


def require_known_version(path: Path, version: object) -> None:
    """Refuse the file of a newer version.

    Raises:
        UserError: it is newer.
    """
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{path}: made by a newer ddpm-tui (format {version}, this one reads {FORMAT_VERSION}): upgrade"
        )
