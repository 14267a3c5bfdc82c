"""Initial guesses at the triangle in an image, from its moments.

All triangles with the same centroid and covariance are one equilateral triangle, turned and then stretched. An image's
first two moments therefore leave one angle open, with a period of a third of a turn. Trying some angles puts one guess
close to the corners of any true triangle, including slivers and triangles with a tip outside the image.

Letters of shapes: N images, S pixels a side, K guesses an image.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Numbers = NDArray[np.float64]

_EQUILATERAL: Final[Numbers] = np.stack([(np.cos(a), np.sin(a)) for a in np.arange(3) * 2 * np.pi / 3])
_COVARIANCE: Final = 1 / 8
"""Variance in each direction of a filled equilateral triangle with corners one pixel from its centroid."""
_MIN_VARIANCE: Final = 1e-3
"""Smallest variance of a shape across its width, in px^2; with less, it looks like a line."""
_HALF: Final = 0.5
_IN_PLANE: Final = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = True


def largest_piece(ink: Numbers) -> Numbers:
    """Keep only the ink of each image's largest connected piece, including its soft edge.

    Args:
        ink: [N, S, S], from 0 to 1.
    """
    solid = ink > _HALF * ink.max(axis=(1, 2), keepdims=True)
    pieces, _ = ndimage.label(solid, structure=_IN_PLANE)
    weights = np.bincount(pieces.ravel(), weights=ink.ravel())
    weights[0] = -1.0
    each = weights[pieces]
    largest = solid & (each == each.max(axis=(1, 2), keepdims=True))
    grown: Numbers = ink * ndimage.binary_dilation(largest, structure=_IN_PLANE)
    return grown


def moment_triangles(ink: Numbers, angles: int, *, blur: float) -> Numbers:
    """Compute triangles with the centroid and covariance of the ink, one for each of K angles.

    Args:
        ink: [N, S, S], from 0 to 1; each image needs some.
        angles: K, spaced evenly over the third of a turn after which triangles repeat.
        blur: variance in px^2 that rendering adds in each direction.

    Returns:
        [N, K, 3, 2] as (x, y) in pixels.
    """
    centres = np.arange(ink.shape[-1]) + 0.5
    total = ink.sum(axis=(1, 2))
    columns, rows = ink.sum(axis=1), ink.sum(axis=2)
    x, y = columns @ centres / total, rows @ centres / total
    xx, yy = columns @ centres**2 / total - x**2, rows @ centres**2 / total - y**2
    xy = (ink @ centres) @ centres / total - x * y
    covariance = np.stack([xx - blur, xy, xy, yy - blur], axis=-1).reshape(-1, 2, 2)
    variances, axes = np.linalg.eigh(covariance)
    stretch = axes * np.sqrt(np.maximum(variances, _MIN_VARIANCE) / _COVARIANCE)[:, None, :]
    turns = np.arange(angles) * (2 * np.pi / 3 / angles)
    cos, sin = np.cos(turns), np.sin(turns)
    turned = _EQUILATERAL @ np.stack([cos, sin, -sin, cos], axis=-1).reshape(-1, 2, 2)
    around: Numbers = turned @ stretch.transpose(0, 2, 1)[:, None]
    corners: Numbers = around + np.stack([x, y], axis=-1)[:, None, None]
    return corners
