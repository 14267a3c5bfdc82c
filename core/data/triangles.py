"""Random triangles, drawn in the three ways of the thesis.

Letters of shapes: B images, C channels, S pixels per side of the final image, n of its canvas, R scanlines. The three
corners are uniform on the canvas. Triangles are rasterised by scanlines: a horizontal line enters a triangle at `left`
and leaves it at `right`, and a pixel is inside if its centre is.
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
"""Scanlines per row of pixels for edges in greys. Along a scanline the covered length is exact."""
_PRECISION: Final = 22
"""Bits of the fixed-point weights of Pillow's resize."""
_FULL_COLOURS: Final = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(1, 8)], dtype=np.uint8)


def draw_corners(count: int, *, seed: int, split: int) -> Floats:
    """Draw the corners of `count` triangles, uniform on the unit square. Fewer are always a prefix of more.

    Args:
        seed: the recipe's seed.
        split: `TRAIN` or `HELDOUT`, which are independent streams.

    Returns:
        float64 [count, 3, 2], x then y, in [0, 1).
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split]))).random((count, 3, 2))


def draw_colours(count: int, *, seed: int, split: int) -> Pixels:
    """Draw one of the seven full colours, red to white, for each triangle: uint8 [count, 3] of 0 and 1."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split, 1])))
    return _FULL_COLOURS[generator.integers(0, len(_FULL_COLOURS), count)]


def render(recipe: DataRecipe, corners: Floats, colours: Pixels | None = None) -> Pixels:
    """Render triangles by a recipe, including the round trip through its storage.

    Args:
        recipe: of kind `triangles`.
        corners: float64 [B, 3, 2] on the unit square.
        colours: uint8 [B, 3] of 0 and 1 for colour images, None for grey.

    Returns:
        uint8 [B, C, S, S]; 0 is outside, 255 inside.
    """
    canvas = recipe.canvas or recipe.side
    corners = corners * canvas
    lossless = recipe.storage != "jpeg"
    if lossless and not recipe.antialias and canvas != recipe.side:
        grey = _binary_resized(corners, canvas, recipe.side)
    else:
        grey = _antialiased(corners, canvas) if recipe.antialias else _binary(corners, canvas)
    images = grey[:, None] if colours is None else grey[:, None] * colours[:, :, None, None]
    # PNG is lossless, so the round trip through a file is skipped.
    if not lossless or images.shape[-1] != recipe.side:
        quality = None if lossless else recipe.quality
        images = np.stack([_store_and_resize(canvas, quality, recipe.side) for canvas in images])
    return images


def _scanlines(corners: Floats, lines: Floats) -> tuple[Floats, Floats]:
    """Compute where lines enter and leave triangles: two arrays [B, R], equal where a line misses the triangle.

    Args:
        corners: [B, 3, 2] in pixels.
        lines: [R], y of horizontal lines in pixels.
    """
    x0, y0 = corners[..., 0, None], corners[..., 1, None]
    x1, y1 = np.roll(x0, -1, axis=1), np.roll(y0, -1, axis=1)
    # Half-open, so that a line through a corner crosses two edges, never one or three.
    crosses = (y0 <= lines) != (y1 <= lines)
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros_like(x0), where=y1 != y0)
    x = x0 + (lines - y0) * slope
    left = np.where(crosses, x, np.inf).min(axis=1)
    right = np.where(crosses, x, -np.inf).max(axis=1)
    missed = left > right
    left[missed] = right[missed] = 0.0
    return left, right


def _spans(corners: Floats, canvas: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Compute the first column of each row whose centre is inside, and the first after it: two arrays [B, n]."""
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
    """Draw greys by the covered area of each pixel."""
    lines: Floats = (np.arange(canvas * _SUBROWS) + 0.5) / _SUBROWS
    left, right = _scanlines(corners, lines)
    columns = np.arange(canvas)
    covered = np.clip(right[..., None] - columns, 0, 1) - np.clip(left[..., None] - columns, 0, 1)
    area = covered.reshape(len(corners), canvas, _SUBROWS, canvas).mean(axis=2)
    grey: Pixels = np.rint(area * 255).astype(np.uint8)
    return grey


def _store_and_resize(canvas: Pixels, quality: int | None, size: int) -> Pixels:
    """Encode [C, n, n] as JPEG and decode it, unless quality is None, and resize to [C, S, S] with Pillow."""
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
    """Compute Pillow's BILINEAR resize of the two-valued canvas, equal to the bit, without drawing the canvas.

    A row of the canvas is 255 on one span and 0 elsewhere, so its weighted sum is a difference of two cumulative sums.
    This is far faster than drawing and resizing 720 x 720 pixels. A test compares the two.
    """
    first, end = _spans(corners, canvas)
    weights = _resize_weights(canvas, size)
    cumulative = np.zeros((canvas + 1, size), np.int32)
    np.cumsum(weights.T, axis=0, out=cumulative[1:], dtype=np.int32)
    half = 1 << (_PRECISION - 1)
    # Rows first, so that the second pass is a matrix product.
    rows = (cumulative[end.T] - cumulative[first.T]) * np.int32(255)
    rows = (rows + np.int32(half)) >> _PRECISION
    # Products of integers below 2^53, so float64 is exact in any order of summation.
    sums = weights.astype(np.float64) @ rows.reshape(canvas, -1).astype(np.float64)
    pixels = np.clip(np.floor((sums + half) / (1 << _PRECISION)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.reshape(size, len(corners), size).swapaxes(0, 1))


@lru_cache(maxsize=8)
def _resize_weights(canvas: int, size: int) -> NDArray[np.int32]:
    """Compute the fixed-point weights [S, n] of Pillow's BILINEAR resize from n down to S pixels."""
    step = canvas / size
    weights = np.zeros((size, canvas), np.int32)
    for row in range(size):
        centre = (row + 0.5) * step
        low, high = max(int(centre - step + 0.5), 0), min(int(centre + step + 0.5), canvas)
        hat = np.maximum(1 - np.abs((np.arange(low, high) + 0.5 - centre) / step), 0)
        weights[row, low:high] = np.floor(hat / hat.sum() * (1 << _PRECISION) + 0.5).astype(np.int32)
    return weights
