"""Double buffer of a terminal's cells, from which only the differences are sent.

Textual sends whole regions, each piece with its full colours and a reset. Over SSH that is most of the output: a chart
in which one dot moves, or a column of images with a constant white background. `ScreenBuffer` parses what Textual
wrote, and encodes it in fewer bytes: the cells that differ, and the parts of their styles that differ.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.cells import get_character_cell_size

from core.files.sanitize import sanitize
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
"""A style with its text and its reset, as Textual writes it; or text without a style."""
_CELLS: Final = re.compile(
    r"(?:\x1b\[[0-9;]*m|[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+)*\n?"
)
_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")
_MODE: Final = re.compile(r"(?:\x1b\[\?(?:25|100\d|1015|1016|2004|2048)[hl]|\x1b\[\?\d+\$p)+")
MIN_GROUPED_CELLS: Final = 64
"""Image cells from which on it is worth while to try the grouped encoding as well."""
NEW_SCREEN_RATIO: Final = 6
"""Another screen is shown where more than one cell in this many is text that changes."""


class ScreenBuffer:
    """The cells that a terminal shows, and those that it should show."""

    def __init__(self) -> None:
        self.placements: Placements | None = None
        """Placements of images that the terminal draws itself."""
        self.invalidate()

    def invalidate(self) -> None:
        """Forget what the terminal shows; cells are sent in full until it is known again."""
        self._wanted: dict[int, Row] = {}
        self._shown: dict[int, Row] = {}
        self._known_pieces: dict[int, list[tuple[int, int, str]]] = {}
        self._dirty: set[int] = set()
        self._cursor: tuple[int, int] | None = None
        self._wanted_cursor: tuple[int, int] | None = None
        self._style: CellStyle | None = None

    def write(self, data: str) -> bool:
        """Parse output into cells; return False, and parse nothing, for output that is not made of cells alone.

        Control characters within a frame are part of a text that was not sanitized. They are removed here at last.
        """
        first, *moves = _MOVE.split(data)
        x, y = self._wanted_cursor or self._cursor or (0, 0)
        pieces = [(x, y, first)] if first else []
        pieces += [
            (int(column) - 1, int(row) - 1, text)
            for row, column, text in zip(moves[::3], moves[1::3], moves[2::3], strict=True)
        ]
        if not all(self._end_if_known(*piece) is not None or _CELLS.fullmatch(piece[2]) for piece in pieces):
            if not moves:
                return False
            pieces = [(x, y, _without_controls(text)) for x, y, text in pieces]
        for x, y, text in pieces:
            end = self._end_if_known(x, y, text)
            self._wanted_cursor = (self._read(x, y, text) if end is None else end, y)
        return True

    def flush(self, room: int | None = None) -> str:
        """The codes that bring the terminal up to date; empty when it is.

        Args:
            room: approximate bytes that image cells may use; the rest waits for the next call, see `is_dirty`. None
                sends all.
        """
        wanted = {y: self._target_row(y) for y in self._dirty}
        cells = [(y, x) for y, row in wanted.items() for x in image_cells(row, self._shown[y])]
        sent = self._select_cells(cells, wanted, room)
        waiting = set(cells).difference(sent) if len(sent) < len(cells) else set()
        writer = self._write_rows(wanted) if not waiting else None
        if len(sent) >= MIN_GROUPED_CELLS or waiting:
            grouped = self._write_text_first(cells, sent, wanted)
            writer = grouped if writer is None or grouped.length < writer.length else writer
        assert writer is not None  # without waiting cells the rows were written, else the groups
        self._commit(waiting, wanted)
        writer.reset()
        if self._wanted_cursor is not None:
            writer.move(self._wanted_cursor)
        self._wanted_cursor = None
        self._cursor, self._style = writer.cursor, writer.style
        return "".join(writer.parts)

    def is_dirty(self) -> bool:
        """True if cells wait to be sent."""
        return bool(self._dirty)

    def colors(self) -> set[str]:
        """Foreground colours of all cells, among them those of placeholders, which are ids of images."""
        return {style.foreground for _, styles in self._wanted.values() for style in styles}

    def _target_row(self, y: int) -> Row:
        """A row as it is to be written, with shorter placeholders where the terminal draws images itself."""
        row = self._wanted[y]
        return row if self.placements is None else (self.placements.without_inherited_marks(*row), row[1])

    def _select_cells(self, cells: list[Cell], wanted: dict[int, Row], room: int | None) -> list[Cell]:
        """The image cells to send now."""
        if room is None or CELL_BYTES * len(cells) <= room:
            return cells
        texts = count_text_changes(self._dirty, wanted, self._shown, len(cells))
        if NEW_SCREEN_RATIO * texts > sum(len(row[0]) for row in self._wanted.values()):
            return cells  # or remains of the old screen would stay between the texts of the new one
        return largest_errors(cells, wanted, self._shown, room // CELL_BYTES)

    def _write_rows(self, wanted: dict[int, Row]) -> AnsiWriter:
        """Write all changes, row by row."""
        writer = AnsiWriter(self._cursor, self._style)
        for y in sorted(self._dirty):
            writer.write_row(y, wanted[y], self._shown[y])
        return writer

    def _write_text_first(self, cells: list[Cell], sent: list[Cell], wanted: dict[int, Row]) -> AnsiWriter:
        """Write texts row by row, then the image cells to send, style by style."""
        writer = AnsiWriter(self._cursor, self._style)
        texts = {y: (characters.copy(), styles.copy()) for y, (characters, styles) in wanted.items()}
        for y, x in cells:
            texts[y][0][x], texts[y][1][x] = self._shown[y][0][x], self._shown[y][1][x]
        for y in sorted(self._dirty):
            writer.write_row(y, texts[y], self._shown[y])
        for style, places in group_by_style(sent, wanted):
            writer.write_run(style, places, wanted)
        return writer

    def _commit(self, waiting: set[Cell], wanted: dict[int, Row]) -> None:
        """Record that all is shown now, except the cells that wait."""
        kept = [(y, x, self._shown[y][0][x], self._shown[y][1][x]) for y, x in waiting]
        for y, row in wanted.items():
            self._shown[y][0][:], self._shown[y][1][:] = row
        for y, x, character, style in kept:
            self._shown[y][0][x], self._shown[y][1][x] = character, style
        self._dirty = {y for y, _ in waiting}

    def _end_if_known(self, x: int, y: int, text: str) -> int | None:
        """End column of a piece that was written there before and not overwritten since; None for any other."""
        return next(
            (end for start, end, known in self._known_pieces.get(y, ()) if start == x and known == text), None
        )

    def _read(self, x: int, y: int, text: str) -> int:
        cells: list[str] = []
        styles: list[CellStyle] = []
        for style, styled, plain in _TOKEN.findall(text):
            characters = styled or plain
            if len(characters) == 1 and SINGLE_WIDTH.fullmatch(characters):
                cells.append(characters)
                styles.append(_style_of(style, blank=characters == " "))
            elif characters:
                found = list(characters) if SINGLE_WIDTH.fullmatch(characters) else _split_cells(characters)
                cells += found
                styles += [_style_of(style, blank=characters.isspace())] * len(found)
        end = self._put(x, y, cells, styles)
        kept = [piece for piece in self._known_pieces.get(y, ()) if piece[1] <= x or piece[0] >= end]
        self._known_pieces[y] = [*kept, (x, end, text)] if end > x else kept
        return end

    def _put(self, x: int, y: int, cells: list[str], styles: list[CellStyle]) -> int:
        end = x + len(cells)
        if end == x:
            return end
        row = self._wanted.setdefault(y, ([], []))
        if (missing := end - len(row[0])) > 0:
            for one in (row, self._shown.setdefault(y, ([], []))):
                one[0].extend([""] * missing)
                one[1].extend([PLAIN] * missing)
        if self.placements is not None:
            self.placements.resolve(cells, styles)
        row[0][x:end] = cells
        row[1][x:end] = styles
        self._dirty.add(y)
        return end


def _without_controls(text: str) -> str:
    """Remove everything from a piece of a frame that is neither a character to show nor a style."""
    parts = _STYLE.split(text.removesuffix("\n"))
    shown = [part if index % 2 else sanitize(part, limit=0) for index, part in enumerate(parts)]
    return "".join(shown) + "\n" * text.endswith("\n")


@lru_cache(maxsize=1 << 16)
def _style_of(style: str, *, blank: bool) -> CellStyle:
    """Parse a style; that of a blank cell has no foreground unless it is visible."""
    parsed = style_of(style)
    return for_blank(parsed) if blank else parsed


def is_mode(data: str) -> bool:
    """Return whether output only sets or queries modes that change no cell, such as the mouse's."""
    return _MODE.fullmatch(data) is not None


def _split_cells(text: str) -> list[str]:
    """Split text into cells; a character without a width goes with the one before."""
    cells: list[str] = []
    for character in text:
        size = get_character_cell_size(character)
        if size:
            cells += [character, *[""] * (size - 1)]
        elif cells:
            cells[next(at for at in range(len(cells) - 1, -1, -1) if cells[at])] += character
    return cells
