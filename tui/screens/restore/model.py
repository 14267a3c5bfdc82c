"""Model of the restore screen: an image, the pixels that are missing, and the cursor that paints them; no widgets."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.imaging.sheet import Sheet

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BRUSHES: Final = (1, 2, 3, 5, 8, 12)
"""Sides of the brush in pixels."""
SHAPES: Final = ("box", "right half", "lower half")
_MISSING: Final = np.array([[[70, 20, 60], [150, 50, 130]], [[150, 50, 130], [70, 20, 60]]], np.uint8)
"""Two by two pixels of the pattern of missing ones."""


@dataclass
class MaskPainter:
    """An image whose missing pixels are painted.

    Attributes:
        image: uint8 [H, W] or [H, W, 3].
        missing: bool [H, W].
        row, column: the cursor, at the centre of the brush.
        brush: index in `BRUSHES`.
        pen: True while each move of the cursor paints.
        shape: index in `SHAPES` of the next shape.
    """

    image: Pixels
    missing: Mask = field(init=False)
    row: int = field(init=False)
    column: int = field(init=False)
    brush: int = 2
    pen: bool = False
    shape: int = 0

    def __post_init__(self) -> None:
        height, width = self.image.shape[:2]
        self.missing = np.zeros((height, width), dtype=bool)
        self.row, self.column = height // 2, width // 2

    def show(self, image: Pixels) -> None:
        """Show another image; the mask is kept if its size is the same."""
        same = image.shape[:2] == self.image.shape[:2]
        self.image = image
        if not same:
            self.__post_init__()

    def move(self, down: int, right: int) -> None:
        """Move the cursor, and paint with the pen."""
        height, width = self.missing.shape
        self.row = min(max(0, self.row + down), height - 1)
        self.column = min(max(0, self.column + right), width - 1)
        if self.pen:
            self.paint(missing=True)

    def paint(self, *, missing: bool) -> None:
        """Mark the pixels under the brush as missing or as known."""
        self.missing[self._under_brush()] = missing

    def paint_at(self, row: int, column: int, *, missing: bool) -> None:
        """Move the cursor to a pixel, and mark what is under the brush."""
        self.row, self.column = row, column
        self.paint(missing=missing)

    def toggle_pen(self) -> None:
        """Put the pen down, which paints, or lift it."""
        self.pen = not self.pen
        self.move(0, 0)

    def toggle(self) -> None:
        """Paint if the pixel at the cursor is known, else erase."""
        self.paint(missing=not self.missing[self.row, self.column])

    def resize_brush(self, steps: int) -> None:
        """Take a larger or smaller brush."""
        self.brush = min(max(0, self.brush + steps), len(BRUSHES) - 1)

    def clear(self) -> None:
        """Mark all pixels as known."""
        self.missing[:] = False

    def next_shape(self) -> None:
        """Replace the mask by the next of `SHAPES`."""
        height, width = self.missing.shape
        self.clear()
        name, self.shape = SHAPES[self.shape], (self.shape + 1) % len(SHAPES)
        if name == "box":
            self.missing[height * 3 // 10 : height * 7 // 10, width * 3 // 10 : width * 7 // 10] = True
        elif name == "right half":
            self.missing[:, width // 2 :] = True
        else:
            self.missing[height // 2 :] = True

    def render(self, *, cursor: bool) -> Pixels:
        """Draw the image with a pattern on missing pixels, and the pixels under the brush inverted: uint8 [H, W, 3]."""
        drawn = self.image if self.image.ndim == 3 else np.repeat(self.image[..., None], 3, axis=2)
        height, width = self.missing.shape
        pattern = np.tile(_MISSING, (-(-height // 2), -(-width // 2), 1))[:height, :width]
        drawn = np.where(self.missing[..., None], pattern, drawn).astype(np.uint8)
        if cursor:
            drawn[self._under_brush()] = 255 - drawn[self._under_brush()]
        return drawn

    def _under_brush(self) -> tuple[slice, slice]:
        side = BRUSHES[self.brush]
        top, left = self.row - (side - 1) // 2, self.column - (side - 1) // 2
        return slice(max(0, top), top + side), slice(max(0, left), left + side)


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers in a sheet of `core restore`.

    Attributes:
        answers: uint8 [K, H, W] or [K, H, W, 3].
        mean_and_spread: the same of their mean and their standard deviation, [2, ...].
        calls, total: network calls so far and in all.
    """

    answers: Pixels
    mean_and_spread: Pixels
    calls: int
    total: int

    @classmethod
    def from_sheet(cls, sheet: Sheet) -> "Answers | None":
        """Take the first row of a sheet apart; None if it is no such sheet."""
        notes = sheet.meta
        try:
            count, first = int(notes["answers"]), int(notes["originals"]) + 1
            calls, total = int(notes["calls"]), int(notes["of"])
        except (KeyError, ValueError):
            return None
        row = sheet.images[: sheet.columns]
        if count < 1 or len(row) != first + count + 2:
            return None
        return cls(row[first : first + count], row[first + count :], calls, total)
