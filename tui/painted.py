"""What a terminal shows, cell by cell, so that only what changed is sent to it.

Textual sends whole regions, each piece with its full colours and a reset. Over SSH that is most of what is sent: a
chart in which one dot moves, or a column of pictures that keeps its white ground. `Painted` reads what Textual wrote,
and says the same with fewer bytes: cells that differ, and of their colours the part that differs.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import get_character_cell_size


class Look(NamedTuple):
    """How a cell looks, as parts of an SGR sequence: attributes, colour and ground; empty where plain."""

    attributes: str
    color: str
    ground: str


PLAIN: Final = Look("", "", "")
Row = tuple[list[str], list[Look]]
"""Characters and looks, a cell each; no character where nothing was written, or a wide one goes on."""

_MOVE: Final = re.compile(r"\x1b\[(\d+);(\d+)H")
_TOKEN: Final = re.compile(r"\x1b\[([0-9;]*)m|([^\x1b\n]+)")
_CELLS: Final = re.compile(r"(?:\x1b\[[0-9;]*m|[^\x00-\x1f\x7f-\x9f]+)*\n?")
_MODE: Final = re.compile(r"(?:\x1b\[\?(?:25|100\d|1015|1016|2004|2048)[hl]|\x1b\[\?\d+\$p)+")
_SIMPLE: Final = re.compile(r"[ -~─-▟⠀-⣿]*")
_INKED: Final = frozenset({"4", "7", "9", "21", "53"})
"""Attributes by which even a space shows the colour of its text: underlined, reversed, struck through."""
_REACH: Final = 3
"""So many cells that are as they should be are written again rather than leapt over: the leap is as long."""
_RAMP: Final = {8 + 10 * step: f"5;{232 + step}" for step in range(24)} | {255: "5;231"}
_NEAR: Final = 5
"""Of 255: how far a grey may be from one of the terminal's own, whose name is half as long. Nobody sees it."""


class Painted:
    """The cells that a terminal shows, and those that it should."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The terminal may show anything: all that comes is sent, until it is known again."""
        self._wanted: dict[int, Row] = {}
        self._shown: dict[int, Row] = {}
        self._pieces: dict[int, list[tuple[int, int, str]]] = {}
        self._dirty: set[int] = set()
        self._cursor: tuple[int, int] | None = None
        self._wanted_cursor: tuple[int, int] | None = None
        self._look: Look | None = None

    def take(self, data: str) -> bool:
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

    def send(self) -> str:
        """What makes the terminal show what it should; empty when it does."""
        parts: list[str] = []
        for y in sorted(self._dirty):
            self._send_row(y, parts)
        self._dirty.clear()
        if parts:
            parts.append("\x1b[m")
            self._look = PLAIN
        if self._wanted_cursor is not None and self._wanted_cursor != self._cursor:
            self._cursor = self._wanted_cursor
            parts.append(f"\x1b[{self._cursor[1] + 1};{self._cursor[0] + 1}H")
        self._wanted_cursor = None
        return "".join(parts)

    def _end_if_known(self, x: int, y: int, text: str) -> int | None:
        """Where a piece ends that was written there before, and not over since; None for any other."""
        return next(
            (end for start, end, known in self._pieces.get(y, ()) if start == x and known == text), None
        )

    def _read(self, x: int, y: int, text: str) -> int:
        at, look = x, PLAIN
        for style, characters in _TOKEN.findall(text):
            if characters:
                at = self._put(at, y, characters, look)
            else:
                look = _look_of(style)
        kept = [piece for piece in self._pieces.get(y, ()) if piece[1] <= x or piece[0] >= at]
        self._pieces[y] = [*kept, (x, at, text)] if at > x else kept
        return at

    def _put(self, x: int, y: int, text: str, look: Look) -> int:
        characters, looks = self._wanted.setdefault(y, ([], []))
        cells = list(text) if _SIMPLE.fullmatch(text) else _cells(text)
        end = x + len(cells)
        if end > len(characters):
            missing = end - len(characters)
            shown = self._shown.setdefault(y, ([], []))
            for row in ((characters, looks), shown):
                row[0].extend([""] * missing)
                row[1].extend([PLAIN] * missing)
        if text.isspace():
            look = _of_space(look)
        characters[x:end] = cells
        looks[x:end] = [look] * len(cells)
        self._dirty.add(y)
        return end

    def _send_row(self, y: int, parts: list[str]) -> None:
        (characters, looks), (old_characters, old_looks) = self._wanted[y], self._shown[y]
        if characters == old_characters and looks == old_looks:
            return
        for start, end in list(_changed(self._wanted[y], self._shown[y])):
            if self._cursor != (start, y):
                parts.append(self._leap(start, y))
            at = start
            while at < end:
                look, last = looks[at], at + 1
                while last < end and looks[last] == look:
                    last += 1
                if look != self._look:
                    parts.append(_change(self._look, look))
                    self._look = look
                parts.append("".join(characters[at:last]))
                at = last
            # Behind the last column a terminal may wait or not, and about some characters it may think otherwise.
            known = end < len(characters) and _SIMPLE.fullmatch("".join(characters[start:end]))
            self._cursor = (end, y) if known else None
        old_characters[:], old_looks[:] = characters, looks

    def _leap(self, x: int, y: int) -> str:
        if self._cursor is not None and self._cursor[1] == y and self._cursor[0] < x:
            return f"\x1b[{x - self._cursor[0]}C"
        return f"\x1b[{y + 1};{x + 1}H"


def is_mode(data: str) -> bool:
    """Whether something sets modes that change no cell, such as the mouse's, or asks for them."""
    return _MODE.fullmatch(data) is not None


def _changed(wanted: Row, shown: Row) -> Iterator[tuple[int, int]]:
    """The stretches of a row that are to be written, each from one cell up to another."""
    characters = wanted[0]
    start = end = -1
    for x, (cell, before) in enumerate(zip(zip(*wanted, strict=True), zip(*shown, strict=True), strict=True)):
        # The second half of a wide character goes with the first; of a cell never written nothing is known.
        if cell == before or not cell[0]:
            continue
        if start >= 0 and x - end <= _REACH and all(characters[end:x]):
            end = x + 1
        else:
            if start >= 0:
                yield start, end
            start, end = x, x + 1
    if start >= 0:
        yield start, end


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


@lru_cache(maxsize=1 << 16)
def _look_of(style: str) -> Look:
    """The look after an SGR sequence from a plain one, greys by their shorter names."""
    words = iter(style.split(";"))
    attributes: list[str] = []
    colors = {"3": "", "4": ""}
    for word in words:
        if word in ("", "0"):
            attributes, colors = [], {"3": "", "4": ""}
        elif word in ("38", "48"):
            kind = next(words, "")
            rest = [next(words, "") for _ in range(3 if kind == "2" else 1)]
            colors[word[0]] = f"{word};{_short(kind, rest)}"
        elif len(word) >= 2 and word[:-1] in ("3", "4", "9", "10"):
            place = "3" if word[:-1] in ("3", "9") else "4"
            colors[place] = "" if word[-1] == "9" and len(word) == 2 and word[0] in "34" else word
        else:
            attributes.append(word)
    return Look(";".join(attributes), colors["3"], colors["4"])


def _short(kind: str, rest: list[str]) -> str:
    if kind == "2" and rest[0] == rest[1] == rest[2] and rest[0].isdigit():
        level = int(rest[0])
        near = min(_RAMP, key=lambda grey: abs(grey - level))
        if abs(near - level) <= _NEAR:
            return _RAMP[near]
    return ";".join([kind, *rest])


@lru_cache(maxsize=1 << 12)
def _of_space(look: Look) -> Look:
    """How a space looks: without a colour that nobody sees."""
    inked = _INKED.intersection(look.attributes.split(";"))
    return look if inked else Look("", "", look.ground)


def _change(before: Look | None, after: Look) -> str:
    """The SGR sequence from one look to another."""
    if before is None or before.attributes != after.attributes:
        return f"\x1b[{';'.join(part for part in ('0', *after) if part)}m"
    words = []
    if before.color != after.color:
        words.append(after.color or "39")
    if before.ground != after.ground:
        words.append(after.ground or "49")
    return f"\x1b[{';'.join(words)}m"
