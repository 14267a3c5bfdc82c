"""Triangles drawn over pictures, as a thin outline, or by themselves."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SUPERSAMPLING: Final = 4
"""Points a pixel and side, so that a sliver of a triangle is a line and not a row of dots."""


def draw_outline(image: Pixels, corners: Sequence[float], colour: tuple[int, int, int]) -> Pixels:
    """A picture in colour, with the outline of a triangle one pixel wide; what lies outside is cut off.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        corners: x0, y0, x1, y1, x2, y2 in pixels, the left upper corner of the picture is 0, 0.
        colour: red, green, blue.
    """
    drawn = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
    height, width = drawn.shape[:2]
    points = np.asarray(corners, dtype=np.float64).reshape(3, 2)
    # Beyond this nothing is seen of a side, and it would take as many dots as it is long.
    bounds = 4.0 * max(height, width)
    points = np.clip(points, -bounds, bounds)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        dots = 2 * int(np.ceil(np.abs(end - start).max())) + 1
        along = np.linspace(0.0, 1.0, dots)[:, None]
        x, y = np.floor(start + along * (end - start)).astype(int).T
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        drawn[y[seen], x[seen]] = colour
    return drawn


def filled_triangle(corners: Sequence[float], height: int, width: int) -> Pixels:
    """A white triangle on black, uint8 [H, W]: a pixel is as light as its share that is inside, to a sixteenth."""
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
    drawn: Pixels = np.rint(255 * share).astype(np.uint8)
    return drawn
