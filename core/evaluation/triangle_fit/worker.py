"""``python -m core.evaluation.triangle_fit.worker SHEET OUTPUT [SHEET OUTPUT]...``: fits triangles to the pictures of sheets.

Keeps each sheet's fits as `core.runs.overlay`. The first sheet is of real pictures: how they were drawn is found out
there and holds for all. An output that is of its sheet already is left as it is. It ends with 2 and a line on stderr
when a sheet cannot be fitted or an output not be written.
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
    """Fit a triangle to each picture.

    Args:
        pictures: uint8 [N, S, S] or [N, S, S, 3].
        edge: how they were drawn; None finds it out.

    Raises:
        UserError: they are not square.
    """
    if images.shape[1] != images.shape[2]:
        raise UserError(f"expected square pictures, got {images.shape[2]} x {images.shape[1]}")
    values = (images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)) / 255
    edge = edge or find_edge(values)
    fits = fit_triangles(values, edge=edge)
    shaped = ~(fits.near_empty | np.isnan(fits.soft_iou))
    corners = fits.vertices.reshape(-1, 6)
    return Overlay(
        images_hash=pixels_hash(images),
        edge=edge,
        corners=[tuple(one.tolist()) if known else None for one, known in zip(corners, shaped, strict=True)],
        soft_iou=[
            float(np.clip(one, 0, 1)) if known else None
            for one, known in zip(fits.soft_iou, shaped, strict=True)
        ],
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module."""
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
            edge = _keep(sheet, output, edge)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _keep(sheet: Path, output: Path, edge: Edge | None) -> Edge:
    """Fit one sheet unless that has been done; returns how its pictures were drawn."""
    images = read_sheet(sheet).images
    before = read_overlay(output, images)
    if before is not None and edge in (None, before.edge):
        return before.edge
    overlay = fit_overlay(images, edge)
    try:
        write_overlay(output, overlay)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error})") from error
    return overlay.edge


if __name__ == "__main__":
    sys.exit(main())
