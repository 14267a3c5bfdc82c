"""Tuning of malloc: the memory of one training step's feature maps is kept for the next step."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
"""Parameters of `mallopt`, from glibc's malloc.h."""


def disable_trim() -> bool:
    """Keep freed memory in this process instead of returning it to the system after each use.

    Every step frees as much as it allocates: some hundred maps of a megabyte and more. glibc returns such blocks to the
    system, which provides them again page by page, each filled with zeros. That took a tenth to a fourth of a step. The
    cost is that the process never shrinks. Without glibc nothing happens.

    Returns:
        Whether malloc accepted the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Never trim, and never allocate by mmap, whose blocks are returned when freed. The mallopt of musl does nothing.
    return bool(mallopt(_TRIM_THRESHOLD, -1)) and bool(mallopt(_MMAP_MAX, 0))
