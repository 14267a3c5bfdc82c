"""Placements: rectangles of cells that show one image each, and the images that the terminal holds for them.

A placement keeps its id and its cells while its image changes. Then the image alone is sent again, under the same id.
That is a fraction of the bytes of another id in the cells, which are 512 for an image 32 cells wide. The memory that
the terminal uses is bounded, and the image that was sent least recently is evicted.

For Textual, a cell of a placement is one private character, its sentinel. `tui.terminal.screen_buffer` writes the
placeholder and its colour for it. Neither could pass through Textual, because Rich may cut a character from its marks,
and a dialog would dim the colour, which is an id.
"""

import os
from collections.abc import Callable, Collection, Iterator
from typing import Final

import numpy as np
from rich.segment import Segment
from rich.style import Style

from core.imaging.resize import Pixels
from tui.terminal.cell_style import CellStyle
from tui.terminal.kitty.png import encode_png
from tui.terminal.kitty.protocol import (
    MARKS,
    delete,
    delete_all,
    id_color,
    placeholder,
    through_tmux,
    transmit,
    without_inherited_marks,
)

FIRST_SENTINEL: Final = "\U000f2000"
"""The first sentinel: a private character above those that fonts use for icons."""
SENTINEL_COUNT: Final = 0x110000 - ord(FIRST_SENTINEL)
FIRST_ID: Final = (1 + os.getpid() % 127) << 17
"""Ids have 24 bits and are shared by all programs of a window, so dashboards start at different ones where possible."""
DEFAULT_CELL: Final = (10, 20)
"""Pixels of a cell, where the terminal does not report them."""
MAX_PIXELS: Final = 1 << 25
"""Pixels that the terminal may hold, unless more are visible at once; each takes four bytes there."""

Cell = tuple[int, int]
"""Width and height of a cell in pixels."""
Position = tuple[int, int]
Lines = list[list[Segment]]


class Placement:
    """Cells that show an image.

    Args:
        first_sentinel: number of the first sentinel.
        columns: width in cells.
        lines: height in cells.
    """

    def __init__(self, first_sentinel: int, columns: int, lines: int) -> None:
        self.first_sentinel, self.columns, self.lines = first_sentinel, columns, lines
        self.identity = FIRST_ID + first_sentinel
        self.color = id_color(self.identity)
        self.image: Pixels = np.zeros((1, 1), np.uint8)
        self.raised_black = False
        self.sent: tuple[Pixels, bool, Cell] | None = None
        """The image that the terminal holds, whether its black was raised, and the cell size that it was made for."""
        self.last_sent = 0
        """Serial number of the last transmission, among all images."""
        self._drawn: tuple[Style, Lines] | None = None

    @property
    def end(self) -> int:
        """The number after that of the last sentinel."""
        return self.first_sentinel + self.columns * self.lines

    @property
    def rows(self) -> list[str]:
        """The sentinels, line by line."""
        start, size = ord(FIRST_SENTINEL) + self.first_sentinel, self.columns * self.lines
        return [
            "".join(map(chr, range(at, at + self.columns))) for at in range(start, start + size, self.columns)
        ]

    @property
    def pixels(self) -> int:
        """Pixels that the terminal holds for it."""
        return self.columns * self.lines * self.sent[2][0] * self.sent[2][1] if self.sent else 0

    def segments(self, background: Style) -> Lines:
        """The sentinels as segments; the background is visible where the image leaves cells free."""
        if self._drawn is None or self._drawn[0] is not background:
            self._drawn = background, [[Segment(row, background)] for row in self.rows]
        return self._drawn[1]

    def is_pending(self, cell: Cell) -> bool:
        """True if the terminal holds another image for it, or none."""
        if self.sent is None or self.sent[1:] != (self.raised_black, cell):
            return True
        if self.sent[0] is not self.image:
            if not np.array_equal(self.sent[0], self.image):
                return True
            self.sent = (self.image, *self.sent[1:])
        return False

    def transmission(self, cell: Cell) -> str:
        """The codes that send the image."""
        self.sent = self.image, self.raised_black, cell
        width, height = self.columns * cell[0], self.lines * cell[1]
        png = encode_png(self.image, width, height, raised_black=self.raised_black)
        return transmit(self.identity, png, self.columns, self.lines)


class Placements:
    """All placements of a dashboard, by owner.

    Args:
        tmux: whether tmux is between the dashboard and the terminal.
    """

    def __init__(self, *, tmux: bool = False) -> None:
        self.cell: Cell = DEFAULT_CELL
        self.has_unsent = False
        """True if there was no room for an image that is visible."""
        self._tmux = tmux
        self._by_owner: dict[object, dict[Position, Placement]] = {}
        self._cells: dict[str, tuple[str, str]] = {}
        self._next = 0
        self._sent_count = 0
        self._to_delete: list[int] = []

    def __iter__(self) -> Iterator[Placement]:
        return (placement for owned in self._by_owner.values() for placement in owned.values())

    def place(
        self,
        owner: object,
        position: Position,
        image: Pixels,
        columns: int,
        lines: int,
        *,
        raised_black: bool = False,
    ) -> Placement | None:
        """Show an image from now on.

        Args:
            owner: object that holds the position, until `release`.
            position: index of the placement among the owner's.
            image: uint8 [H, W] or [H, W, 3]; it must not change afterwards.
            columns: width in cells.
            lines: height in cells.
            raised_black: draw black a little brighter.

        Returns:
            The placement, or None where no sentinels are left for it.
        """
        owned = self._by_owner.setdefault(owner, {})
        placement = owned.get(position)
        if placement is None or (placement.columns, placement.lines) != (columns, lines):
            if placement is not None:
                self._free(owned.pop(position))
            placement = self._allocate(columns, lines)
            if placement is None:
                return None
            owned[position] = placement
        placement.image, placement.raised_black = image, raised_black
        return placement

    def release(self, owner: object, *, beyond: Position = (0, 0)) -> None:
        """Free the owner's placements whose position is at or beyond another in either coordinate."""
        owned = self._by_owner.get(owner, {})
        for position in [found for found in owned if found[0] >= beyond[0] or found[1] >= beyond[1]]:
            self._free(owned.pop(position))
        if not owned:
            self._by_owner.pop(owner, None)

    def clear(self) -> None:
        """Free all placements."""
        for owner in list(self._by_owner):
            self.release(owner)

    def resolve(self, cells: list[str], styles: list[CellStyle]) -> None:
        """Replace sentinels by placeholders and their colours, and those of freed placements by blanks."""
        for at, character in enumerate(cells):
            if character >= FIRST_SENTINEL:
                cells[at], color = self._cells.get(character, (" ", ""))
                styles[at] = CellStyle("", color, styles[at].background)

    def without_inherited_marks(self, cells: list[str], styles: list[CellStyle]) -> list[str]:
        """The cells of a row without the marks that the terminal infers."""
        return without_inherited_marks(cells, [style.foreground for style in styles])

    def pending(self, seen: Callable[[], Collection[str]], room: float) -> str:
        """The codes that bring the terminal's images up to date.

        Args:
            seen: returns the colours of placeholders on the screen. An image that is not visible is not sent.
            room: bytes within which an image may begin; the least recently sent images go first.
        """
        codes = [delete(identity) for identity in self._to_delete]
        self._to_delete.clear()
        self.has_unsent = False
        due = [placement for placement in self if placement.is_pending(self.cell)]
        if due:
            colors = seen()
            for placement in sorted(
                (found for found in due if found.color in colors), key=lambda found: found.last_sent
            ):
                if room <= 0:
                    self.has_unsent = True
                    break
                self._sent_count += 1
                placement.last_sent = self._sent_count
                codes.append(placement.transmission(self.cell))
                room -= len(codes[-1])
            codes += self._evict(colors)
        return self._wrap("".join(codes))

    def undo(self) -> str:
        """The codes that delete all images; those that are visible afterwards are sent again."""
        sent = [placement for placement in self if placement.sent]
        codes = [
            delete(identity) for identity in (*self._to_delete, *(placement.identity for placement in sent))
        ]
        self._to_delete.clear()
        for placement in sent:
            placement.sent = None
        return self._wrap("".join(codes))

    def undo_all_ids(self) -> str:
        """The code that deletes all images, for a process that does not know their ids."""
        return self._wrap(delete_all(FIRST_ID, FIRST_ID + SENTINEL_COUNT - 1))

    def _wrap(self, codes: str) -> str:
        return through_tmux(codes) if self._tmux else codes

    def _evict(self, colors: Collection[str]) -> Iterator[str]:
        held = sum(placement.pixels for placement in self)
        for placement in sorted(
            (found for found in self if found.sent and found.color not in colors),
            key=lambda found: found.last_sent,
        ):
            if held <= MAX_PIXELS:
                return
            held -= placement.pixels
            placement.sent = None
            yield delete(placement.identity)

    def _allocate(self, columns: int, lines: int) -> Placement | None:
        """A placement with unused sentinels, those that were freed least recently."""
        if columns < 2 or max(columns, lines) > len(MARKS):
            return None
        size = columns * lines
        taken = sorted((used.first_sentinel, used.end) for used in self)
        for at in (self._next, 0):
            for first, end in taken:
                if first >= at + size:
                    break
                at = max(at, end)
            if at + size <= SENTINEL_COUNT:
                placement = Placement(at, columns, lines)
                self._next = placement.end
                for row, text in enumerate(placement.rows):
                    for column, character in enumerate(text):
                        self._cells[character] = placeholder(row, column), placement.color
                return placement
        return None

    def _free(self, placement: Placement) -> None:
        for row in placement.rows:
            for character in row:
                del self._cells[character]
        if placement.sent:
            self._to_delete.append(placement.identity)
