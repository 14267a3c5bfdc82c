"""Sheets of pictures, read once and kept while they are being looked at."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.signature import FileSignature, signature
from core.imaging.sheet import Sheet, read_sheet

KEPT_SHEETS: Final = 256
"""A sheet of 16 grey pictures of 32 x 32 is 16 KiB, so the cache stays small even when all epochs are
scrubbed."""


class SheetCache:
    """Sheets by path and by modification time, the least recently used ones forgotten first.

    A damaged or missing sheet is None and is not read again until its file changes.

    Args:
        capacity: how many sheets to keep.
    """

    def __init__(self, capacity: int = KEPT_SHEETS) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self.capacity = capacity
        self.reads = 0
        self._sheets: OrderedDict[Path, tuple[FileSignature, Sheet | None]] = OrderedDict()

    def sheet(self, path: Path) -> Sheet | None:
        """The sheet in a file; None when there is none that can be read.

        The same object is handed out until the file changes, so a caller may compare by identity.
        """
        seen = signature(path)
        if seen is None:
            self._sheets.pop(path, None)
            return None
        kept = self._sheets.get(path)
        if kept is not None and kept[0] == seen:
            self._sheets.move_to_end(path)
            return kept[1]
        self.reads += 1
        try:
            sheet = read_sheet(path)
        except UserError:
            sheet = None
        self._sheets[path] = (seen, sheet)
        self._sheets.move_to_end(path)
        while len(self._sheets) > self.capacity:
            self._sheets.popitem(last=False)
        return sheet
