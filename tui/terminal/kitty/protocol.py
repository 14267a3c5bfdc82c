"""Kitty's graphics protocol, as far as images in cells need it.

An image is transmitted under an id, with a virtual placement of some columns and rows. Cells with the placeholder
character then show their part of it, wherever they are. Their colour is the id, and two combining marks give row and
column. For programs between the dashboard and the terminal, such a cell is ordinary text.

Reference: https://sw.kovidgoyal.net/kitty/graphics-protocol/
"""

import base64
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

MAX_CHUNK: Final = 4096
"""Maximal characters of base64 in a code."""
PLACEHOLDER: Final = "\U0010eeee"
_CODE: Final = re.compile(r"\x1b_G[^\x1b]*\x1b\\")
_MARKS: Final = """
    305 30d-30e 310 312 33d-33f 346 34a-34c 350-352 357 35b 363-36f 483-487 592-595 597-599 59c-5a1 5a8-5a9
    5ab-5ac 5af 5c4 610-617 657-65b 65d-65e 6d6-6dc 6df-6e2 6e4 6e7-6e8 6eb-6ec 730 732-733 735-736 73a 73d
    73f-741 743 745 747 749-74a 7eb-7f1 7f3 816-819 81b-823 825-827 829-82d 951 953-954 f82-f83 f86-f87
    135d-135f 17dd 193a 1a17 1a75-1a7c 1b6b 1b6d-1b73 1cd0-1cd2 1cda-1cdb 1ce0 1dc0-1dc1 1dc3-1dc9 1dcb-1dcc
    1dd1-1de6 1dfe 20d0-20d1 20d4-20d7 20db-20dc 20e1 20e7 20e9 20f0 2cef-2cf1 2de0-2dff a66f a67c-a67d
    a6f0-a6f1 a8e0-a8f1 aab0 aab2-aab3 aab7-aab8 aabe-aabf aac1 fe20-fe26 10a0f 10a38 1d185-1d189 1d1aa-1d1ad
    1d242-1d244
"""
"""Combining marks that stand for numbers, by index, as the protocol lists them."""


def _marks() -> Iterator[str]:
    for span in _MARKS.split():
        first, _, last = span.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS: Final = tuple(_marks())
"""The marks of rows and columns, from 0."""
_NEXT_MARK: Final = dict(pairwise(MARKS))


def transmit(identity: int, image: bytes, columns: int, rows: int) -> str:
    """The codes that send a PNG for cells to show, and replace any image of the same id.

    The placement is a separate code after the image, because Kitty redraws the cells when the placement arrives.
    """
    data = base64.standard_b64encode(image).decode()
    chunks = [data[at : at + MAX_CHUNK] for at in range(0, len(data), MAX_CHUNK)]
    codes = [
        _code(
            f"{'' if number else f'a=t,t=d,f=100,i={identity},'}q=2,m={int(number < len(chunks) - 1)}", chunk
        )
        for number, chunk in enumerate(chunks)
    ]
    return "".join(codes) + _code(f"a=p,U=1,i={identity},c={columns},r={rows},q=2")


def delete(identity: int) -> str:
    """The code that deletes an image and its placement."""
    return _code(f"a=d,d=I,i={identity},q=2")


def delete_all(first: int, last: int) -> str:
    """The code that deletes all images with ids from one to another; Kitty has it since 0.33."""
    return _code(f"a=d,d=R,x={first},y={last},q=2")


@lru_cache(maxsize=1 << 14)
def placeholder(row: int, column: int) -> str:
    """Text of the cell that shows one part of an image."""
    return PLACEHOLDER + MARKS[row] + MARKS[column]


def without_inherited_marks(cells: Sequence[str], colors: Sequence[str]) -> list[str]:
    """Remove the marks that a terminal infers: those of a cell that shows the part to the right of its predecessor's.

    >>> row = [placeholder(1, 0), placeholder(1, 1), placeholder(1, 3), "x"]
    >>> [len(cell) for cell in without_inherited_marks(row, ["a"] * 4)]
    [3, 1, 3, 1]
    """
    shortened = list(cells)
    for at in range(1, len(cells)):
        cell, before = cells[at], cells[at - 1]
        same = cell[:1] == before[:1] == PLACEHOLDER and colors[at] == colors[at - 1]
        if same and cell[1] == before[1] and cell[2] == _NEXT_MARK.get(before[2]):
            shortened[at] = PLACEHOLDER
    return shortened


def id_color(identity: int) -> str:
    """The foreground of an SGR sequence that stands for an image's id of 24 bits.

    >>> id_color(0x123456)
    '38;2;18;52;86'
    """
    return f"38;2;{identity >> 16};{identity >> 8 & 0xFF};{identity & 0xFF}"


def through_tmux(codes: str) -> str:
    """Wrap codes for tmux, which passes them on to its terminal where `allow-passthrough` is on."""
    return _CODE.sub(lambda code: "\x1bPtmux;" + code[0].replace("\x1b", "\x1b\x1b") + "\x1b\\", codes)


def _code(keys: str, data: str = "") -> str:
    return f"\x1b_G{keys}{';' if data else ''}{data}\x1b\\"
