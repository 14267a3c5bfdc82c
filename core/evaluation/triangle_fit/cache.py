"""Cache of the fits of a data set, kept beside its images: thousands of fits take a minute and never change."""

import contextlib
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast, get_args

import numpy as np
from numpy.typing import NDArray

from core.evaluation.triangle_fit import fit, initial_guess, raster
from core.evaluation.triangle_fit.fit import ARRAYS, TriangleFits, find_edge
from core.evaluation.triangle_fit.raster import Edge
from core.files.atomic import atomic_path, atomic_write
from core.files.untrusted import NPZ_ERRORS

_DAMAGED: Final = (OSError, *NPZ_ERRORS)


def cached_fits(
    folder: Path, images: NDArray[np.float32], edge: Edge, fit: Callable[[], TriangleFits]
) -> TriangleFits:
    """Read the fits of the images from the cache, or call `fit` and write its result there.

    The file's name is a hash of the pixels, the edge and the source code of the fit, so another version fits again. A
    damaged file is replaced. Where no file can be written, nothing is cached.

    Args:
        folder: folder of the cache.
        images: [N, C, S, S], the fitted images.
        edge: edge of the fit.
        fit: computes the fits.
    """
    path = folder / f"fits-{_fingerprint(images, edge)}.npz"
    # Opened here, because numpy leaves a damaged file open.
    with (
        contextlib.suppress(*_DAMAGED),
        path.open("rb") as archive,
        np.load(archive, allow_pickle=False) as cached,
    ):
        found = TriangleFits(edge=edge, **{name: np.asarray(cached[name], np.float64) for name in ARRAYS})
        if all(len(getattr(found, name)) == len(images) for name in ARRAYS):
            return found
    fits = fit()
    # Where another user owns the data, or the disk is full, the next call fits again.
    with contextlib.suppress(OSError), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: getattr(fits, name) for name in ARRAYS})
    return fits


def cached_edge(folder: Path, images: NDArray[np.float32]) -> Edge:
    """Read the images' edge from the cache, or find it with `core.evaluation.triangle_fit.fit.find_edge`."""
    path = folder / f"edge-{_fingerprint(images, '')}.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = path.read_text(encoding="utf-8")
        if known in get_args(Edge):
            return cast(Edge, known)
    edge = find_edge(images)
    with contextlib.suppress(OSError):
        atomic_write(path, edge)
    return edge


def _fingerprint(images: NDArray[np.float32], edge: str) -> str:
    digest = hashlib.sha256(edge.encode())
    for module in (raster, initial_guess, fit):
        digest.update(inspect.getsource(module).encode())
    digest.update(str(images.shape).encode())
    digest.update(images.tobytes())
    return digest.hexdigest()[:16]
