"""Kinds of triangles: acute, right and obtuse, by their largest angle, drawn equally often.

Kinds are apart, so that a blurred edge does not change them: right within `RIGHT_WITHIN` degrees of 90, the others at
least `OTHERS_BEYOND` away from it. Very small and very flat triangles, whose angles no image of 32 pixels shows, are
left out. `classify_kinds` has its borders in the middle of the gaps.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.triangles import HELDOUT, TRAIN

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KINDS: Final = ("acute", "right", "obtuse")
RIGHT_WITHIN: Final = 5.0
"""Degrees between the largest angle of a right triangle and 90."""
OTHERS_BEYOND: Final = 15.0
"""Degrees between the largest angle of other triangles and 90, at least."""
MIN_HEIGHT: Final = 0.2
"""Shortest height of a triangle, as a share of the side of the image."""
_BORDER: Final = (RIGHT_WITHIN + OTHERS_BEYOND) / 2
_PROPOSALS: Final = 1 << 14


def largest_angles(corners: NDArray[np.floating]) -> Floats:
    """Compute the largest angle of triangles, in degrees.

    Args:
        corners: [N, 3, 2]; NaN gives NaN.

    Returns:
        float64 [N].
    """
    points = corners.astype(np.float64)
    to_next, to_previous = np.roll(points, -1, axis=1) - points, np.roll(points, 1, axis=1) - points
    cross = np.abs(to_next[..., 0] * to_previous[..., 1] - to_next[..., 1] * to_previous[..., 0])
    dot = (to_next * to_previous).sum(axis=-1)
    angles: Floats = np.degrees(np.arctan2(cross, dot)).max(axis=1)
    return angles


def classify_kinds(corners: NDArray[np.floating]) -> Integers:
    """Return the kind of each triangle, int64 [N], the index in `KINDS`; -1 where a corner is NaN."""
    angles = largest_angles(corners)
    kinds = np.digitize(np.nan_to_num(angles), (90 - _BORDER, 90 + _BORDER)).astype(np.int64)
    return np.where(np.isnan(angles), -1, kinds)


def draw_kinds(count: int, *, seed: int, split: int) -> tuple[Floats, Integers]:
    """Draw triangles of the three kinds, equally often. Fewer are always a prefix of more.

    Triangles are uniform, of those that are of a kind: proposals with uniform corners are taken in order, each for the
    first image that still needs one of its kind.

    Args:
        count: number of triangles.
        seed: the recipe's seed.
        split: `core.data.triangles.TRAIN` or `HELDOUT`, which are independent streams.

    Returns:
        corners, float64 [count, 3, 2] in [0, 1), x then y; and kinds, int64 [count].
    """
    if split not in (TRAIN, HELDOUT):
        raise ValueError(f"expected the stream {TRAIN} or {HELDOUT}, got {split}")
    kinds = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split, 2]))).integers(
        0, len(KINDS), count
    )
    proposals = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, split, 3])))
    corners = np.empty((count, 3, 2))
    waiting = [np.flatnonzero(kinds == kind) for kind in range(len(KINDS))]
    while any(len(images) for images in waiting):
        proposed = proposals.random((_PROPOSALS, 3, 2))
        found = _strict_kinds(proposed)
        for kind, images in enumerate(waiting):
            taken = proposed[found == kind][: len(images)]
            corners[images[: len(taken)]] = taken
            waiting[kind] = images[len(taken) :]
    return corners, kinds


def _strict_kinds(corners: Floats) -> Integers:
    """Return the kind of each triangle of the set, [N]; -1 for what is between kinds, too small or too flat."""
    off = largest_angles(corners) - 90
    kinds = np.select(
        [off <= -OTHERS_BEYOND, np.abs(off) <= RIGHT_WITHIN, off >= OTHERS_BEYOND], [0, 1, 2], -1
    )
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=-1)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    doubled_area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    return np.where(doubled_area / sides.max(axis=1) >= MIN_HEIGHT, kinds, -1)
