"""Layout of a gallery's grid: the zoom of its tiles and the number of them that fit into a side."""

from collections.abc import Sequence
from typing import Final, NamedTuple

GAP: Final = 1
MAX_ROWS: Final = 16
"""Maximum number of rows shown at once."""
ZOOMS: Final = (16, 32, 64)
"""Possible widths of a tile in cells."""
MIN_VISIBLE_IMAGES: Final = 4
"""Images that should be visible at once if no zoom was chosen."""


class TilePlan(NamedTuple):
    """Width of a tile in cells, images per row, rows."""

    tile: int
    per_row: int
    rows: int

    @property
    def visible(self) -> int:
        """Number of images visible at once."""
        return self.per_row * self.rows


def plan_tiles(shape: Sequence[int], width: int, height: int, zoom: int | None, *, each: int = 1) -> TilePlan:
    """Plan the grid at a zoom, or at the largest suitable one of the first two if none was chosen.

    Args:
        shape: rows and columns of pixels of an image.
        width: width of the side in cells.
        height: height of the side in lines.
        zoom: one of `ZOOMS`, or None.
        each: tiles of each image, side by side.
    """
    if zoom is not None:
        return _plan_at(shape, width, height, zoom, each)
    small, usual = (_plan_at(shape, width, height, one, each) for one in ZOOMS[:2])
    return usual if usual.visible >= MIN_VISIBLE_IMAGES else small


def next_zoom(shape: Sequence[int], width: int, height: int, zoom: int | None, *, each: int = 1) -> int:
    """The next zoom that gives another plan than the present one; after the largest comes the smallest."""
    now = plan_tiles(shape, width, height, zoom, each=each)
    at = next(
        index
        for index, one in enumerate(ZOOMS)
        if zoom in (None, one) and _plan_at(shape, width, height, one, each) == now
    )
    order = [*ZOOMS[at + 1 :], *ZOOMS[: at + 1]]
    return next((one for one in order if _plan_at(shape, width, height, one, each) != now), order[0])


def tile_width(columns: int, zoom: int) -> int:
    """The width in cells of an image with that many columns of pixels; small images grow by whole factors.

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
    """The width in cells of a row of tiles with gaps between them.

    >>> row_width(16, 2), row_width(32, 1)
    (33, 32)
    """
    return per_row * tile + (per_row - 1) * GAP


def tiles_per_row(width: int, tile: int) -> int:
    """The number of tiles that fit side by side, at least one.

    >>> tiles_per_row(33, 16), tiles_per_row(32, 16), tiles_per_row(5, 16)
    (2, 1, 1)
    """
    return max(1, (width + GAP) // (tile + GAP))
