"""How large tiles are and how many of them are seen at once, in the room that one side of a gallery has."""

from collections.abc import Sequence
from typing import Final, NamedTuple

GAP: Final = 1
MAX_ROWS: Final = 16
"""Rows that are ever shown at once."""
ZOOMS: Final = (16, 32, 64)
"""Cells that a tile is wide."""
MIN_VISIBLE_IMAGES: Final = 4
"""Pictures that should be seen at once where nobody chose a zoom."""


class TilePlan(NamedTuple):
    """Cells that a tile is wide, pictures in a row, rows."""

    tile: int
    per_row: int
    rows: int

    @property
    def visible(self) -> int:
        """Pictures that are seen at once."""
        return self.per_row * self.rows


def plan_tiles(shape: Sequence[int], width: int, height: int, zoom: int | None, *, each: int = 1) -> TilePlan:
    """What is seen at a zoom, or at the one that suits the room where none was chosen.

    Args:
        shape: rows and columns of pixels of a picture.
        width: cells of the side.
        height: lines of it.
        zoom: one of `ZOOMS`, or None.
        each: tiles of each picture, side by side.
    """
    if zoom is not None:
        return _plan_at(shape, width, height, zoom, each)
    small, usual = (_plan_at(shape, width, height, one, each) for one in ZOOMS[:2])
    return usual if usual.visible >= MIN_VISIBLE_IMAGES else small


def next_zoom(shape: Sequence[int], width: int, height: int, zoom: int | None, *, each: int = 1) -> int:
    """The next zoom that looks different from the present one; after the largest the smallest."""
    now = plan_tiles(shape, width, height, zoom, each=each)
    at = next(
        place
        for place, one in enumerate(ZOOMS)
        if zoom in (None, one) and _plan_at(shape, width, height, one, each) == now
    )
    order = [*ZOOMS[at + 1 :], *ZOOMS[: at + 1]]
    return next((one for one in order if _plan_at(shape, width, height, one, each) != now), order[0])


def tile_width(columns: int, zoom: int) -> int:
    """Cells that a tile of a picture with so many columns of pixels is wide: small ones grow by whole factors.

    >>> tile_width(28, 64), tile_width(32, 16), tile_width(100, 64)
    (56, 16, 64)
    """
    return zoom if columns >= zoom else columns * (zoom // columns)


def _plan_at(shape: Sequence[int], width: int, height: int, zoom: int, each: int) -> TilePlan:
    rows, columns = shape
    tile = tile_width(columns, zoom)
    if row_width(tile, each) > width:
        tile = max(2, (width - each + 1) // each)
    tallest = max(2, 2 * (height - 1) * columns // rows)
    if tile > tallest:
        tile = tile_width(columns, tallest)
    lines = 1 + -(-max(1, round(rows * tile / columns)) // 2)
    return TilePlan(tile, max(1, tiles_per_row(width, tile) // each), min(MAX_ROWS, max(1, height // lines)))


def row_width(tile: int, per_row: int) -> int:
    """Cells of a row of tiles with gaps between them.

    >>> row_width(16, 2), row_width(32, 1)
    (33, 32)
    """
    return per_row * tile + (per_row - 1) * GAP


def tiles_per_row(width: int, tile: int) -> int:
    """How many tiles fit beside one another, at least one.

    >>> tiles_per_row(33, 16), tiles_per_row(32, 16), tiles_per_row(5, 16)
    (2, 1, 1)
    """
    return max(1, (width + GAP) // (tile + GAP))
