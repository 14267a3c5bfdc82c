"""What a terminal shows, cell by cell, so that only what changed is sent to it.

Textual sends whole regions, each piece with its full colours and a reset. Over SSH that is most of what is sent: a
chart in which one dot moves, or a column of pictures that keeps its white ground. `ScreenBuffer` reads what Textual wrote,
and says the same with fewer bytes: cells that differ, and of their colours the part that differs.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.cells import get_character_cell_size

from tui.terminal.ansi_writer import SINGLE_WIDTH, AnsiWriter
from tui.terminal.cell_style import PLAIN, CellStyle, Row, for_blank, style_of
from tui.terminal.image_updates import (
    CELL_BYTES,
    Cell,
    count_text_changes,
    group_by_style,
    image_cells,
    largest_errors,
)

if TYPE_CHECKING:
    from tui.terminal.kitty.placements import Placements

_MOVE: Final = re.compile(r"\x1b\[(\d+);(\d+)H")
_TOKEN: Final = re.compile(r"\x1b\[([0-9;]*)m([^\x1b\n]*)(?:\x1b\[0m)?|([^\x1b\n]+)")
"""A style with its text, and its end, as Textual writes it; or text without a style."""
_CELLS: Final = re.compile(r"(?:\x1b\[[0-9;]*m|[^\x00-\x1f\x7f-\x9f]+)*\n?")
_MODE: Final = re.compile(r"(?:\x1b\[\?(?:25|100\d|1015|1016|2004|2048)[hl]|\x1b\[\?\d+\$p)+")
MIN_GROUPED_CELLS: Final = 64
"""With fewer cells of pictures than these it is not worth while to look for the shorter way to send them."""
NEW_SCREEN_RATIO: Final = 6
"""One cell in so many is text that changes: another screen is shown."""


class ScreenBuffer:
    """The cells that a terminal shows, and those that it should."""

    def __init__(self) -> None:
        self.placements: Placements | None = None
        """The places of pictures that the terminal draws itself."""
        self.invalidate()

    def invalidate(self) -> None:
        """The terminal may show anything: all that comes is sent, until it is known again."""
        self._wanted: dict[int, Row] = {}
        self._shown: dict[int, Row] = {}
        self._known_pieces: dict[int, list[tuple[int, int, str]]] = {}
        self._dirty: set[int] = set()
        self._cursor: tuple[int, int] | None = None
        self._wanted_cursor: tuple[int, int] | None = None
        self._style: CellStyle | None = None

    def write(self, data: str) -> bool:
        """Read cells that were written; False for what is not made of cells alone, of which nothing is read."""
        first, *moves = _MOVE.split(data)
        x, y = self._wanted_cursor or self._cursor or (0, 0)
        pieces = [(x, y, first)] if first else []
        pieces += [
            (int(column) - 1, int(row) - 1, text)
            for row, column, text in zip(moves[::3], moves[1::3], moves[2::3], strict=True)
        ]
        if not all(self._end_if_known(*piece) is not None or _CELLS.fullmatch(piece[2]) for piece in pieces):
            return False
        for x, y, text in pieces:
            end = self._end_if_known(x, y, text)
            self._wanted_cursor = (self._read(x, y, text) if end is None else end, y)
        return True

    def flush(self, room: int | None = None) -> str:
        """What makes the terminal show what it should; empty when it does.

        Args:
            room: bytes that may be of pictures, about; what has no room waits for the next time, see `waits`. None
                sends all.
        """
        wanted = {y: self._target_row(y) for y in self._dirty}
        cells = [(y, x) for y, row in wanted.items() for x in image_cells(row, self._shown[y])]
        sent = self._select_cells(cells, wanted, room)
        waiting = set(cells).difference(sent) if len(sent) < len(cells) else set()
        pen = self._write_rows(wanted) if not waiting else None
        if len(sent) >= MIN_GROUPED_CELLS or waiting:
            apart = self._write_text_first(cells, sent, wanted)
            pen = apart if pen is None or apart.length < pen.length else pen
        assert pen is not None  # nothing waits, or it was written apart
        self._commit(waiting, wanted)
        pen.reset()
        if self._wanted_cursor is not None:
            pen.move(self._wanted_cursor)
        self._wanted_cursor = None
        self._cursor, self._style = pen.cursor, pen.style
        return "".join(pen.parts)

    def is_dirty(self) -> bool:
        """Whether there is something left to send."""
        return bool(self._dirty)

    def colors(self) -> set[str]:
        """The colours of all texts, among which are those of placeholders, that name pictures."""
        return {look.foreground for _, looks in self._wanted.values() for look in looks}

    def _target_row(self, y: int) -> Row:
        """A row as it is written, which is shorter where the terminal draws pictures itself."""
        row = self._wanted[y]
        return row if self.placements is None else (self.placements.inherited(*row), row[1])

    def _select_cells(self, cells: list[Cell], wanted: dict[int, Row], room: int | None) -> list[Cell]:
        """The cells of pictures that are sent now."""
        if room is None or CELL_BYTES * len(cells) <= room:
            return cells
        texts = count_text_changes(self._dirty, wanted, self._shown, len(cells))
        if NEW_SCREEN_RATIO * texts > sum(len(row[0]) for row in self._wanted.values()):
            return cells  # remains of the old screen would be in the way of the new one's texts
        return largest_errors(cells, wanted, self._shown, room // CELL_BYTES)

    def _write_rows(self, wanted: dict[int, Row]) -> AnsiWriter:
        """All that is to be written, row by row."""
        pen = AnsiWriter(self._cursor, self._style)
        for y in sorted(self._dirty):
            pen.write_row(y, wanted[y], self._shown[y])
        return pen

    def _write_text_first(self, cells: list[Cell], sent: list[Cell], wanted: dict[int, Row]) -> AnsiWriter:
        """Texts row by row, then of the cells of pictures those that are sent, look by look."""
        pen = AnsiWriter(self._cursor, self._style)
        texts = {y: (characters.copy(), looks.copy()) for y, (characters, looks) in wanted.items()}
        for y, x in cells:
            texts[y][0][x], texts[y][1][x] = self._shown[y][0][x], self._shown[y][1][x]
        for y in sorted(self._dirty):
            pen.write_row(y, texts[y], self._shown[y])
        for look, places in group_by_style(sent, wanted):
            pen.write_run(look, places, wanted)
        return pen

    def _commit(self, waiting: set[Cell], wanted: dict[int, Row]) -> None:
        """All is shown now, but for the cells that wait."""
        kept = [(y, x, self._shown[y][0][x], self._shown[y][1][x]) for y, x in waiting]
        for y, row in wanted.items():
            self._shown[y][0][:], self._shown[y][1][:] = row
        for y, x, character, look in kept:
            self._shown[y][0][x], self._shown[y][1][x] = character, look
        self._dirty = {y for y, _ in waiting}

    def _end_if_known(self, x: int, y: int, text: str) -> int | None:
        """Where a piece ends that was written there before, and not over since; None for any other."""
        return next(
            (end for start, end, known in self._known_pieces.get(y, ()) if start == x and known == text), None
        )

    def _read(self, x: int, y: int, text: str) -> int:
        cells: list[str] = []
        looks: list[CellStyle] = []
        for style, styled, plain in _TOKEN.findall(text):
            characters = styled or plain
            if len(characters) == 1 and SINGLE_WIDTH.fullmatch(characters):
                cells.append(characters)
                looks.append(_style_of(style, blank=characters == " "))
            elif characters:
                found = list(characters) if SINGLE_WIDTH.fullmatch(characters) else _cells(characters)
                cells += found
                looks += [_style_of(style, blank=characters.isspace())] * len(found)
        end = self._put(x, y, cells, looks)
        kept = [piece for piece in self._known_pieces.get(y, ()) if piece[1] <= x or piece[0] >= end]
        self._known_pieces[y] = [*kept, (x, end, text)] if end > x else kept
        return end

    def _put(self, x: int, y: int, cells: list[str], looks: list[CellStyle]) -> int:
        end = x + len(cells)
        if end == x:
            return end
        row = self._wanted.setdefault(y, ([], []))
        if (missing := end - len(row[0])) > 0:
            for one in (row, self._shown.setdefault(y, ([], []))):
                one[0].extend([""] * missing)
                one[1].extend([PLAIN] * missing)
        if self.placements is not None:
            self.placements.resolve(cells, looks)
        row[0][x:end] = cells
        row[1][x:end] = looks
        self._dirty.add(y)
        return end


@lru_cache(maxsize=1 << 16)
def _style_of(style: str, *, blank: bool) -> CellStyle:
    """How a cell of a style looks; a blank one has no colour that nobody sees."""
    look = style_of(style)
    return for_blank(look) if blank else look


def is_mode(data: str) -> bool:
    """Whether something sets modes that change no cell, such as the mouse's, or asks for them."""
    return _MODE.fullmatch(data) is not None


def _cells(text: str) -> list[str]:
    """Characters by the cells they take; what takes none goes with the one before."""
    cells: list[str] = []
    for character in text:
        size = get_character_cell_size(character)
        if size:
            cells += [character, *[""] * (size - 1)]
        elif cells:
            cells[next(at for at in range(len(cells) - 1, -1, -1) if cells[at])] += character
    return cells
