"""Drawing of triangles, as an outline over an image or filled."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SUPERSAMPLING: Final = 4
"""Sample points per pixel and axis, so that a very narrow triangle is a line and not a row of dots."""


def draw_outline(image: Pixels, corners: Sequence[float], colour: tuple[int, int, int]) -> Pixels:
    """Draw the outline of a triangle, one pixel wide and cut off at the border, on a colour copy of an image.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        corners: x0, y0, x1, y1, x2, y2 in pixels; the upper left corner of the image is 0, 0.
        colour: red, green, blue.
    """
    canvas = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
    height, width = canvas.shape[:2]
    points = np.asarray(corners, dtype=np.float64).reshape(3, 2)
    # Corners are clipped because the number of dots grows with the length of a side, most of which is not visible.
    bounds = 4.0 * max(height, width)
    points = np.clip(points, -bounds, bounds)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        count = 2 * int(np.ceil(np.abs(end - start).max())) + 1
        along = np.linspace(0.0, 1.0, count)[:, None]
        x, y = np.floor(start + along * (end - start)).astype(int).T
        visible = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        canvas[y[visible], x[visible]] = colour
    return canvas


def filled_triangle(corners: Sequence[float], height: int, width: int) -> Pixels:
    """Draw a white triangle on black, uint8 [H, W]. A pixel's brightness is its share inside, to a sixteenth."""
    points = np.asarray(corners, dtype=np.float64).reshape(3, 2)
    x = (np.arange(_SUPERSAMPLING * width) + 0.5) / _SUPERSAMPLING
    y = (np.arange(_SUPERSAMPLING * height)[:, None] + 0.5) / _SUPERSAMPLING
    (ax, ay), (bx, by), (cx, cy) = points
    sides = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax),
        (cx - bx) * (y - by) - (cy - by) * (x - bx),
        (ax - cx) * (y - cy) - (ay - cy) * (x - cx),
    ]
    inside = np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
    share = inside.reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING).mean(axis=(1, 3))
    canvas: Pixels = np.rint(255 * share).astype(np.uint8)
    return canvas
