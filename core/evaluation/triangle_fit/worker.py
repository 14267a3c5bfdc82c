"""Worker that fits triangles to the images of sheets and writes each sheet's fits as a `core.runs.overlay`.

Usage: ``python -m core.evaluation.triangle_fit.worker SHEET OUTPUT [SHEET OUTPUT]...``

The first sheet holds real images; the edge found there is used for all sheets. An output that already belongs to its
sheet is left unchanged. When a sheet cannot be fitted or an output cannot be written, the worker prints a line to
stderr and exits with 2.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.evaluation.triangle_fit.fit import find_edge, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.imaging import read_sheet
from core.runs.overlay import Overlay, pixels_hash, read_overlay, write_overlay


def fit_overlay(images: NDArray[np.uint8], edge: Edge | None = None) -> Overlay:
    """Fit a triangle to each image.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3].
        edge: edge of their triangles; None finds it.

    Raises:
        UserError: the images are not square.
    """
    if images.shape[1] != images.shape[2]:
        raise UserError(f"expected square images, got {images.shape[2]} x {images.shape[1]}")
    values = (images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)) / 255
    edge = edge or find_edge(values)
    fits = fit_triangles(values, edge=edge)
    shaped = ~(fits.near_empty | np.isnan(fits.soft_iou))
    corners = fits.vertices.reshape(-1, 6)
    return Overlay(
        images_hash=pixels_hash(images),
        edge=edge,
        corners=[
            tuple(one.tolist()) if fitted else None for one, fitted in zip(corners, shaped, strict=True)
        ],
        soft_iou=[
            float(np.clip(one, 0, 1)) if fitted else None
            for one, fitted in zip(fits.soft_iou, shaped, strict=True)
        ],
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module."""
    paths = [Path(one) for one in (sys.argv[1:] if arguments is None else arguments)]
    if not paths or len(paths) % 2:
        print(
            "usage: python -m core.evaluation.triangle_fit.worker SHEET OUTPUT [SHEET OUTPUT]...",
            file=sys.stderr,
        )
        return EXIT_USAGE
    edge: Edge | None = None
    try:
        for sheet, output in zip(paths[::2], paths[1::2], strict=True):
            edge = _fit_sheet(sheet, output, edge)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _fit_sheet(sheet: Path, output: Path, edge: Edge | None) -> Edge:
    """Fit one sheet, unless its output is up to date; returns the edge of its triangles."""
    images = read_sheet(sheet).images
    existing = read_overlay(output, images)
    if existing is not None and edge in (None, existing.edge):
        return existing.edge
    overlay = fit_overlay(images, edge)
    try:
        write_overlay(output, overlay)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error})") from error
    return overlay.edge


if __name__ == "__main__":
    sys.exit(main())
