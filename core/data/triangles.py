"""Random triangles, drawn in the thesis's three ways.

Letters of shapes: B pictures, C channels, S pixels a side of the finished picture, n of its canvas,
R scanlines. A triangle's three corners are uniform on the canvas. Everything is drawn from scanlines: a
horizontal line enters the triangle at `left` and leaves it at `right`; a pixel is inside if its centre is.
"""

import io
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.recipe import DataRecipe

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

TRAIN: Final = 0
HELDOUT: Final = 1
_SUBROWS: Final = 16
"""Scanlines a row of pixels when edges are drawn in greys; along a scanline the covered length is exact."""
_PRECISION: Final = 22
"""Bits of the fixed-point weights in Pillow's resize."""
_FULL_COLOURS: Final = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(1, 8)], dtype=np.uint8)


def draw_corners(count: int, *, seed: int, split: int) -> Floats:
    """Corners of `count` triangles, uniform on the unit square; fewer are always a prefix of more.

    Args:
        seed: the recipe's seed.
        split: `TRAIN` or `HELDOUT`, which are independent streams.

    Returns:
        float64 [count, 3, 2], x then y, in [0, 1).
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split]))).random((count, 3, 2))


def draw_colours(count: int, *, seed: int, split: int) -> Pixels:
    """One of the seven full colours, red to white, for each triangle: uint8 [count, 3] of 0 and 1."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split, 1])))
    return _FULL_COLOURS[generator.integers(0, len(_FULL_COLOURS), count)]


def render(recipe: DataRecipe, corners: Floats, colours: Pixels | None = None) -> Pixels:
    """Draw triangles as the recipe says, and take them through its storage.

    Args:
        recipe: of kind `triangles`.
        corners: float64 [B, 3, 2] on the unit square.
        colours: uint8 [B, 3] of 0 and 1 for pictures in colour, None for grey.

    Returns:
        uint8 [B, C, S, S]; 0 is outside, 255 inside.
    """
    canvas = recipe.canvas or recipe.size
    corners = corners * canvas
    lossless = recipe.storage != "jpeg"
    if lossless and not recipe.antialias and canvas != recipe.size:
        grey = _binary_resized(corners, canvas, recipe.size)
    else:
        grey = _antialiased(corners, canvas) if recipe.antialias else _binary(corners, canvas)
    images = grey[:, None] if colours is None else grey[:, None] * colours[:, :, None, None]
    # PNG gives back what it was given, so the trip through a file would change nothing and is not made.
    if not lossless or images.shape[-1] != recipe.size:
        quality = None if lossless else recipe.quality
        images = np.stack([_store_and_resize(canvas, quality, recipe.size) for canvas in images])
    return images


def _scanlines(corners: Floats, lines: Floats) -> tuple[Floats, Floats]:
    """Where each horizontal line enters and leaves each triangle: two arrays [B, R], equal where it misses.

    Args:
        corners: [B, 3, 2] in pixels.
        lines: [R], heights in pixels.
    """
    x0, y0 = corners[..., 0, None], corners[..., 1, None]
    x1, y1 = np.roll(x0, -1, axis=1), np.roll(y0, -1, axis=1)
    # Half-open, so that a line through a corner meets two edges, never one or three.
    crosses = (y0 <= lines) != (y1 <= lines)
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros_like(x0), where=y1 != y0)
    x = x0 + (lines - y0) * slope
    left = np.where(crosses, x, np.inf).min(axis=1)
    right = np.where(crosses, x, -np.inf).max(axis=1)
    missed = left > right
    left[missed] = right[missed] = 0.0
    return left, right


def _spans(corners: Floats, canvas: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each row the first column whose centre is inside, and the first outside again: two arrays [B, n]."""
    lines = np.arange(canvas, dtype=np.float64) + 0.5
    left, right = _scanlines(corners, lines)
    first = np.clip(np.ceil(left - 0.5), 0, canvas).astype(np.intp)
    end = np.clip(np.ceil(right - 0.5), 0, canvas).astype(np.intp)
    return first, end


def _binary(corners: Floats, canvas: int) -> Pixels:
    first, end = _spans(corners, canvas)
    columns = np.arange(canvas)
    inside = (columns >= first[..., None]) & (columns < end[..., None])
    return inside.astype(np.uint8) * np.uint8(255)


def _antialiased(corners: Floats, canvas: int) -> Pixels:
    """Greys by the covered area of each pixel."""
    lines: Floats = (np.arange(canvas * _SUBROWS) + 0.5) / _SUBROWS
    left, right = _scanlines(corners, lines)
    columns = np.arange(canvas)
    covered = np.clip(right[..., None] - columns, 0, 1) - np.clip(left[..., None] - columns, 0, 1)
    area = covered.reshape(len(corners), canvas, _SUBROWS, canvas).mean(axis=2)
    grey: Pixels = np.rint(area * 255).astype(np.uint8)
    return grey


def _store_and_resize(canvas: Pixels, quality: int | None, size: int) -> Pixels:
    """[C, n, n] through a JPEG file (none if quality is None) and Pillow's resize to [C, S, S]."""
    image = Image.fromarray(
        canvas[0] if len(canvas) == 1 else np.ascontiguousarray(canvas.transpose(1, 2, 0))
    )
    if quality is not None:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=quality)
        image = Image.open(buffer)
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _binary_resized(corners: Floats, canvas: int, size: int) -> Pixels:
    """What Pillow's BILINEAR resize makes of the two-valued canvas, to the bit, without painting that canvas.

    A row of the canvas is 255 on one span and 0 elsewhere, so the sum of weights over it is a difference of
    two running sums: far faster than painting and resizing 720 x 720 pixels. A test compares the two.
    """
    first, end = _spans(corners, canvas)
    weights = _resize_weights(canvas, size)
    running = np.zeros((canvas + 1, size), np.int32)
    np.cumsum(weights.T, axis=0, out=running[1:], dtype=np.int32)
    half = 1 << (_PRECISION - 1)
    # Rows first, so that the second pass is one product of matrices.
    rows = (running[end.T] - running[first.T]) * np.int32(255)
    rows = (rows + np.int32(half)) >> _PRECISION
    # Products of whole numbers below 2^53: float64 is exact here, in any order of summation.
    sums = weights.astype(np.float64) @ rows.reshape(canvas, -1).astype(np.float64)
    pixels = np.clip(np.floor((sums + half) / (1 << _PRECISION)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.reshape(size, len(corners), size).swapaxes(0, 1))


@lru_cache(maxsize=8)
def _resize_weights(canvas: int, size: int) -> NDArray[np.int32]:
    """Fixed-point weights [S, n] of Pillow's BILINEAR resize from n down to S pixels."""
    step = canvas / size
    weights = np.zeros((size, canvas), np.int32)
    for row in range(size):
        centre = (row + 0.5) * step
        low, high = max(int(centre - step + 0.5), 0), min(int(centre + step + 0.5), canvas)
        hat = np.maximum(1 - np.abs((np.arange(low, high) + 0.5 - centre) / step), 0)
        weights[row, low:high] = np.floor(hat / hat.sum() * (1 << _PRECISION) + 0.5).astype(np.int32)
    return weights
