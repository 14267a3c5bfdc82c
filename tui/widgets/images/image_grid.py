"""Image grid: rows of equally large tiles with a title above each, scrolled by whole rows."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.widgets.images.grid_layout import MAX_ROWS, row_width
from tui.widgets.images.image_wall import ImageWall, WallColumn, plan_wall


class ImageGrid(Vertical, can_focus=False):
    """Tiles from left to right and from top to bottom, as many as fit."""

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
            tiles: one image each.
            tile: width of each in cells.
            per_row: number of tiles per row.
        """
        for index, wall in enumerate(self.query(ImageWall)):
            row = tiles[index * per_row : (index + 1) * per_row]
            wall.display = bool(row)
            if row:
                # A partial row is padded with empty tiles, so that its tiles stay as large as the others.
                row = [*row, *[WallColumn("", None, empty="")] * (per_row - len(row))]
                width = row_width(tile, per_row)
                wall.styles.width = width
                wall.styles.height = 1 + plan_wall(row, width).lines
                wall.show(row, first_row=0)
