"""An LRU cache of image sheets."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from core.errors import UserError, is_machine_error
from core.files.signature import FileSignature, signature
from core.imaging.sheet import Sheet, read_sheet

CACHE_CAPACITY: Final = 256
"""A sheet of 16 grey images of 32 x 32 takes 16 KiB, so the cache stays small even if all epochs are scrubbed."""


class SheetCache:
    """LRU cache of sheets, keyed by path and invalidated by the file's signature.

    A damaged or missing sheet is None and is not read again until its file changes. A sheet that the machine could not
    read, say for want of file descriptors, is None and is read again.

    Args:
        capacity: the maximum number of sheets.
    """

    def __init__(self, capacity: int = CACHE_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self.capacity = capacity
        self.reads = 0
        self._sheets: OrderedDict[Path, tuple[FileSignature, Sheet | None]] = OrderedDict()

    def sheet(self, path: Path) -> Sheet | None:
        """The sheet in a file; None if it cannot be read.

        The same object is returned until the file changes, so callers may compare by identity.
        """
        current = signature(path)
        if current is None:
            self._sheets.pop(path, None)
            return None
        cached = self._sheets.get(path)
        if cached is not None and cached[0] == current:
            self._sheets.move_to_end(path)
            return cached[1]
        self.reads += 1
        try:
            sheet = read_sheet(path)
        except UserError as error:
            if is_machine_error(error):
                return None
            sheet = None
        self._sheets[path] = (current, sheet)
        self._sheets.move_to_end(path)
        while len(self._sheets) > self.capacity:
            self._sheets.popitem(last=False)
        return sheet
