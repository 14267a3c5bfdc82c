"""Rasterization of characters: blocks, braille and box lines are drawn, so that neighbours join; the rest is text.

Letters of shapes: H rows and W columns of pixels of a cell.
"""

import importlib.util
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Mask = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CELL_WIDTH: Final = 12
CELL_HEIGHT: Final = 24
"""The size of a cell in pixels; half a cell is a square."""
FONT_SIZE: Final = 20
"""The font size in pixels at which letters are as wide as a cell."""
_FACES: Final = {
    (False, False): "DejaVuSansMono.ttf",
    (True, False): "DejaVuSansMono-Bold.ttf",
    (False, True): "DejaVuSansMono-Oblique.ttf",
    (True, True): "DejaVuSansMono-BoldOblique.ttf",
}
_FONT_FOLDERS: Final = (
    Path("/usr/share/fonts/truetype/dejavu"),
    Path("/usr/share/fonts/dejavu-sans-mono-fonts"),
)
_THICKNESS: Final = {"LIGHT": 2, "SINGLE": 2, "HEAVY": 4, "DOUBLE": 4}
_SIDES: Final = {
    "UP": ("up",),
    "DOWN": ("down",),
    "LEFT": ("left",),
    "RIGHT": ("right",),
    "HORIZONTAL": ("left", "right"),
    "VERTICAL": ("up", "down"),
}
_SHADES: Final = {"░": 64, "▒": 128, "▓": 192}
_QUADRANTS: Final = dict(
    zip("▘▝▖▗▀▄▌▐▚▞▛▜▙▟█", (1, 2, 4, 8, 3, 12, 5, 10, 9, 6, 7, 11, 13, 14, 15), strict=True)
)
"""Bits: upper left 1, upper right 2, lower left 4, lower right 8."""


@cache
def glyph(character: str, cells: int = 1, *, bold: bool = False, italic: bool = False) -> Mask:
    """Coverage of each pixel of a cell by a character: uint8 [H, cells * W], read-only.

    Args:
        character: one character, with its combining marks.
        cells: the number of cells that it takes.
        bold: whether it is bold.
        italic: whether it is italic.
    """
    first = character[:1]
    if "⠀" <= first <= "⣿":
        mask = _braille(ord(first) - 0x2800)
    elif "▀" <= first <= "▟":
        mask = _block(first)
    elif "─" <= first <= "╿" and (ends := _line_ends(first)):
        mask = _lines(ends)
    else:
        mask = _text(character, cells, load_font(bold=bold, italic=italic))
    mask.flags.writeable = False
    return mask


@cache
def load_font(*, bold: bool = False, italic: bool = False, size: int = FONT_SIZE) -> Font:
    """Load DejaVu Sans Mono, or Pillow's default font if it is not found."""
    for folder in _font_folders():
        try:
            return ImageFont.truetype(str(folder / _FACES[bold, italic]), size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _font_folders() -> list[Path]:
    # matplotlib includes the font; `find_spec` locates it without an import, which would take a second.
    found = importlib.util.find_spec("matplotlib")
    bundled = [
        Path(where) / "mpl-data" / "fonts" / "ttf"
        for where in (found and found.submodule_search_locations) or ()
    ]
    return [*bundled, *_FONT_FOLDERS]


def _text(character: str, cells: int, font: Font) -> Mask:
    """Draw text in the middle of its cells, on the same baseline as its neighbours."""
    image = Image.new("L", (CELL_WIDTH * cells, CELL_HEIGHT))
    # Pillow's `getlength` is the advance width, not that of the ink, so letters keep their positions within a word.
    left = (CELL_WIDTH * cells - font.getlength(character)) / 2
    ImageDraw.Draw(image).text((left, CELL_HEIGHT - 6), character, fill=255, font=font, anchor="ls")
    return np.array(image)


def _braille(bits: int) -> Mask:
    """Dots of 4 x 4 pixels, in two columns and four rows."""
    mask = np.zeros((CELL_HEIGHT, CELL_WIDTH), np.uint8)
    for bit, (row, column) in enumerate(((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1))):
        if bits >> bit & 1:
            top, left = row * CELL_HEIGHT // 4 + 1, column * CELL_WIDTH // 2 + 1
            mask[top : top + 4, left : left + 4] = 255
    return mask


def _block(character: str) -> Mask:
    mask = np.zeros((CELL_HEIGHT, CELL_WIDTH), np.uint8)
    if character in _SHADES:
        mask[:] = _SHADES[character]
    elif character in _QUADRANTS:
        bits = _QUADRANTS[character]
        for bit in range(4):
            if bits >> bit & 1:
                top, left = bit // 2 * CELL_HEIGHT // 2, bit % 2 * CELL_WIDTH // 2
                mask[top : top + CELL_HEIGHT // 2, left : left + CELL_WIDTH // 2] = 255
    elif "▁" <= character <= "▇":
        mask[CELL_HEIGHT - (ord(character) - 0x2580) * CELL_HEIGHT // 8 :] = 255
    elif "▉" <= character <= "▏":
        mask[:, : (0x2590 - ord(character)) * CELL_WIDTH // 8] = 255
    elif character == "▔":
        mask[: CELL_HEIGHT // 8] = 255
    else:  # ▕
        mask[:, CELL_WIDTH - CELL_WIDTH // 8 :] = 255
    return mask


def _line_ends(character: str) -> dict[str, str]:
    """The sides that a box line goes to, each with its weight; empty if the character is drawn as text.

    >>> _line_ends("┡")
    {'down': 'LIGHT', 'right': 'HEAVY', 'up': 'HEAVY'}
    """
    name = unicodedata.name(character).removeprefix("BOX DRAWINGS ").replace(" ARC ", " ")
    if "DASH" in name or "DIAGONAL" in name:
        return {}
    ends: dict[str, str] = {}
    weight = ""
    for clause in re.split(" AND ", name):
        words = clause.split()
        weight = next((word for word in words if word in _THICKNESS), weight)
        for side in (side for word in words for side in _SIDES.get(word, ())):
            ends[side] = weight
    return ends


def _lines(ends: dict[str, str]) -> Mask:
    """Lines from the middle of the cell to its sides; double lines are as thick as heavy ones."""
    mask = np.zeros((CELL_HEIGHT, CELL_WIDTH), np.uint8)
    across = max((_THICKNESS[ends[side]] for side in ("up", "down") if side in ends), default=0) // 2
    down = max((_THICKNESS[ends[side]] for side in ("left", "right") if side in ends), default=0) // 2
    y, x = CELL_HEIGHT // 2, CELL_WIDTH // 2
    for side, weight in ends.items():
        half = _THICKNESS[weight] // 2
        if side in ("left", "right"):
            begin, end = (0, x + across) if side == "left" else (x - across, CELL_WIDTH)
            mask[y - half : y + half, begin:end] = 255
        else:
            begin, end = (0, y + down) if side == "up" else (y - down, CELL_HEIGHT)
            mask[begin:end, x - half : x + half] = 255
    return mask
