"""Fitting an image to a square: cropped to its centre, padded, squashed, or cut into tiles."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "pad", "squash", "tiles"]
Colour = tuple[int, int, int]

BILINEAR = Image.Resampling.BILINEAR


def crop_centre(image: Image.Image) -> Image.Image:
    """Crop an image to the square at its centre."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped before resizing, because the filter would use pixels outside a box.
    return image.crop((left, top, left + side, top + side))


def resized(rgb: Image.Image, size: int, resampling: Image.Resampling = BILINEAR) -> Pixels:
    """Resize an image in RGB to a square whatever its sides: uint8 [3, size, size]."""
    square = np.asarray(rgb.resize((size, size), resampling))
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def padded(
    rgb: Image.Image, size: int, background: Colour, resampling: Image.Resampling = BILINEAR
) -> Pixels:
    """Resize an image in RGB so that its longer side fits, and put it on the middle of a background.

    Returns:
        uint8 [3, size, size].
    """
    longest = max(rgb.size)
    width, height = (max(1, round(side * size / longest)) for side in rgb.size)
    square = Image.new("RGB", (size, size), background)
    square.paste(rgb.resize((width, height), resampling), ((size - width) // 2, (size - height) // 2))
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def tile_grid(width: int, height: int, tile: int) -> tuple[int, int]:
    """Return the rows and columns of whole tiles in an image of `width` x `height` pixels."""
    return height // tile, width // tile


def tiles(rgb: Image.Image, size: int, tile: int) -> Pixels:
    """Cut an image in RGB into tiles that share no pixels, row by row; margins are the same on opposite sides.

    Args:
        rgb: the image.
        size: pixels per side of the results.
        tile: pixels per side of the image that each result is made of.

    Returns:
        uint8 [N, 3, size, size]; none if the image is smaller than a tile.
    """
    rows, columns = tile_grid(rgb.width, rgb.height, tile)
    left, top = (rgb.width - columns * tile) // 2, (rgb.height - rows * tile) // 2
    found = np.empty((rows * columns, 3, size, size), np.uint8)
    for index in range(rows * columns):
        x, y = left + index % columns * tile, top + index // columns * tile
        found[index] = resized(rgb.crop((x, y, x + tile, y + tile)), size)
    return found
