"""Order of changed image cells, and the choice of those to send when there is not room for all.

Nearly every cell of noise differs in colour from its neighbour, and two colours take four times as many bytes as a
cursor move. So cells of one style are sent one after the other, wherever they are. Where a frame of noise exceeds the
bandwidth, the cells with the largest errors go first. The others follow with their values of that time. So an animation
of noise dissolves from state to state instead of stuttering, and an image at rest is exact.
"""

import heapq
from collections.abc import Iterable
from functools import lru_cache
from operator import sub
from typing import Final

from tui.terminal.cell_style import CellStyle, Row

HALF_BLOCK: Final = "▀"
CELL_BYTES: Final = 12
"""Approximate size of a cell of noise: a cursor move, a half-block, and its share of the colour codes."""
Cell = tuple[int, int]
"""Row and column of a cell."""
_IMAGE_CHARACTERS: Final = frozenset({HALF_BLOCK, " "})
_SCATTER: Final = 0x9E3779B1
_CUBE_LEVELS: Final = (0, 95, 135, 175, 215, 255)


def image_cells(wanted: Row, shown: Row) -> list[int]:
    """Columns in which half-blocks or blanks replace other half-blocks or blanks, without attributes."""
    if HALF_BLOCK not in wanted[0] and HALF_BLOCK not in shown[0]:
        return []
    return [
        x
        for x, (cell, before, style, old) in enumerate(
            zip(wanted[0], shown[0], wanted[1], shown[1], strict=True)
        )
        if (style != old or cell != before)
        and cell in _IMAGE_CHARACTERS
        and before in _IMAGE_CHARACTERS
        and not (style.attributes or old.attributes)
    ]


def largest_errors(
    cells: Iterable[Cell], wanted: dict[int, Row], shown: dict[int, Row], count: int
) -> list[Cell]:
    """At most `count` cells, those first whose colours are furthest from the target.

    Red, green and blue count alike: by brightness, blue would stay on black to the last.
    Cells of equal error are scattered over the whole image.
    """

    def error(cell: Cell) -> float:
        y, x = cell
        now, before = wanted[y], shown[y]
        colors, old = _colors(now[0][x], now[1][x]), _colors(before[0][x], before[1][x])
        scatter = ((y * 8191 + x) * _SCATTER & 0xFFFF) / 0x10000
        difference: int = sum(map(abs, map(sub, colors, old)))
        return difference / 3 + scatter

    return heapq.nlargest(count, cells, key=error)


def group_by_style(cells: Iterable[Cell], wanted: dict[int, Row]) -> list[tuple[CellStyle, list[Cell]]]:
    """Group cells by style, from the top left; neighbouring groups share a colour where possible."""
    found: dict[CellStyle, list[Cell]] = {}
    for y, x in sorted(cells):
        found.setdefault(wanted[y][1][x], []).append((y, x))
    return sorted(found.items())


def count_text_changes(
    rows: Iterable[int], wanted: dict[int, Row], shown: dict[int, Row], images: int
) -> int:
    """Number of changed cells that belong to no image."""
    changed = 0
    for y in rows:
        now, before = wanted[y], shown[y]
        changed += sum(
            cell != old or style != old_style
            for cell, old, style, old_style in zip(now[0], before[0], now[1], before[1], strict=True)
        )
    return changed - images


@lru_cache(maxsize=1 << 14)
def _colors(cell: str, style: CellStyle) -> tuple[int, ...]:
    """Red, green and blue of the upper and of the lower half of a cell, each 0 to 255."""
    bottom = _rgb(style.background)
    return (*(_rgb(style.foreground) if cell == HALF_BLOCK else bottom), *bottom)


def _rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour of an SGR sequence; the terminal's default colours count as black."""
    kind, *numbers = color.split(";")[1:] or [""]
    if kind == "2":
        red, green, blue = (int(number) for number in numbers)
        return red, green, blue
    if kind != "5":
        bright = {"9": 255, "10": 255, "3": 170, "4": 170}.get(color[:-1], 0)
        return _basic(int(color[-1]), bright) if bright else (0, 0, 0)
    number = int(numbers[0])
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return grey, grey, grey
    if number >= 16:
        red, rest = divmod(number - 16, 36)
        return _CUBE_LEVELS[red], _CUBE_LEVELS[rest // 6], _CUBE_LEVELS[rest % 6]
    return _basic(number, 255 if number >= 8 else 170)


def _basic(number: int, level: int) -> tuple[int, int, int]:
    """One of the eight basic colours, whose bits are red, green and blue."""
    return level * (number & 1), level * (number >> 1 & 1), level * (number >> 2 & 1)
