"""Model of a terminal with Kitty's graphics protocol: its screen in pixels, and its answers.

It implements what the dashboard uses, strictly: a code that terminals could interpret differently is an error.
"""

import base64
import codecs
import fcntl
import io
import os
import re
import struct
import termios
from typing import Any, Final

import numpy as np
import pyte
from numpy.typing import NDArray
from PIL import Image

from tests.support.terminals import Terminal
from tui.export.rasterize import CELL_HEIGHT as HEIGHT
from tui.export.rasterize import CELL_WIDTH as WIDTH
from tui.export.rasterize import glyph
from tui.terminal.kitty.protocol import MARKS

Pixels = NDArray[np.uint8]
Part = tuple[int, int, int]
"""Id of an image, row and column in it."""
_CODE: Final = re.compile(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\|\x1b\[c|\x1b\[6n")
_BEGUN: Final = re.compile(r"\x1b(?:_[^\x1b]*\x1b?|\[[^a-zA-Z]*|)$")
_NAMES: Final = {"black": "000000", "red": "aa0000", "green": "00aa00", "brown": "aa5500", "white": "aaaaaa"}


class KittyScreen:
    """Cells, as pyte parses them, and images in those that are placeholders.

    Args:
        columns: width in cells.
        lines: height in cells.
        graphics: whether it answers queries for graphics.
        placeholders: whether it supports virtual placements; otherwise it takes them for ordinary ones.
        drops_unknown: whether it drops codes with unknown keys, without an answer, as Kitty 0.26 does. Without
            placeholders, the key of virtual placements is unknown.
    """

    def __init__(
        self,
        columns: int,
        lines: int,
        *,
        graphics: bool = True,
        placeholders: bool = True,
        drops_unknown: bool = False,
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.Stream(self.screen)
        self.graphics, self.placeholders = graphics, placeholders
        self.drops_unknown = drops_unknown
        self.images: dict[int, Image.Image] = {}
        self.placements: dict[int, tuple[int, int]] = {}
        self.transmitted = 0
        self._rest = ""
        self._begun: tuple[dict[str, str], str] | None = None

    def feed(self, text: str) -> str:
        """Process output, and return the terminal's answer."""
        text = self._rest + text
        begun = _BEGUN.search(text)
        self._rest = text[begun.start() :] if begun else ""
        text, answers, at = text[: len(text) - len(self._rest)], "", 0
        for code in _CODE.finditer(text):
            self.stream.feed(text[at : code.start()])
            at = code.end()
            answers += self._answer(code)
        self.stream.feed(text[at:])
        return answers

    def _answer(self, code: re.Match[str]) -> str:
        cursor = self.screen.cursor
        if code[0] == "\x1b[c":
            return "\x1b[?62;c"
        if code[0] == "\x1b[6n":
            return f"\x1b[{cursor.y + 1};{cursor.x + 1}R"
        if not self.graphics:
            return ""
        keys = dict(one.split("=") for one in code[1].split(","))
        if keys.get("a") == "q":
            assert self._begun is None
            return f"\x1b_Gi={keys['i']};OK\x1b\\"
        if "U" in keys and self.drops_unknown and not self.placeholders:
            return ""
        self._do(keys, code[2] or "")
        if keys.get("q") == "2":
            return ""
        assert keys["a"] == "p", f"{code[1]} would be answered"
        return f"\x1b_Gi={keys['i']};OK\x1b\\"

    def _do(self, keys: dict[str, str], data: str) -> None:
        assert len(data) <= 4096
        if self._begun is not None:
            assert set(keys) <= {"m", "q"}, f"{keys} within an image"
            keys, data = {**self._begun[0], **keys}, self._begun[1] + data
        if keys.get("m") == "1":
            assert len(data) % 4 == 0
            self._begun = keys, data
            return
        self._begun = None
        if keys["a"] == "t":
            self._transmit(keys, base64.b64decode(data, validate=True))
        elif keys["a"] == "p":
            self._place(int(keys["i"]), int(keys["c"]), int(keys["r"]), virtual=keys["U"] == "1")
        elif keys["d"] == "I":
            self._delete(int(keys["i"]))
        else:
            assert keys["d"] == "R", f"unknown: {keys}"
            for identity in range(int(keys["x"]), int(keys["y"]) + 1):
                self._delete(identity)

    def _transmit(self, keys: dict[str, str], data: bytes) -> None:
        self._delete(int(keys["i"]))
        if keys["f"] == "100":
            image = Image.open(io.BytesIO(data))
            image.load()
        else:
            image = Image.frombytes("RGBA", (int(keys["s"]), int(keys["v"])), data)
        self.images[int(keys["i"])] = image.convert("RGBA")
        self.transmitted += 1

    def _place(self, identity: int, columns: int, rows: int, *, virtual: bool) -> None:
        assert identity in self.images, "a placement without an image"
        assert virtual
        if self.placeholders:
            self.placements[identity] = columns, rows
        else:
            self.screen.cursor.x += columns

    def _delete(self, identity: int) -> None:
        self.images.pop(identity, None)
        self.placements.pop(identity, None)

    def pixels(self) -> Pixels:
        """The screen, uint8 [lines * 24, columns * 12, 3]."""
        canvas = np.zeros((self.screen.lines * HEIGHT, self.screen.columns * WIDTH, 3), np.uint8)
        for y in range(self.screen.lines):
            left: Part | None = None
            for x in range(self.screen.columns):
                cell = self.screen.buffer[y][x]
                area = canvas[y * HEIGHT : (y + 1) * HEIGHT, x * WIDTH : (x + 1) * WIDTH]
                back, front = _rgb(cell.bg, "000000"), _rgb(cell.fg, "ffffff")
                area[:] = front if cell.reverse else back
                left = _part(cell, left) if cell.data[:1] == "\U0010eeee" else None
                if left is not None:
                    self._draw(area, *left)
                elif cell.data.strip():
                    share = glyph(cell.data, bold=cell.bold)[..., None] / 255
                    area[:] = share * (back if cell.reverse else front) + (1 - share) * area
        return canvas

    def _draw(self, area: Pixels, identity: int, row: int, column: int) -> None:
        """Draw the part of an image that belongs to a cell; nothing without such an image."""
        if identity not in self.placements:
            return
        columns, rows = self.placements[identity]
        assert row < rows
        assert column < columns
        image = self.images[identity].resize((columns * WIDTH, rows * HEIGHT), Image.Resampling.BILINEAR)
        left, top = column * WIDTH, row * HEIGHT
        part = np.asarray(image.crop((left, top, left + WIDTH, top + HEIGHT))).astype(int)
        share = part[..., 3:]
        area[:] = (part[..., :3] * share + area * (255 - share)) // 255


def _part(cell: pyte.screens.Char, left: Part | None) -> Part:
    """Parse a placeholder; one without marks continues the cell to its left."""
    identity = int(cell.fg, 16)
    if len(cell.data) == 1:
        assert left is not None
        assert left[0] == identity, "continues another image"
        return identity, left[1], left[2] + 1
    row, column = (MARKS.index(mark) for mark in cell.data[1:])
    return identity, row, column


def _rgb(color: str, usual: str) -> tuple[int, ...]:
    digits = _NAMES.get(color, color if len(color) == 6 else usual)
    return tuple(int(digits[at : at + 2], 16) for at in (0, 2, 4))


class KittyTerminal(Terminal):
    """A pseudo-terminal whose other end has Kitty's graphics, or part of them."""

    def __init__(
        self,
        *arguments: str,
        size: tuple[int, int],
        graphics: bool = True,
        placeholders: bool = True,
        **options: Any,
    ) -> None:
        self.kitty = KittyScreen(*size, graphics=graphics, placeholders=placeholders)
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        super().__init__(*arguments, size=size, **options)
        self.screen = self.kitty.screen

    def _take(self, data: bytes) -> None:
        if answers := self.kitty.feed(self.decode(data)):
            os.write(self.master, answers.encode())

    def _set_size(self, size: tuple[int, int]) -> None:
        pixels = (size[0] * WIDTH, size[1] * HEIGHT)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], *pixels))
