"""Triangles that were fitted to pictures, computed on request and kept beside them.

A file names the pictures that it is of by a hash of their pixels, so one that is out of date says so by itself. For
a run it is ``overlays/epoch-0010.json``, of the sheet ``samples/epoch-0010.png``.
"""

import hashlib
import math
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.files.atomic import atomic_write
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory

FOLDER: Final = "overlays"
_MAX_BYTES: Final = 1 << 24
_MAX_CORNER: Final = 1e6
"""Pixels; a corner farther away than this is none that was fitted."""

Corners = tuple[float, float, float, float, float, float]


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """The best-fitting triangle of each of N pictures.

    Attributes:
        images_hash: `pixels_hash` of the images; ``of`` in the file.
        edge: how the pictures were taken to be drawn, see `core.evaluation.triangle_fit.raster.coverage`.
        corners: x0, y0, x1, y1, x2, y2 in pixels of the picture; None where there was too little ink for a triangle.
        soft_iou: overlap of picture and triangle over their union, 0 to 1; None likewise.
    """

    images_hash: str = msgspec.field(name="of")
    edge: Literal["tent", "area"]
    corners: list[Corners | None]
    soft_iou: list[float | None]


def pixels_hash(images: NDArray[np.uint8]) -> str:
    """What names some pictures: a hash of their shape and pixels."""
    mark = hashlib.sha256(str(images.shape).encode())
    mark.update(np.ascontiguousarray(images).tobytes())
    return mark.hexdigest()[:16]


def overlay_path(run: RunDirectory, epoch: int) -> Path:
    """Where the triangles of a run's sheet of an epoch are kept."""
    return run.path / FOLDER / f"epoch-{epoch:04d}.json"


def write_overlay(path: Path, overlay: Overlay) -> None:
    """Keep an overlay, replacing what was there; its folder must be there."""
    atomic_write(path, msgspec.json.encode(overlay) + b"\n", fsync=False)


def read_overlay(path: Path, images: NDArray[np.uint8]) -> Overlay | None:
    """What was kept of these pictures; None when there is none, or it is of others or damaged."""
    try:
        with open_regular(path) as file:
            found = msgspec.json.decode(file.read(_MAX_BYTES), type=Overlay)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_complete = len(found.corners) == len(found.soft_iou) == len(images)
    in_range = all(abs(number) <= _MAX_CORNER for one in found.corners if one is not None for number in one)
    are_shares = all(math.isfinite(one) and 0 <= one <= 1 for one in found.soft_iou if one is not None)
    matches = found.images_hash == pixels_hash(images)
    return found if is_complete and in_range and are_shares and matches else None
