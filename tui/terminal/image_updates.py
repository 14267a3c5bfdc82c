"""Cells of pictures that change: which of them first where there is not room for all, and in which order.

Nearly every cell of noise has other colours than its neighbour, and to name two colours takes four times as many bytes
as to leap to a cell. So cells that look alike are sent one after the other, wherever they are. And where a frame of
noise is more than the line is given, those cells go first that are furthest from what they should be; the others
follow, as they should be by then. So a film of noise dissolves from state to state instead of stumbling, and what
comes to rest is exact.
"""

import heapq
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from tui.terminal.cell_style import CellStyle, Row

HALF_BLOCK: Final = "▀"
CELL_BYTES: Final = 12
"""What a cell of noise takes, about: a leap, a half-block, and its share of naming the colours."""
Cell = tuple[int, int]
"""Row and column of a cell."""
_IMAGE_CHARACTERS: Final = frozenset({HALF_BLOCK, " "})
_SCATTER: Final = 0x9E3779B1
_LUMA: Final = (0.299, 0.587, 0.114)
_CUBE_LEVELS: Final = (0, 95, 135, 175, 215, 255)


def image_cells(wanted: Row, shown: Row) -> list[int]:
    """The columns in which half-blocks and blanks take the place of half-blocks and blanks that look otherwise."""
    if HALF_BLOCK not in wanted[0] and HALF_BLOCK not in shown[0]:
        return []
    return [
        x
        for x, (cell, before, look, old) in enumerate(
            zip(wanted[0], shown[0], wanted[1], shown[1], strict=True)
        )
        if (look != old or cell != before)
        and cell in _IMAGE_CHARACTERS
        and before in _IMAGE_CHARACTERS
        and not (look.attributes or old.attributes)
    ]


def largest_errors(
    cells: Iterable[Cell], wanted: dict[int, Row], shown: dict[int, Row], most: int
) -> list[Cell]:
    """At most so many cells, those first whose brightness is furthest from what it should be.

    Cells that are equally wrong are taken from all over the picture.
    """

    def wrong(place: Cell) -> float:
        y, x = place
        now, before = wanted[y], shown[y]
        top, bottom = _brightness(now[0][x], now[1][x])
        old_top, old_bottom = _brightness(before[0][x], before[1][x])
        scatter = ((y * 8191 + x) * _SCATTER & 0xFFFF) / 0x10000
        return abs(top - old_top) + abs(bottom - old_bottom) + scatter

    return heapq.nlargest(most, cells, key=wrong)


def group_by_style(cells: Iterable[Cell], wanted: dict[int, Row]) -> list[tuple[CellStyle, list[Cell]]]:
    """Cells that look alike together, from the top left on; neighbouring looks share a colour where they can."""
    found: dict[CellStyle, list[Cell]] = {}
    for y, x in sorted(cells):
        found.setdefault(wanted[y][1][x], []).append((y, x))
    return sorted(found.items())


def count_text_changes(
    rows: Iterable[int], wanted: dict[int, Row], shown: dict[int, Row], images: int
) -> int:
    """How many cells change that are no picture's."""
    changed = 0
    for y in rows:
        now, before = wanted[y], shown[y]
        changed += sum(
            cell != old or look != old_look
            for cell, old, look, old_look in zip(now[0], before[0], now[1], before[1], strict=True)
        )
    return changed - images


@lru_cache(maxsize=1 << 14)
def _brightness(cell: str, look: CellStyle) -> tuple[float, float]:
    """Of the upper and the lower half of a cell, 0 to 255."""
    bottom = _luma(look.background)
    return (_luma(look.foreground) if cell == HALF_BLOCK else bottom), bottom


def _luma(color: str) -> float:
    """How bright a colour of an SGR sequence is; the terminal's own count as black."""
    kind, *numbers = color.split(";")[1:] or [""]
    if kind == "2":
        return _weighted([int(number) for number in numbers])
    if kind != "5":
        bright = {"9": 255, "10": 255, "3": 170, "4": 170}.get(color[:-1], 0)
        return _weighted([bright * (int(color[-1]) >> bit & 1) for bit in range(3)]) if bright else 0.0
    number = int(numbers[0])
    if number >= 232:
        return 8.0 + 10 * (number - 232)
    if number >= 16:
        red, rest = divmod(number - 16, 36)
        return _weighted([_CUBE_LEVELS[red], _CUBE_LEVELS[rest // 6], _CUBE_LEVELS[rest % 6]])
    level = 255 if number >= 8 else 170
    return _weighted([level * (number >> bit & 1) for bit in range(3)])


def _weighted(channels: Sequence[int]) -> float:
    return sum(weight * channel for weight, channel in zip(_LUMA, channels, strict=True))
