"""Opening of outputs in folders that may come from a stranger: a link or a pipe in their place is refused."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_REFUSALS: Final = {
    errno.ELOOP: "is a link, and a link is not written through: remove it",
    errno.ENXIO: "is a pipe, expected a file: remove it",
}


def open_output(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a regular file for writing, created if missing. Nothing is waited for, and no link is followed.

    Args:
        path: the file; its folder should come from `make_folder`.
        append: keep the content and write behind it.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device.
    """
    handle = open_no_follow(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0))
    try:
        if not append:
            os.ftruncate(handle, 0)
        return os.fdopen(handle, "ab" if append else "wb")
    except BaseException:
        os.close(handle)
        raise


def open_no_follow(path: Path | str, flags: int) -> int:
    """Open a regular file and return its descriptor. Nothing is waited for, and no link is followed.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device.
    """
    try:
        handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in _REFUSALS:
            raise OSError(error.errno, _REFUSALS[error.errno], str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is not a plain file: remove it", str(path))
    return handle


def make_folder(path: Path) -> Path:
    """Make a folder inside an existing one unless it is there, and return its path. A link to a folder is refused.

    Raises:
        OSError: it cannot be made, or something else has its name.
    """
    path.mkdir(exist_ok=True)
    refuse_link(path)
    return path


def refuse_link(path: Path) -> None:
    """Refuse a link in place of a folder that is about to be written to.

    Raises:
        OSError: there is no folder, or only a link to one.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, _REFUSALS[errno.ELOOP], str(path))
