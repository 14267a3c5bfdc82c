"""PNGs of images enlarged by a whole factor, which are hardly longer than PNGs of the images themselves.

Kitty and Ghostty blur what they enlarge, so an image is sent at its size on the screen, with pixels of one size. The
first row of each pixel uses PNG's filter Sub, which is zero between equal neighbours. Its repetitions use Up, which is
zero everywhere.
"""

import struct
import zlib
from typing import Final

import numpy as np

from core.imaging.resize import RAISED_BLACK, Pixels, fit_image

_SUB: Final = 1
_UP: Final = 2
_COLOR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour types, grey or colour, without and with transparency, by the bytes of a pixel."""


def encode_png(image: Pixels, width: int, height: int, *, raised_black: bool = False) -> bytes:
    """Encode a PNG of a given size with the image in its centre, enlarged by the largest whole factor that fits.

    The rest is transparent. An image that is too large is averaged over areas until it fits.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        width: width of the PNG in pixels.
        height: height of the PNG in pixels.
        raised_black: draw black a little brighter, as half-blocks do.
    """
    rows, columns = image.shape[:2]
    if rows > height or columns > width:
        image = fit_image(image, max(1, min(width, height * columns // rows)))[:height]
        rows, columns = image.shape[:2]
    if raised_black:
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
    """Encode lines [H, W, bytes of a pixel], each repeated `factor` times, between empty lines, as a PNG."""
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
