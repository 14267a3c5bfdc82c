"""Memory that the maps of one training step leave to the next."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
"""Names of `mallopt`'s parameters, from glibc's malloc.h."""


def disable_trim() -> bool:
    """Have this process keep the memory that it frees, in place of giving it back to the system after each use.

    Every step frees as much as it took, some hundred maps of a megabyte and more. glibc gives such blocks back, and the
    system hands them out anew page by page, each filled with zeros; that took a tenth to a fourth of a step. The price
    is that the process stays as large as it has once been. Only glibc is told; elsewhere nothing happens.

    Returns:
        Whether it could be told.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Never trim, and take nothing by mmap, which gives back whatever is freed. Of musl, mallopt does nothing.
    return bool(mallopt(_TRIM_THRESHOLD, -1)) and bool(mallopt(_MMAP_MAX, 0))
