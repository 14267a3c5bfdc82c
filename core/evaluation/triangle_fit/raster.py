"""Rasterization of filled triangles with smooth edges, exact to rounding, and its derivatives by the corners.

A pixel is the triangle seen through a filter. The filter "area" is the pixel's own square, so a pixel is its covered
share. The filter "tent" is that of bilinear downscaling from a far larger image. It is two pixels wide, so edges are a
little softer.

Both filters are repeated differences of ramps. So a pixel is a difference, over neighbouring knots, of integrals over
the quadrant left of and above a knot. By Green's theorem they become integrals of polynomials along the three sides,
which have a closed form.

Letters of shapes: N triangles, S pixels a side, L knots a side.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Edge = Literal["area", "tent"]
"""Filter through which a pixel sees a triangle, which decides how soft the edges are."""
EDGES: Final[tuple[Edge, ...]] = ("tent", "area")

_TINY: Final = 1e-30
_ORDER: Final[dict[Edge, int]] = {"area": 1, "tent": 2}


def coverage(vertices: Numbers, size: int, *, edge: Edge = "area") -> Numbers:
    """Draw filled triangles, white on black.

    Args:
        vertices: [N, 3, 2] as (x, y) in pixels, anywhere and in either orientation; the image is [0, S] x [0, S]. A
            triangle without area is black; a NaN makes its image NaN.
        size: S.
        edge: "area" is the covered share of a pixel; "tent" is an image of much higher resolution that was resized
            bilinearly, with the filter truncated and rescaled at the border, as in Pillow.

    Returns:
        [N, S, S] from 0 to 1, rows are y. The error is that of float64 differences: below 1e-9 at S = 32, with
        corners near the image.
    """
    sides, moments = _moments(vertices, size, _ORDER[edge])
    return _clipped(_values(vertices, sides, moments, size, _ORDER[edge]))


def coverage_and_slopes(vertices: Numbers, size: int, *, edge: Edge = "area") -> tuple[Numbers, Numbers]:
    """Compute `coverage` and its derivatives.

    Returns:
        The images [N, S, S], and their slopes [N, 6, S, S] with respect to x0, y0, x1, y1, x2, y2.
    """
    order = _ORDER[edge]
    sides, moments = _moments(vertices, size, order)
    images: Numbers = _clipped(_values(vertices, sides, moments, size, order))
    # A point of a side at s moves by (1 - s) of its first corner's step and s of its second's.
    far = _differences(_weighted(vertices, sides, moments[1:], size, order), order)
    near = _differences(_weighted(vertices, sides, moments, size, order), order) - far
    turned = (sides * _orientation(sides)[:, None, None])[..., None, None]
    dx, dy = turned[:, :, 0], turned[:, :, 1]
    slopes: Numbers = np.empty((len(vertices), 3, 2, size, size))
    slopes[:, :, 0] = dy * near + np.roll(dy * far, 1, axis=1)
    slopes[:, :, 1] = -dx * near - np.roll(dx * far, 1, axis=1)
    return images, slopes.reshape(len(vertices), 6, size, size)


def _knots(size: int, order: int) -> Numbers:
    knots: Numbers = np.arange(size + order, dtype=np.float64) - (order - 1) / 2
    return knots


def _moments(vertices: Numbers, size: int, order: int) -> tuple[Numbers, list[Numbers]]:
    """Integrate 1, s, s^2, ... over the part of each side left of and above each knot; s runs from 0 to 1.

    Returns:
        The sides as vectors [N, 3, 2], and 2 * order integrals, each [N, 3, L, L], rows are knots of y.
    """
    knots = _knots(size, order)
    sides = np.roll(vertices, -1, axis=1) - vertices
    step = np.where(np.abs(sides) < _TINY, _TINY, sides)[..., None]
    # The s at which the side crosses the knot's line, in each axis.
    crossing = np.clip((knots - vertices[..., None]) / step, 0.0, 1.0)
    begin, end = np.where(step < 0, crossing, 0.0), np.where(step < 0, 1.0, crossing)
    low = np.maximum(begin[:, :, 0, None, :], begin[:, :, 1, :, None])
    high = np.minimum(end[:, :, 0, None, :], end[:, :, 1, :, None])
    np.maximum(high, low, out=high)
    moments = [high - low]
    low_power, high_power = low, high
    for power in range(2, 2 * order + 1):
        low_power, high_power = low_power * low, high_power * high
        moments.append((high_power - low_power) / power)
    return sides, moments


def _weighted(vertices: Numbers, sides: Numbers, moments: list[Numbers], size: int, order: int) -> Numbers:
    """Integrate the ramps of order - 1 along each side, times s if the first moment is left out: [N, 3, L, L]."""
    if order == 1:
        return moments[0]
    knots = _knots(size, order)
    dx, dy = sides[..., 0, None, None], sides[..., 1, None, None]
    x = (knots - vertices[..., 0, None])[:, :, None, :]
    y = (knots - vertices[..., 1, None])[:, :, :, None]
    # (x - dx s)(y - dy s)
    return x * y * moments[0] - (x * dy + y * dx) * moments[1] + (dx * dy) * moments[2]


def _values(vertices: Numbers, sides: Numbers, moments: list[Numbers], size: int, order: int) -> Numbers:
    x = (_knots(size, order) - vertices[..., 0, None])[:, :, None, :]
    plain = _weighted(vertices, sides, moments, size, order)
    times_s = _weighted(vertices, sides, moments[1:], size, order)
    # The ramp in x is one order higher here, because Green's theorem integrates over x first.
    along = sides[..., 1, None, None] * (x * plain - sides[..., 0, None, None] * times_s)
    signed = _differences(along.sum(axis=1), order) / -order
    return signed * _orientation(sides)[:, None, None]


def _orientation(sides: Numbers) -> Numbers:
    turned: Numbers = np.sign(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    return turned


def _differences(knotted: Numbers, order: int) -> Numbers:
    """Difference L x L knots to S x S pixels, rescaled at the border, where the filter is truncated."""
    for _ in range(order):
        knotted = knotted[..., 1:, :] - knotted[..., :-1, :]
        knotted = knotted[..., 1:] - knotted[..., :-1]
    if order == 2:
        for border in (0, -1):
            knotted[..., border, :] *= 8 / 7
            knotted[..., border] *= 8 / 7
    return knotted


def _clipped(images: Numbers) -> Numbers:
    return np.clip(images, 0.0, 1.0, out=images)


def distance_to_sides(vertices: Numbers, size: int) -> Numbers:
    """Compute the distance of each pixel's centre to the nearest side of its triangle, in pixels, [N, S, S].

    It is positive both inside and outside.

    Args:
        vertices: [N, 3, 2] as (x, y) in pixels.
        size: S.
    """
    centres = np.arange(size) + 0.5
    start = vertices[..., None, None]
    sides = (np.roll(vertices, -1, axis=1) - vertices)[..., None, None]
    x, y = centres - start[:, :, 0], centres[:, None] - start[:, :, 1]
    dx, dy = sides[:, :, 0], sides[:, :, 1]
    along = np.clip((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, _TINY), 0.0, 1.0)
    distances: Numbers = np.hypot(x - along * dx, y - along * dy).min(axis=1)
    return distances
