"""Images with known properties: real triangles and other shapes, rendered as those of `high`."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from core.data import find_data_recipe
from core.data.triangles import HELDOUT, draw_corners, render

Numbers = NDArray[np.float64]

SIZE = 32
CANVAS = 720
_GAP = 45
"""Gap between two separate shapes, in pixels of the canvas: two pixels of the image."""


@cache
def real(count: int, *, dataset: str = "high", seed: int = 0) -> tuple[Numbers, Numbers]:
    """Triangles of a packaged data set: images [N, 1, 32, 32] in [0, 1], and corners [N, 3, 2] in pixels."""
    corners = draw_corners(count, seed=seed, split=HELDOUT)
    images = render(find_data_recipe(dataset), corners) / 255
    images.setflags(write=False)
    return images, corners * SIZE


def ellipses(count: int, rng: np.random.Generator) -> Numbers:
    """Ellipses of up to five times their width, with the areas of real triangles, turned and placed at random."""
    turn = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    return _drawn(count, rng, lambda: np.stack([np.cos(turn) * _stretch(rng, 5), np.sin(turn)], axis=-1))


def rectangles(count: int, rng: np.random.Generator) -> Numbers:
    """Rectangles of up to six times their width, likewise."""
    square = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    return _drawn(count, rng, lambda: square * (_stretch(rng, 6), 1.0))


def quadrilaterals(count: int, rng: np.random.Generator) -> Numbers:
    """Four uniform points in convex position, likewise; many are triangles but for a small corner."""

    def corners() -> Numbers:
        while True:
            hull = cv2.convexHull(rng.random((4, 2)).astype(np.float32))[:, 0].astype(np.float64)
            if len(hull) == 4:
                return hull

    return _drawn(count, rng, corners)


def pairs(count: int, rng: np.random.Generator) -> Numbers:
    """Two separate triangles that share the area of a real one, the smaller with at least a seventh of it."""
    images = []
    areas = _real_areas()
    around = np.ones((_GAP, _GAP), np.uint8)
    while len(images) < count:
        area, share = rng.choice(areas), rng.uniform(0.15, 0.85)
        placed = [_place(rng.random((3, 2)), area * part, rng) for part in (share, 1 - share)]
        first, second = (_fill(corners) if corners is not None else None for corners in placed)
        if first is not None and second is not None and not (cv2.dilate(first, around) & second).any():
            images.append(_shrink(first | second))
    return np.stack(images)[:, None]


def blurred(images: Numbers, sigma: float) -> Numbers:
    """Blur by a Gaussian with a standard deviation of `sigma` pixels."""
    return ndimage.gaussian_filter(images, (0, 0, sigma, sigma))


def noisy(images: Numbers, sigma: float, rng: np.random.Generator) -> Numbers:
    """Add Gaussian noise with a standard deviation of `sigma` in grey, clipped to black and white."""
    return np.clip(images + rng.normal(0, sigma, images.shape), 0, 1)


def hazy(images: Numbers, grey: float) -> Numbers:
    """Raise black to `grey`, and keep white."""
    return grey + (1 - grey) * images


@cache
def _real_areas() -> Numbers:
    (x0, y0), (x1, y1), (x2, y2) = draw_corners(2000, seed=1, split=HELDOUT).transpose(1, 2, 0)
    areas = np.abs((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)) / 2
    return areas[areas * SIZE**2 > 3.2]


def _stretch(rng: np.random.Generator, most: float) -> float:
    return float(np.exp(rng.uniform(0, np.log(most))))


def _drawn(count: int, rng: np.random.Generator, corners: Callable[[], Numbers]) -> Numbers:
    images = []
    areas = _real_areas()
    while len(images) < count:
        turn = rng.uniform(0, 2 * np.pi)
        turned = corners() @ np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
        placed = _place(turned, rng.choice(areas), rng)
        if placed is not None:
            images.append(_shrink(_fill(placed)))
    return np.stack(images)[:, None]


def _place(corners: Numbers, area: float, rng: np.random.Generator) -> Numbers | None:
    """Scale a shape to an area of the unit square and place it there at random; None where it does not fit."""
    x, y = corners.T
    now = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    scaled = corners * np.sqrt(area / now)
    low, high = -scaled.min(axis=0), 1 - scaled.max(axis=0)
    return scaled + rng.uniform(low, high) if (low < high).all() else None


def _fill(corners: Numbers) -> NDArray[np.uint8]:
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners * CANVAS * 16).astype(np.int32)], 255, shift=4)
    return canvas


def _shrink(canvas: NDArray[np.uint8]) -> Numbers:
    small = Image.fromarray(canvas).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float64) / 255
