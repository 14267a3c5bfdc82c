"""Rows of tiles of one size, each with words above it: a gallery that is scrolled by whole rows."""

from collections.abc import Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.widgets.images.image_wall import Wall, WallColumn, plan

MOST_ROWS: Final = 16
"""Rows that are ever shown at once."""
GAP: Final = 1


class PictureRows(Vertical, can_focus=False):
    """Tiles from left to right and from top to bottom; as many as there is room for."""

    DEFAULT_CSS = """
    PictureRows {
        width: 1fr;
        height: 1fr;
        overflow: hidden;
    }
    """

    def compose(self) -> ComposeResult:
        for _ in range(MOST_ROWS):
            yield Wall()

    def show(self, tiles: Sequence[WallColumn], tile: int, per_row: int) -> None:
        """Show tiles; those that are shown already are not drawn again.

        Args:
            tiles: one picture each.
            tile: cells that each is wide.
            per_row: how many of them stand in a row.
        """
        for place, wall in enumerate(self.query(Wall)):
            row = tiles[place * per_row : (place + 1) * per_row]
            wall.display = bool(row)
            if row:
                # A row that is not full keeps its places, so that its tiles stay as large as the others.
                row = [*row, *[WallColumn("", None, empty="")] * (per_row - len(row))]
                width = row_width(tile, per_row)
                wall.styles.width = width
                wall.styles.height = 1 + plan(row, width).lines
                wall.show(row, first_row=0)


def row_width(tile: int, per_row: int) -> int:
    """Cells of a row of tiles with gaps between them.

    >>> row_width(16, 2), row_width(32, 1)
    (33, 32)
    """
    return per_row * tile + (per_row - 1) * GAP


def tiles_in(width: int, tile: int) -> int:
    """How many tiles fit beside one another, at least one.

    >>> tiles_in(33, 16), tiles_in(32, 16), tiles_in(5, 16)
    (2, 1, 1)
    """
    return max(1, (width + GAP) // (tile + GAP))
