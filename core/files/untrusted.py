"""Reading of untrusted files: never blocks on a FIFO, never trusts a size in a header, never unpickles."""

import errno
import hashlib
import os
import stat
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

NPY_ERRORS: Final = (
    *(ValueError, EOFError, TypeError, SyntaxError, MemoryError, OverflowError, RecursionError),
    *(IndexError, KeyError, AttributeError, tokenize.TokenError),
)
"""Exceptions that numpy raises for damaged headers, which it parses as Python."""
# RuntimeError includes NotImplementedError: encrypted members, and compressions that zipfile does not know.
NPZ_ERRORS: Final = (*NPY_ERRORS, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Exceptions that numpy and zipfile raise for damaged `.npz` files."""

_CHUNK: Final = 1 << 20
_MAGIC: Final = b"\x93NUMPY"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. A pipe in its place is an error instead of a wait.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(handle, "rb")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the content of a regular file, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def absolute_if_exists(path: Path, directory: Path | None = None) -> str | None:
    """Return the absolute path of a file or folder, valid in every working directory; None if it does not exist.

    An absolute path is returned as written.

    Args:
        path: absolute, or relative to `directory`.
        directory: the current working directory unless given.
    """
    try:
        found = (directory or Path()).absolute() / path
        if ".." in found.parts:  # ".." leads back from the target of a link, so links are resolved first
            found = found.resolve() if found.name == ".." else found.parent.resolve() / found.name
        str(found).encode()  # settings are UTF-8, and cannot hold a path that is not
        return str(found) if found.exists() else None
    except (OSError, ValueError, RuntimeError):  # a path that is not valid on this system
        return None


def read_npy(path: Path) -> NDArray[Any]:
    """Map the array of a `.npy` file. It is not loaded: its header may claim more than the file or the memory holds.

    Nothing is unpickled. The array is read-only, with the type and shape that it was saved with.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        UserError: it is not a `.npy` file of numbers; the message is one line without the file's name.
    """
    with open_regular(path) as file:
        magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise UserError("not a .npy file; expected one that numpy.save has written")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual headers, which can be read nonetheless
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise UserError(f"not a .npy file of numbers ({' '.join(str(error).split())})") from error
    return array
