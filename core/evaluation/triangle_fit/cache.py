"""Fits of a data set's pictures, kept beside them: thousands take a minute, and never change."""

import contextlib
import hashlib
import inspect
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Final, cast, get_args

import numpy as np
from numpy.typing import NDArray

from core.evaluation.triangle_fit import fit, initial_guess, raster
from core.evaluation.triangle_fit.fit import TriangleFits, find_edge
from core.evaluation.triangle_fit.raster import Edge
from core.files.atomic import atomic_path, atomic_write
from core.files.untrusted import NPY_ERRORS

_NAMES: Final = tuple(field.name for field in fields(TriangleFits) if field.name != "edge")
# zipfile raises NotImplementedError for a compression that it does not know, as a changed byte may name one.
_DAMAGED: Final = (OSError, *NPY_ERRORS, NotImplementedError, zipfile.BadZipFile, zlib.error)


def cached_fits(
    folder: Path, images: NDArray[np.float32], edge: Edge, fit: Callable[[], TriangleFits]
) -> TriangleFits:
    """What `fit` makes of the pictures, or made of them before.

    The file is named after the pixels, the edge and the program text of the fit, so another version fits anew. One
    that is damaged is made again; where none can be written, nothing is kept.

    Args:
        folder: where to keep it.
        pictures: [N, C, S, S], what is fitted.
        edge: how.
        fit: gives the fits; called if they are not there.
    """
    path = folder / f"fits-{_mark(images, edge)}.npz"
    # Opened here, because numpy leaves a damaged one open.
    with (
        contextlib.suppress(*_DAMAGED),
        path.open("rb") as archive,
        np.load(archive, allow_pickle=False) as kept,
    ):
        found = TriangleFits(edge=edge, **{name: np.asarray(kept[name], np.float64) for name in _NAMES})
        if all(len(getattr(found, name)) == len(images) for name in _NAMES):
            return found
    fits = fit()
    # Somebody else's data, or a full disk: it is fitted again the next time.
    with contextlib.suppress(OSError), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: getattr(fits, name) for name in _NAMES})
    return fits


def cached_edge(folder: Path, images: NDArray[np.float32]) -> Edge:
    """How the pictures were drawn, as `core.evaluation.triangle_fit.fit.find_edge` finds it, or found it before."""
    path = folder / f"edge-{_mark(images, '')}.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = path.read_text(encoding="utf-8")
        if known in get_args(Edge):
            return cast(Edge, known)
    edge = find_edge(images)
    with contextlib.suppress(OSError):
        atomic_write(path, edge)
    return edge


def join_fits(parts: list[TriangleFits]) -> TriangleFits:
    """Fits of some pictures after those of others; at least one, and all of one edge."""
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES}
    return TriangleFits(edge=parts[0].edge, **joined)


def _mark(images: NDArray[np.float32], edge: str) -> str:
    mark = hashlib.sha256(edge.encode())
    for module in (raster, initial_guess, fit):
        mark.update(inspect.getsource(module).encode())
    mark.update(str(images.shape).encode())
    mark.update(images.tobytes())
    return mark.hexdigest()[:16]
