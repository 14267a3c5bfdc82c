"""Rows of tiles of one size, each with words above it: a gallery that is scrolled by whole rows."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.widgets.images.grid_layout import MAX_ROWS, row_width
from tui.widgets.images.image_wall import ImageWall, WallColumn, plan_wall


class ImageGrid(Vertical, can_focus=False):
    """Tiles from left to right and from top to bottom; as many as there is room for."""

    DEFAULT_CSS = """
    ImageGrid {
        width: 1fr;
        height: 1fr;
        overflow: hidden;
    }
    """

    def compose(self) -> ComposeResult:
        for _ in range(MAX_ROWS):
            yield ImageWall()

    def show(self, tiles: Sequence[WallColumn], tile: int, per_row: int) -> None:
        """Show tiles; those that are shown already are not drawn again.

        Args:
            tiles: one picture each.
            tile: cells that each is wide.
            per_row: how many of them stand in a row.
        """
        for place, wall in enumerate(self.query(ImageWall)):
            row = tiles[place * per_row : (place + 1) * per_row]
            wall.display = bool(row)
            if row:
                # A row that is not full keeps its places, so that its tiles stay as large as the others.
                row = [*row, *[WallColumn("", None, empty="")] * (per_row - len(row))]
                width = row_width(tile, per_row)
                wall.styles.width = width
                wall.styles.height = 1 + plan_wall(row, width).lines
                wall.show(row, first_row=0)
