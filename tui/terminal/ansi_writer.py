"""Writes cells to a terminal: leaps to them, and names of their looks the part that is another."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tui.terminal.cell_style import PLAIN, CellStyle, Row, sgr_delta
from tui.terminal.image_updates import Cell

SINGLE_WIDTH: Final = re.compile(r"[ -~─-▟⠀-⣿]*")
"""Characters of which every terminal thinks that they take one cell."""
_MAX_REWRITTEN_GAP: Final = 3
"""So many cells that are as they should be are written again rather than leapt over: the leap is as long."""


class AnsiWriter:
    """What is written, from where the cursor stands and in the look that is set; None where that is not known."""

    def __init__(self, cursor: tuple[int, int] | None, look: CellStyle | None) -> None:
        self.cursor = cursor
        self.style = look
        self.parts: list[str] = []

    @property
    def length(self) -> int:
        """How many characters were written."""
        return sum(map(len, self.parts))

    def write_row(self, y: int, wanted: Row, shown: Row) -> None:
        """Write the cells of a row that differ from what is shown."""
        characters, looks = wanted
        if characters == shown[0] and looks == shown[1]:
            return
        for start, end in list(_changed(wanted, shown)):
            self._move_to(start, y)
            at = start
            while at < end:
                look, last = looks[at], at + 1
                while last < end and looks[last] == look:
                    last += 1
                self._set_style(look)
                self.parts.append("".join(characters[at:last]))
                at = last
            # Behind the last column a terminal may wait or not, and about some characters it may think otherwise.
            known = end < len(characters) and SINGLE_WIDTH.fullmatch("".join(characters[start:end]))
            self.cursor = (end, y) if known else None

    def write_run(self, look: CellStyle, places: Iterable[Cell], wanted: dict[int, Row]) -> None:
        """Write half-blocks and blanks that have one look, wherever they are."""
        self._set_style(look)
        for y, x in places:
            characters = wanted[y][0]
            self._move_to(x, y)
            self.parts.append(characters[x])
            self.cursor = (x + 1, y) if x + 1 < len(characters) else None

    def move(self, cursor: tuple[int, int]) -> None:
        """Put the cursor there."""
        if cursor != self.cursor:
            self.cursor = cursor
            self.parts.append(f"\x1b[{cursor[1] + 1};{cursor[0] + 1}H")

    def reset(self) -> None:
        """Leave a plain look behind, where anything was written."""
        if self.parts:
            self.parts.append("\x1b[m")
            self.style = PLAIN

    def _set_style(self, look: CellStyle) -> None:
        if look != self.style:
            self.parts.append(sgr_delta(self.style, look))
            self.style = look

    def _move_to(self, x: int, y: int) -> None:
        if self.cursor == (x, y):
            return
        if self.cursor is not None and self.cursor[1] == y and self.cursor[0] < x:
            self.parts.append(f"\x1b[{x - self.cursor[0]}C")
        else:
            self.parts.append(f"\x1b[{y + 1};{x + 1}H")


def _changed(wanted: Row, shown: Row) -> Iterator[tuple[int, int]]:
    """The stretches of a row that are to be written, each from one cell up to another."""
    characters = wanted[0]
    start = end = -1
    for x, (cell, before) in enumerate(zip(zip(*wanted, strict=True), zip(*shown, strict=True), strict=True)):
        # The second half of a wide character goes with the first; of a cell never written nothing is known.
        if cell == before or not cell[0]:
            continue
        if start >= 0 and x - end <= _MAX_REWRITTEN_GAP and all(characters[end:x]):
            end = x + 1
        else:
            if start >= 0:
                yield start, end
            start, end = x, x + 1
    if start >= 0:
        yield start, end
