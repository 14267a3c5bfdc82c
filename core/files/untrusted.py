"""Files that anybody may have written: opened without waiting, read without trust in what they say of themselves."""

import errno
import os
import stat
import tokenize
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

NPY_ERRORS: Final = (
    *(ValueError, EOFError, TypeError, SyntaxError, MemoryError, OverflowError, RecursionError),
    *(IndexError, KeyError, AttributeError, tokenize.TokenError),
)
"""What numpy raises for headers that it cannot read: it takes them for Python."""

_MAGIC: Final = b"\x93NUMPY"


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file to read; a pipe in its place is not waited at.

    Raises:
        OSError: it cannot be opened, or is no plain file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(handle, "rb")


def absolute_if_exists(path: Path, directory: Path | None = None) -> str | None:
    """Where a file or folder is, said so that it is found from every working directory; None where there is none.

    What is absolute already stays as it is written.

    Args:
        path: absolute, or relative to `directory`.
        directory: the working directory unless given.
    """
    try:
        there = (directory or Path()).absolute() / path
        if ".." in there.parts:  # which leads back from where a link leads to
            there = there.resolve() if there.name == ".." else there.parent.resolve() / there.name
        str(there).encode()  # settings are UTF-8, and could not name what is not
        return str(there) if there.exists() else None
    except (OSError, ValueError, RuntimeError):  # a path that no system knows
        return None


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file, mapped: a header may promise more than there is memory for, or than the file has.

    Nothing is unpickled. The array is read-only, of whatever type and shape it was saved with.

    Raises:
        OSError: the file cannot be opened, or is no plain file.
        UserError: it is no `.npy` file of numbers; says why, in one line without the file's name.
    """
    with open_regular(path) as file:
        magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise UserError("not a .npy file; expected one that numpy.save has written")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd headers, which are read nonetheless
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise UserError(f"not a .npy file of numbers ({' '.join(str(error).split())})") from error
    return array
