"""Writer of cells as ANSI codes: moves the cursor to cells that differ, and writes only style changes."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tui.terminal.cell_style import PLAIN, CellStyle, Row, sgr_delta
from tui.terminal.image_updates import Cell

SINGLE_WIDTH: Final = re.compile(r"[ -~─-▟⠀-⣿]*")
"""Characters that are one cell wide in every terminal."""
_MAX_REWRITTEN_GAP: Final = 3
"""Unchanged cells that are written again rather than skipped, because a cursor move takes as many bytes."""


class AnsiWriter:
    """Codes to write, from a position of the cursor and a style; None where the terminal's is not known."""

    def __init__(self, cursor: tuple[int, int] | None, style: CellStyle | None) -> None:
        self.cursor = cursor
        self.style = style
        self.parts: list[str] = []

    @property
    def length(self) -> int:
        """Number of characters written."""
        return sum(map(len, self.parts))

    def write_row(self, y: int, wanted: Row, shown: Row) -> None:
        """Write the cells of a row that differ from those shown."""
        characters, styles = wanted
        if characters == shown[0] and styles == shown[1]:
            return
        for start, end in list(_changed(wanted, shown)):
            self._move_to(start, y)
            at = start
            while at < end:
                style, last = styles[at], at + 1
                while last < end and styles[last] == style:
                    last += 1
                self._set_style(style)
                self.parts.append("".join(characters[at:last]))
                at = last
            # After the last column a terminal may wrap, and some characters have other widths in some terminals.
            known = end < len(characters) and SINGLE_WIDTH.fullmatch("".join(characters[start:end]))
            self.cursor = (end, y) if known else None

    def write_run(self, style: CellStyle, cells: Iterable[Cell], wanted: dict[int, Row]) -> None:
        """Write half-blocks and blanks of one style, wherever they are."""
        self._set_style(style)
        for y, x in cells:
            characters = wanted[y][0]
            self._move_to(x, y)
            self.parts.append(characters[x])
            self.cursor = (x + 1, y) if x + 1 < len(characters) else None

    def move(self, cursor: tuple[int, int]) -> None:
        """Move the cursor to a column and row."""
        if cursor != self.cursor:
            self.cursor = cursor
            self.parts.append(f"\x1b[{cursor[1] + 1};{cursor[0] + 1}H")

    def reset(self) -> None:
        """Reset the style, if anything was written."""
        if self.parts:
            self.parts.append("\x1b[m")
            self.style = PLAIN

    def _set_style(self, style: CellStyle) -> None:
        if style != self.style:
            self.parts.append(sgr_delta(self.style, style))
            self.style = style

    def _move_to(self, x: int, y: int) -> None:
        if self.cursor == (x, y):
            return
        if self.cursor is not None and self.cursor[1] == y and self.cursor[0] < x:
            self.parts.append(f"\x1b[{x - self.cursor[0]}C")
        else:
            self.parts.append(f"\x1b[{y + 1};{x + 1}H")


def _changed(wanted: Row, shown: Row) -> Iterator[tuple[int, int]]:
    """Spans of a row that must be written, as start and end."""
    characters = wanted[0]
    start = end = -1
    for x, (cell, before) in enumerate(zip(zip(*wanted, strict=True), zip(*shown, strict=True), strict=True)):
        # The second half of a wide character goes with the first; the content of an unwritten cell is unknown.
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
