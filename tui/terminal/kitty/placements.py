"""Places on the screen that show a picture each, and what the terminal has been sent for them.

A place keeps its id and its cells while its picture changes. Then the picture alone is sent again, under the same id,
which is a fraction of what it takes to name another id in cells: 512 of them for a picture 32 cells wide. What the
terminal holds is bounded, and what has not been sent for longest makes room.

To Textual a cell of a place is one private character, a stand-in, for which `tui.terminal.screen_buffer` writes the placeholder and
its colour. They could not pass through Textual themselves: Rich may cut a character from its marks, and a colour that
is an id would be dimmed behind a dialog.
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
"""The first stand-in: a private character above those that fonts have icons in."""
SENTINEL_COUNT: Final = 0x110000 - ord(FIRST_SENTINEL)
FIRST_ID: Final = (1 + os.getpid() % 127) << 17
"""Ids have 24 bits, and all programs of a window share them: as a rule, each dashboard has others."""
DEFAULT_CELL: Final = (10, 20)
"""Pixels of a cell, where the terminal does not say."""
MAX_PIXELS: Final = 1 << 25
"""Of the pictures that the terminal holds, unless more are seen at once; each takes it four bytes."""

Cell = tuple[int, int]
"""Pixels that a cell is wide and high."""
Position = tuple[int, int]
Lines = list[list[Segment]]


class Placement:
    """Cells that show a picture.

    Args:
        first: the number of the first stand-in.
        columns: cells that it is wide.
        lines: cells that it is high.
    """

    def __init__(self, first: int, columns: int, lines: int) -> None:
        self.first, self.columns, self.lines = first, columns, lines
        self.identity = FIRST_ID + first
        self.color = id_color(self.identity)
        self.image: Pixels = np.zeros((1, 1), np.uint8)
        self.raised_black = False
        self.sent: tuple[Pixels, bool, Cell] | None = None
        """What the terminal has for it: a picture, lifted or not, and for cells of which size."""
        self.last_sent = 0
        """The how many-th picture that was, of all that were ever sent."""
        self._drawn: tuple[Style, Lines] | None = None

    @property
    def end(self) -> int:
        """The number after that of the last stand-in."""
        return self.first + self.columns * self.lines

    @property
    def rows(self) -> list[str]:
        """The stand-ins, line by line."""
        start, size = ord(FIRST_SENTINEL) + self.first, self.columns * self.lines
        return [
            "".join(map(chr, range(at, at + self.columns))) for at in range(start, start + size, self.columns)
        ]

    @property
    def pixels(self) -> int:
        """How many the terminal holds for it."""
        return self.columns * self.lines * self.sent[2][0] * self.sent[2][1] if self.sent else 0

    def drawn(self, ground: Style) -> Lines:
        """The stand-ins as segments; the ground is seen where the picture leaves cells free."""
        if self._drawn is None or self._drawn[0] is not ground:
            self._drawn = ground, [[Segment(row, ground)] for row in self.rows]
        return self._drawn[1]

    def is_pending(self, cell: Cell) -> bool:
        """Whether the terminal has another picture for it, or none."""
        if self.sent is None or self.sent[1:] != (self.raised_black, cell):
            return True
        if self.sent[0] is not self.image:
            if not np.array_equal(self.sent[0], self.image):
                return True
            self.sent = (self.image, *self.sent[1:])
        return False

    def transmission(self, cell: Cell) -> str:
        """The codes that send the picture."""
        self.sent = self.image, self.raised_black, cell
        width, height = self.columns * cell[0], self.lines * cell[1]
        png = encode_png(self.image, width, height, lifted=self.raised_black)
        return transmit(self.identity, png, self.columns, self.lines)


class Placements:
    """All places of a dashboard, by who has them.

    Args:
        tmux: whether tmux is between us and the terminal.
    """

    def __init__(self, *, tmux: bool = False) -> None:
        self.cell: Cell = DEFAULT_CELL
        self.has_unsent = False
        """Whether there was no room for a picture that is seen."""
        self._tmux = tmux
        self._by_owner: dict[object, dict[Position, Placement]] = {}
        self._cells: dict[str, tuple[str, str]] = {}
        self._next = 0
        self._sent_count = 0
        self._to_delete: list[int] = []

    def __iter__(self) -> Iterator[Placement]:
        return (place for spots in self._by_owner.values() for place in spots.values())

    def place(
        self, owner: object, spot: Position, image: Pixels, columns: int, lines: int, *, lifted: bool = False
    ) -> Placement | None:
        """Show a picture somewhere from now on.

        Args:
            owner: who has the spot, until `release`.
            spot: which of the owner's it is.
            picture: uint8 [H, W] or [H, W, 3]; nobody changes it afterwards.
            columns: cells that the place is wide.
            lines: cells that it is high.
            lifted: draw black a little brighter.

        Returns:
            The place, or None where there are no stand-ins left for it.
        """
        spots = self._by_owner.setdefault(owner, {})
        place = spots.get(spot)
        if place is None or (place.columns, place.lines) != (columns, lines):
            if place is not None:
                self._free(spots.pop(spot))
            place = self._allocate(columns, lines)
            if place is None:
                return None
            spots[spot] = place
        place.image, place.raised_black = image, lifted
        return place

    def release(self, owner: object, *, beyond: Position = (0, 0)) -> None:
        """Take back places of somebody: those whose spot has a number that is not below the other's."""
        spots = self._by_owner.get(owner, {})
        for spot in [one for one in spots if one[0] >= beyond[0] or one[1] >= beyond[1]]:
            self._free(spots.pop(spot))
        if not spots:
            self._by_owner.pop(owner, None)

    def clear(self) -> None:
        """Take back all places."""
        for owner in list(self._by_owner):
            self.release(owner)

    def resolve(self, cells: list[str], looks: list[CellStyle]) -> None:
        """Put placeholders and their colours where stand-ins are; nothing is where a place has been taken back."""
        for at, character in enumerate(cells):
            if character >= FIRST_SENTINEL:
                cells[at], front = self._cells.get(character, (" ", ""))
                looks[at] = CellStyle("", front, looks[at].background)

    def inherited(self, cells: list[str], looks: list[CellStyle]) -> list[str]:
        """The cells of a row without the marks that the terminal knows by itself."""
        return without_inherited_marks(cells, [look.foreground for look in looks])

    def pending(self, seen: Callable[[], Collection[str]], room: float) -> str:
        """The codes that bring the terminal's pictures in line with the places.

        Args:
            seen: says the colours of placeholders on the screen. A picture that is not seen is not sent.
            room: bytes to begin a picture within; those that were sent longest ago go first.
        """
        codes = [delete(identity) for identity in self._to_delete]
        self._to_delete.clear()
        self.has_unsent = False
        due = [place for place in self if place.is_pending(self.cell)]
        if due:
            colors = seen()
            for place in sorted((one for one in due if one.color in colors), key=lambda one: one.last_sent):
                if room <= 0:
                    self.has_unsent = True
                    break
                self._sent_count += 1
                place.last_sent = self._sent_count
                codes.append(place.transmission(self.cell))
                room -= len(codes[-1])
            codes += self._evict(colors)
        return self._wrap("".join(codes))

    def undo(self) -> str:
        """The codes that delete all pictures; whatever is seen afterwards is sent again."""
        sent = [place for place in self if place.sent]
        codes = [delete(identity) for identity in (*self._to_delete, *(place.identity for place in sent))]
        self._to_delete.clear()
        for place in sent:
            place.sent = None
        return self._wrap("".join(codes))

    def undo_all_ids(self) -> str:
        """The code that deletes all pictures for somebody who does not know which there are."""
        return self._wrap(delete_all(FIRST_ID, FIRST_ID + SENTINEL_COUNT - 1))

    def _wrap(self, codes: str) -> str:
        return through_tmux(codes) if self._tmux else codes

    def _evict(self, colors: Collection[str]) -> Iterator[str]:
        held = sum(place.pixels for place in self)
        for place in sorted(
            (one for one in self if one.sent and one.color not in colors), key=lambda one: one.last_sent
        ):
            if held <= MAX_PIXELS:
                return
            held -= place.pixels
            place.sent = None
            yield delete(place.identity)

    def _allocate(self, columns: int, lines: int) -> Placement | None:
        """A place whose stand-ins nobody has, and that have not been given back for longest."""
        if columns < 2 or max(columns, lines) > len(MARKS):
            return None
        size, taken = columns * lines, sorted((one.first, one.end) for one in self)
        for at in (self._next, 0):
            for first, end in taken:
                if first >= at + size:
                    break
                at = max(at, end)
            if at + size <= SENTINEL_COUNT:
                place = Placement(at, columns, lines)
                self._next = place.end
                for row, text in enumerate(place.rows):
                    for column, character in enumerate(text):
                        self._cells[character] = placeholder(row, column), place.color
                return place
        return None

    def _free(self, place: Placement) -> None:
        for row in place.rows:
            for character in row:
                del self._cells[character]
        if place.sent:
            self._to_delete.append(place.identity)
