"""Distances between images as rows of numbers, and nearest neighbours by brute force.

Letters of shapes: N images, R reference images, D = C H W numbers of an image.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

Rows = NDArray[np.float32]

LEVELS: Final = 255
_CHUNK_SIZE: Final = 1 << 22
_SHORTLIST: Final = 8


def as_rows(images: NDArray[Any]) -> Rows:
    """Flatten images to rows of numbers, rounded to the 256 grey levels that data have on disk.

    Without the rounding, a sample that is displayed as blank would differ from each blank image of the data. Rank
    statistics would then miss the ties between them.

    Args:
        images: [N, C, H, W]; floats in [0, 1], or uint8.

    Returns:
        [N, D] in [0, 1].

    Raises:
        UserError: another number of axes, or numbers outside [0, 1].
    """
    if images.ndim != 4:
        raise UserError(f"expected images [N, C, H, W], got an array {list(images.shape)}")
    rows = images.reshape(len(images), int(np.prod(images.shape[1:])))
    if rows.dtype == np.uint8:
        return rows.astype(np.float32) / np.float32(LEVELS)
    # NaN is refused too, because a comparison with NaN is false.
    if not ((rows >= 0) & (rows <= 1)).all():
        raise UserError("expected images of numbers from 0 to 1, got others, or NaN: clip them, or use uint8")
    levels = rows.astype(np.float32) * np.float32(LEVELS)
    np.round(levels, out=levels)
    levels /= np.float32(LEVELS)
    return levels


def squared_distances(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[Any]:
    """Compute all squared Euclidean distances [N, R] by one matrix product, never below 0.

    Subtract a common centre first, because the error grows with the square of the norms.
    """
    squares = rows @ others.T
    squares *= -2
    squares += np.einsum("nd,nd->n", rows, rows)[:, None]
    squares += np.einsum("rd,rd->r", others, others)
    return np.maximum(squares, 0, out=squares)


def row_chunks(count: int, width: int) -> Iterator[slice]:
    """Split ``count`` rows into slices, each of at most 16 MB when a row has ``width`` float32."""
    length = max(1, _CHUNK_SIZE // max(1, width))
    return (slice(start, min(start + length, count)) for start in range(0, count, length))


def nearest(
    rows: Rows, reference: Rows | NDArray[np.uint8], count: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest rows of a reference by brute force; memory does not grow with the reference.

    The eight nearest by a matrix product in float32 are measured again in float64 from differences. Equal images are
    therefore at distance 0 exactly, and ties are exact. Among ties, the first of the reference is taken.

    Args:
        rows: [N, D].
        reference: [R, D]; uint8 is scaled to [0, 1] as by `as_rows`, a part at a time.
        count: number of neighbours; fewer where the reference is smaller.

    Returns:
        Their indices and their Euclidean distances, both [N, count], nearest first.

    Raises:
        ValueError: the reference is empty, or its rows have another length.
    """
    if not len(reference) or rows.shape[1:] != reference.shape[1:]:
        raise ValueError(f"expected a reference of rows like {list(rows.shape)}, got {list(reference.shape)}")
    shortlisted = min(max(count, _SHORTLIST), len(reference))
    shortlists = _shortlist(rows, reference, shortlisted)
    indices = np.empty((len(rows), min(count, shortlisted)), np.int64)
    distances = np.empty(indices.shape)
    for part in row_chunks(len(rows), shortlisted * rows.shape[1]):
        shortlist = shortlists[part]
        gaps = _scaled(reference[shortlist]).astype(np.float64) - rows[part][:, None]
        exact = np.sqrt(np.einsum("nkd,nkd->nk", gaps, gaps))
        order = np.argsort(exact, axis=1, kind="stable")[:, : indices.shape[1]]
        indices[part] = np.take_along_axis(shortlist, order, 1)
        distances[part] = np.take_along_axis(exact, order, 1)
    return indices, distances


def _shortlist(rows: Rows, reference: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Find the `count` nearest rows of the reference up to rounding: indices [N, count], in their order."""
    blocks = list(row_chunks(len(reference), rows.shape[1]))
    total = sum(_scaled(reference[block]).sum(0, dtype=np.float64) for block in blocks)
    centre = np.asarray(total / len(reference), np.float32)
    centred = rows - centre
    indices = np.empty((len(rows), 0), np.int64)
    squares = np.empty((len(rows), 0), np.float32)
    for block in blocks:
        others = _scaled(reference[block]) - centre
        kept = min(count, squares.shape[1] + len(others))
        next_indices = np.empty((len(rows), kept), np.int64)
        next_squares = np.empty((len(rows), kept), np.float32)
        for part in row_chunks(len(rows), len(others)):
            rough = np.concatenate([squares[part], squared_distances(centred[part], others)], axis=1)
            numbers = np.broadcast_to(np.arange(block.start, block.stop), (len(rough), len(others)))
            found = np.concatenate([indices[part], numbers], axis=1)
            closest = np.argpartition(rough, kept - 1, axis=1)[:, :kept]
            next_indices[part] = np.take_along_axis(found, closest, 1)
            next_squares[part] = np.take_along_axis(rough, closest, 1)
        indices, squares = next_indices, next_squares
    return np.sort(indices, axis=1)


def _scaled(rows: NDArray[Any]) -> Rows:
    return rows.astype(np.float32) / np.float32(LEVELS) if rows.dtype == np.uint8 else rows
