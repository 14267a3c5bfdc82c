"""Pictures enlarged until each of their pixels is a square of many, as PNGs that are hardly longer for it.

Kitty and Ghostty blur what they enlarge, so a picture is sent as large as it is seen, with pixels of one size. A row of
the PNG says where it differs from the pixel to its left, which is seldom, and its repetitions say that nothing differs
from the row above.
"""

import struct
import zlib
from typing import Final

import numpy as np

from core.imaging.resize import RAISED_BLACK, Pixels, fit_image

_SUB: Final = 1
_UP: Final = 2
_COLOR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's numbers of grey and colour, without and with transparency, by the bytes of a pixel."""


def encode_png(image: Pixels, width: int, height: int, *, lifted: bool = False) -> bytes:
    """A PNG of that size with the picture in its middle, as large as whole factors let it be.

    What the picture leaves free is transparent. A picture that has no room is averaged over areas until it has.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        width: of the PNG, in pixels.
        height: likewise.
        lifted: draw black a little brighter, as half-blocks do.
    """
    rows, columns = image.shape[:2]
    if rows > height or columns > width:
        image = fit_image(image, max(1, min(width, height * columns // rows)))[:height]
        rows, columns = image.shape[:2]
    if lifted:
        image = (RAISED_BLACK + image * ((255 - RAISED_BLACK) / 255)).astype(np.uint8)
    factor = min(width // columns, height // rows)
    left, top = (width - factor * columns) // 2, (height - factor * rows) // 2
    colored = np.atleast_3d(image).repeat(factor, axis=1)
    if factor * columns == width and factor * rows == height:
        lines = colored
    else:
        lines = np.zeros((rows, width, colored.shape[2] + 1), np.uint8)
        lines[:, left : left + colored.shape[1]] = np.dstack(
            [colored, np.full(colored.shape[:2], 255, np.uint8)]
        )
    return _png(lines, factor, top, height)


def _png(lines: Pixels, factor: int, top: int, height: int) -> bytes:
    """Lines [H, W, bytes of a pixel] so many times each, between empty ones, as a PNG of some height."""
    rows, width, size = lines.shape
    data = np.zeros((height, 1 + width * size), np.uint8)
    data[:, 0] = _UP
    starts = top + factor * np.arange(rows)
    data[starts, 0] = _SUB
    data[starts, 1:] = np.diff(lines, axis=1, prepend=np.uint8(0)).reshape(rows, -1)
    if top + factor * rows < height:
        data[top + factor * rows, 0] = _SUB
    packed = zlib.compressobj(strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[size], 0, 0, 0)
    body = packed.compress(data.tobytes()) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
