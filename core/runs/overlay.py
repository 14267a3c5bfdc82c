"""Triangles fitted to images, computed on request and saved beside the images.

A file contains a hash of the images' pixels, so a reader can tell that it is out of date. The overlay of a run's
sheet ``samples/epoch-0010.png`` is ``overlays/epoch-0010.json``.
"""

import hashlib
import math
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.files.atomic import atomic_write
from core.files.outputs import refuse_link
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory

FOLDER: Final = "overlays"
_MAX_BYTES: Final = 1 << 24
_MAX_CORNER: Final = 1e6
"""Pixels. No fit has a corner farther away."""

Corners = tuple[float, float, float, float, float, float]


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """Best-fitting triangles of N images.

    Attributes:
        images_hash: `pixels_hash` of the images; ``of`` in the file.
        edge: how the images are assumed to be drawn, see `core.evaluation.triangle_fit.raster.coverage`.
        corners: x0, y0, x1, y1, x2, y2 in pixels; None for an image with too little ink for a triangle.
        soft_iou: overlap of image and triangle over their union, 0 to 1; None likewise.
    """

    images_hash: str = msgspec.field(name="of")
    edge: Literal["tent", "area"]
    corners: list[Corners | None]
    soft_iou: list[float | None]


def pixels_hash(images: NDArray[np.uint8]) -> str:
    """Hash the shape and the pixels of images."""
    digest = hashlib.sha256(str(images.shape).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()[:16]


def overlay_path(run: RunDirectory, epoch: int) -> Path:
    """Return the path of the overlay of a run's sheet of an epoch."""
    return run.path / FOLDER / f"epoch-{epoch:04d}.json"


def write_overlay(path: Path, overlay: Overlay) -> None:
    """Write an overlay, replacing an older one.

    Raises:
        OSError: it cannot be written, or its folder is missing or a link.
    """
    refuse_link(path.parent)
    atomic_write(path, msgspec.json.encode(overlay) + b"\n", fsync=False)


def read_overlay(path: Path, images: NDArray[np.uint8]) -> Overlay | None:
    """Read the overlay of these images; None if it is missing, damaged, or of other images."""
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
