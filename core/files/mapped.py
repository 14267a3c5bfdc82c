"""Memory-mapped arrays that are larger than memory should hold."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def release_pages(array: NDArray[Any]) -> None:
    """Give the pages of a mapped file back, which are read again when they are needed; nothing for another array.

    The system would take them only when memory is short. Until then they count as memory of the process.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
