"""Image wall: a column per run and a row per starting noise, drawn by one widget."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip

from core.files.sanitize import sanitize
from core.imaging.resize import fit_image
from tui.textual_ext.strip_widget import StripWidget
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.render_mode import RenderMode, current_render_mode, on_render_mode_changed
from tui.widgets.images.tile_size import MIN_TILE

Pixels = NDArray[np.uint8]
Lines = list[list[Segment]]

MAX_TILE: Final = 64
SMALL_IMAGE_TILE: Final = 32
MAX_GAP: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class WallColumn:
    """The content of one column.

    Args:
        title: the name of the run.
        images: uint8 [N, H, W] or [N, H, W, 3]; None if there are none yet.
        note: a few words beside the title; if they do not fit, reduced to what follows the semicolon, to
            the last word, or to none.
        color: colour of the title; None takes the default.
        empty: the text in place of images.
    """

    title: str
    images: Pixels | None
    note: str = ""
    color: str | None = None
    empty: str = "no images yet"


@dataclass(frozen=True, slots=True)
class WallLayout:
    """Tiles `tile` cells wide and `lines` high, in `shown` columns that start at `left`, `step` cells apart."""

    tile: int
    lines: int
    shown: int
    step: int
    left: int


class ImageWall(StripWidget, can_focus=False):
    """Columns of images under their titles, at the largest size that shows all columns.

    Images larger than their tile are averaged down to it. If the columns do not fit even at `min_tile` cells each,
    `scroll_columns` reaches the others. `scroll_rows` reaches the rows below; it moves by half the wall if an image is
    higher than the wall.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"wall--note", "wall--empty", "wall--more"}
    DEFAULT_CSS = """
    ImageWall {
        height: 1fr;
        width: 1fr;
        min-height: 2;
    }
    ImageWall > .wall--note { color: $text-muted; }
    ImageWall > .wall--empty { color: $text-disabled; }
    ImageWall > .wall--more { color: $text-accent; text-style: bold; }
    """

    first_row: reactive[int] = reactive(0)
    first_line: reactive[int] = reactive(0)
    """Lines of the top image that are scrolled out of sight, if it is higher than the wall."""
    first_column: reactive[int] = reactive(0)
    titles: reactive[bool] = reactive(True)

    def __init__(
        self,
        *,
        min_tile: int = MIN_TILE,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._min_tile = min_tile
        self._columns: tuple[WallColumn, ...] = ()
        self._tile_layout: WallLayout | None = None
        self._tiles: dict[tuple[int, int], tuple[Pixels, tuple[int, bool, RenderMode], Lines]] = {}
        self._strips: dict[int, Strip] = {}
        self._segments: dict[tuple[int, int], list[Segment]] = {}
        """The segments of each column on each line, by the index among the visible columns."""
        self.lines_drawn = 0

    def on_mount(self) -> None:
        on_render_mode_changed(self, self._lay_out_again)

    @property
    def columns(self) -> tuple[WallColumn, ...]:
        return self._columns

    @property
    def row_count(self) -> int:
        """The number of images in the longest column."""
        return max((len(c.images) for c in self._columns if c.images is not None), default=0)

    @property
    def visible_rows(self) -> int:
        """The number of rows that are wholly visible, at least one."""
        return max(1, (self.content_size.height - self.titles) // max(self.tile_layout.lines, 1))

    @property
    def tile_layout(self) -> WallLayout:
        """The layout at the present size."""
        if self._tile_layout is None:
            zoom = current_render_mode(self).zoom
            self._tile_layout = plan_wall(
                self._columns, self.content_size.width, zoom, min_tile=self._min_tile
            )
        return self._tile_layout

    def show(self, columns: Sequence[WallColumn], *, first_row: int | None = None) -> None:
        """Show these columns; only columns that differ from the shown ones are drawn again.

        Args:
            columns: from left to right.
            first_row: the row at the top; None keeps the present one.
        """
        old, old_layout = self._columns, self.tile_layout
        self._columns = tuple(columns)
        self._tile_layout = None
        if first_row is not None:
            self.first_row = first_row
        self.first_row = min(self.first_row, max(0, self.row_count - 1))
        self.first_column = min(self.first_column, max(0, len(self._columns) - self.tile_layout.shown))
        if len(old) != len(self._columns) or old_layout != self.tile_layout:
            self.first_line = 0
            self._tiles.clear()
            self._release_placements(unseen=True)
            self._redraw_all()
            return
        for index, (before, after) in enumerate(zip(old, self._columns, strict=True)):
            if not _is_same_column(before, after):
                self._redraw_column(index, title_only=_has_same_images(before, after))

    def scroll_rows(self, rows: int) -> bool:
        """Scroll down by that many rows (up if negative). Return whether the position changed."""
        room, lines = max(1, self.content_size.height - self.titles), self.tile_layout.lines
        if lines <= room or not self.row_count:
            top = min(max(0, self.first_row + rows), max(0, self.row_count - self.visible_rows))
            moved = top != self.first_row
            self.first_row = top
            return moved
        stops = [*range(0, lines - room, max(1, room // 2)), lines - room]
        now = self.first_row * len(stops) + sum(stop <= self.first_line for stop in stops) - 1
        wanted = min(max(0, now + rows), self.row_count * len(stops) - 1)
        self.first_row, self.first_line = wanted // len(stops), stops[wanted % len(stops)]
        return bool(wanted != now)

    def scroll_columns(self, columns: int) -> bool:
        """Scroll right by that many columns (left if negative). Return whether the position changed."""
        last = max(0, len(self._columns) - self.tile_layout.shown)
        left = min(max(0, self.first_column + columns), last)
        moved = left != self.first_column
        self.first_column = left
        return moved

    def watch_first_row(self) -> None:
        self._redraw_all()

    def watch_first_line(self) -> None:
        self._redraw_all()

    def watch_first_column(self) -> None:
        self._redraw_all()

    def watch_titles(self) -> None:
        self._redraw_all()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._tiles.clear()
        self._redraw_all()

    def on_resize(self) -> None:
        self._lay_out_again()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        if self.scroll_rows(1):
            event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        if self.scroll_rows(-1):
            event.stop()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            self.lines_drawn += 1
            strip = self._strips[y] = self._draw(y)
        return strip

    def _lay_out_again(self) -> None:
        """Lay the tiles out and draw them again, after a change of size or render mode."""
        self._tile_layout = None
        self._release_placements(unseen=True)
        self.first_line = 0
        self.first_column = min(self.first_column, max(0, len(self._columns) - self.tile_layout.shown))
        self._redraw_all()

    def on_unmount(self) -> None:
        self._release_placements()

    def _release_placements(self, *, unseen: bool = False) -> None:
        """Release the placements at which the terminal draws images itself, all or only those out of sight."""
        if (placements := current_render_mode(self).placements) is not None:
            rows = -(-self.content_size.height // self.tile_layout.lines) + 1
            placements.release(self, beyond=(self.tile_layout.shown, rows) if unseen else (0, 0))

    def _redraw_all(self) -> None:
        self._strips.clear()
        self._segments.clear()
        self.refresh()

    def _redraw_column(self, index: int, *, title_only: bool) -> None:
        layout = self.tile_layout
        visible_index = index - self.first_column
        if not 0 <= visible_index < layout.shown:
            return
        height = int(self.titles) if title_only else self.content_size.height
        for y in range(height):
            self._strips.pop(y, None)
            self._segments.pop((visible_index, y), None)
        self.refresh(Region(layout.left + visible_index * layout.step, 0, layout.tile, height))

    def _draw(self, y: int) -> Strip:
        width, layout, base = self.content_size.width, self.tile_layout, self.rich_style
        segments: list[Segment] = []
        at = 0
        first = self.first_column
        for index, column in enumerate(self._columns[first : first + layout.shown]):
            left = layout.left + index * layout.step
            if left > at:
                segments.append(Segment(" " * (left - at), base))
            part = self._segments.get((index, y))
            if part is None:
                line = y - self.titles
                part = self._title(index, column) if line < 0 else self._cells(index, column, line)
                self._segments[index, y] = part
            segments.extend(part)
            at = left + layout.tile
        return Strip(segments, at).adjust_cell_length(width, base)

    def _title(self, index: int, column: WallColumn) -> list[Segment]:
        """The title, as much of the note as fits, and the number of hidden columns on either side."""
        layout = self.tile_layout
        before, after = self.first_column, len(self._columns) - self.first_column - layout.shown
        left = f"‹{before} " if index == 0 and before > 0 else ""
        right = f" {after}›" if index == layout.shown - 1 and after > 0 else ""
        style = self.rich_style + Style(bold=True)
        if column.color is not None:
            style += Style.parse(column.color)
        space = max(0, layout.tile - len(left) - len(right))
        title = sanitize(column.title)
        if cell_len(title) > space:
            title = set_cell_size(title, space - 1) + "…" if space else ""
        space -= cell_len(title)
        notes = (column.note, column.note.rpartition("; ")[2], column.note.rpartition(" ")[2], "")
        note = next(f" {note}" for note in notes if not note or cell_len(note) + 1 < space).rstrip()
        more = self.get_component_rich_style("wall--more")
        parts = (
            Segment(left, more),
            Segment(title, style),
            Segment(set_cell_size(note, space), self.get_component_rich_style("wall--note")),
            Segment(right, more),
        )
        return [part for part in parts if part.text]

    def _cells(self, index: int, column: WallColumn, line: int) -> list[Segment]:
        layout = self.tile_layout
        line += self.first_line
        row, inner = self.first_row + line // layout.lines, line % layout.lines
        blank = [Segment(" " * layout.tile, self.rich_style)]
        if column.images is None:
            room = max(1, min(layout.lines, self.content_size.height - self.titles))
            message = textwrap.wrap(sanitize(column.empty), layout.tile, max_lines=room, placeholder="…")
            number = line - (room - len(message)) // 2
            if not 0 <= number < len(message):
                return blank
            text = set_cell_size(message[number].center(layout.tile), layout.tile)
            return [Segment(text, self.get_component_rich_style("wall--empty"))]
        if row >= len(column.images):
            return blank
        lines = self._tile(self.first_column + index, row, column.images, raised_black=(index + row) % 2 == 1)
        return lines[inner] if inner < len(lines) else blank

    def _tile(self, index: int, row: int, images: Pixels, *, raised_black: bool) -> Lines:
        """The lines of a tile, cached as long as its column shows the same array."""
        size, render_mode = self.tile_layout.tile, current_render_mode(self)
        if (placements := render_mode.placements) is not None:
            spot = index - self.first_column, row - self.first_row
            placement = placements.place(
                self, spot, images[row], size, self.tile_layout.lines, raised_black=raised_black
            )
            if placement is not None:
                return placement.segments(self.rich_style)
        cached = self._tiles.get((index, row))
        if cached is not None and cached[0] is images and cached[1] == (size, raised_black, render_mode):
            return cached[2]
        scaled = fit_image(images[row], size)
        lines = cell_lines(scaled, raised_black=raised_black, mode=render_mode.mode)
        spare = size - scaled.shape[1]
        if spare > 0:
            left, right = (
                Segment(" " * cells, self.rich_style) for cells in (spare // 2, spare - spare // 2)
            )
            lines = [[*([left] if left.text else []), *line, right] for line in lines]
        self._tiles[index, row] = (images, (size, raised_black, render_mode), lines)
        return lines


def plan_wall(
    columns: Sequence[WallColumn], width: int, zoom: int = 1, *, min_tile: int = MIN_TILE
) -> WallLayout:
    """Plan the largest tiles with which all columns fit side by side, but none below `min_tile`.

    Tiles as wide as the images are preferred; small images grow by whole factors up to `SMALL_IMAGE_TILE` cells.

    Args:
        columns: the columns to show.
        width: cells.
        zoom: magnification of tiles relative to their full size, if one such tile fits into `width`; then only as many
            columns are shown as fit.
        min_tile: cells.
    """
    shapes = [c.images.shape[1:3] for c in columns if c.images is not None and len(c.images)]
    height, native = max(shapes, key=lambda shape: shape[1], default=(32, 32))
    count = max(1, len(columns))
    room = max(1, width // count)
    tile = zoomed_tile(native, zoom)
    if zoom == 1 or tile > width:
        wanted = min(native, MAX_TILE)
        if native < SMALL_IMAGE_TILE and room > native:
            wanted = native * max(1, min(SMALL_IMAGE_TILE, room) // native)
        tile = min(wanted, max(room, min(min_tile, wanted)), max(1, width))
        if tile < wanted and tile > 2:
            tile -= tile % 2
    shown = min(count, max(1, width // tile))
    gap = min(MAX_GAP, (width - shown * tile) // max(1, shown - 1)) if shown > 1 else 0
    lines = -(-max(1, round(height * tile / native)) // 2)
    left = 0
    return WallLayout(tile, lines, shown, tile + gap, left)


def zoomed_tile(native: int, zoom: int) -> int:
    """The unconstrained width of a tile in cells, for images `native` pixels wide."""
    return zoom * (
        min(native, MAX_TILE) if native >= SMALL_IMAGE_TILE else native * (SMALL_IMAGE_TILE // native)
    )


def _is_same_column(before: WallColumn, after: WallColumn) -> bool:
    return (
        before.images is after.images
        and before.title == after.title
        and before.note == after.note
        and before.color == after.color
        and before.empty == after.empty
    )


def _has_same_images(before: WallColumn, after: WallColumn) -> bool:
    return before.images is after.images and before.empty == after.empty
