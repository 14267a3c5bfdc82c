"""Kitty's graphics protocol, as much of it as pictures in cells need.

A picture is transmitted under an id and given a virtual placement: so many columns, so many rows. Cells with the
placeholder character then show their part of it wherever they stand; the id is their colour, and two marks above the
character say row and column. To whoever stands between us and the terminal, such a cell is text like any other.

Reference: https://sw.kovidgoyal.net/kitty/graphics-protocol/
"""

import base64
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

MAX_CHUNK: Final = 4096
"""Characters of base64 that a code may carry."""
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
"""The marks that are numbers: that of a row or column is at its index, as the protocol lists them."""


def _marks() -> Iterator[str]:
    for span in _MARKS.split():
        first, _, last = span.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS: Final = tuple(_marks())
"""The marks that say rows and columns, 0 and up."""
_NEXT_MARK: Final = dict(pairwise(MARKS))


def transmit(identity: int, image: bytes, columns: int, rows: int) -> str:
    """The codes that send a PNG, in the place of what had its id before, for cells to show.

    The placement is a code of its own: Kitty looks again at the cells when it comes, which must be after the picture.
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
    """The code that deletes a picture and its placement."""
    return _code(f"a=d,d=I,i={identity},q=2")


def delete_all(first: int, last: int) -> str:
    """The code that deletes all pictures with ids from one to another; Kitty has it since 0.33."""
    return _code(f"a=d,d=R,x={first},y={last},q=2")


@lru_cache(maxsize=1 << 14)
def placeholder(row: int, column: int) -> str:
    """The text of a cell that shows this part of a picture."""
    return PLACEHOLDER + MARKS[row] + MARKS[column]


def without_inherited_marks(cells: Sequence[str], colors: Sequence[str]) -> list[str]:
    """The cells of a row without marks that a terminal knows by itself: those of the part right of the one before.

    >>> row = [placeholder(1, 0), placeholder(1, 1), placeholder(1, 3), "x"]
    >>> [len(cell) for cell in inherited(row, ["a"] * 4)]
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
    """The colour of text, as in an SGR sequence, that names a picture: an id of 24 bits.

    >>> color(0x123456)
    '38;2;18;52;86'
    """
    return f"38;2;{identity >> 16};{identity >> 8 & 0xFF};{identity & 0xFF}"


def through_tmux(codes: str) -> str:
    """Codes as tmux hands them on to the terminal around it, where `allow-passthrough` is on."""
    return _CODE.sub(lambda code: "\x1bPtmux;" + code[0].replace("\x1b", "\x1b\x1b") + "\x1b\\", codes)


def _code(keys: str, data: str = "") -> str:
    return f"\x1b_G{keys}{';' if data else ''}{data}\x1b\\"
