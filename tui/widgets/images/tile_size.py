"""Sizes of the tiles of a wall, and the height that they leave for charts and numbers above the wall."""

from dataclasses import dataclass
from typing import Final

MIN_TILE: Final = 16
"""Cells. In a narrower tile a triangle is no longer recognised, so columns that do not fit are paged instead."""
FULL_TILE: Final = 32
MIN_UPPER: Final = 12


@dataclass(frozen=True, slots=True)
class Tile:
    """The size of one image in cells, at its full size."""

    width: int = FULL_TILE
    height: int = FULL_TILE // 2

    def height_at(self, width: int) -> int:
        """The height of the image in cells when it is drawn `width` cells wide."""
        return max(1, -(-self.height * width // self.width))

    def width_within(self, width: int, lines: int) -> int:
        """The greatest width, even unless full, at which the image fits; 0 if that is too small to recognise it."""
        for across in range(min(self.width, width), 0, -1):
            if (across == self.width or across % 2 == 0) and self.height_at(across) <= lines:
                return across if across >= min(MIN_TILE, self.width) else 0
        return 0


FULL_SIZE_TILE: Final = Tile()


def height_above_wall(body: int, tile_lines: int) -> int:
    """The lines for charts and numbers above a wall, so that the wall shows whole rows of images.

    Args:
        body: lines of both together.
        tile_lines: lines of one image.
    """
    for rows in range(max(1, body // max(1, tile_lines)), 0, -1):
        upper = body - 1 - rows * tile_lines
        if upper >= MIN_UPPER:
            return upper
    return max(MIN_UPPER, body // 2)
