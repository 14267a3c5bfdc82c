"""How well held-out pictures come back when they are noised and denoised, against how far they were noised.

Timesteps `t` are 0..T-1, as everywhere in code; in curves, which people read, they are 1..T as in the papers.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics.denoising import (
    Numbers,
    Progress,
    psnr,
    reconstruct,
    scaled_steps,
    timestep_from_strength,
)
from core.evaluation.preprocess import Images, to_x0
from core.evaluation.triangle_fit.fit import find_edge, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.statistics.estimate import Estimate
from core.statistics.intervals import mean, median
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 64
"""Pictures enough for a run."""
DEFAULT_STRENGTHS: Final = tuple(step / 8 for step in range(1, 9))
"""Shares of T that a picture is noised to."""
_CORNER_ORDERS: Final = np.array(list(itertools.permutations(range(3))))

Metrics = dict[str, Estimate]
Curves = dict[str, list[float | None]]


def reconstruction(
    loaded: LoadedModel,
    images: Images,
    vertices: NDArray[np.floating] | None = None,
    *,
    strengths: tuple[float, ...] = DEFAULT_STRENGTHS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Metrics, Curves]:
    """How well held-out pictures come back, against how far they were noised; by the run's own sampler.

    Of the network calls of a whole walk from T each strength makes its share.

    With a run that walks through T = 300 timesteps, `PICTURES` and `STRENGTHS`, 86,400 pictures pass through the
    network; with 50 steps 14,400 do.

    Args:
        loaded: the run, as of a checkpoint.
        pictures: [N, C, H, W], N >= 1, uint8 or float in [0, 1]; held out.
        vertices: [N, 3, 2] the true corners in pixels; None for pictures of other things, of which only PSNR is
            measured.
        strengths: shares of T.
        seed: of the noises.
        progress: called with pictures passed through the network so far, and in all.

    Returns:
        Metrics at the strength 0.5, and curves over timesteps 1..T with 95% intervals in ``.low`` and ``.high``:

        - ``reconstruction_psnr``: mean, in decibels, see `core.evaluation.metrics.denoising.psnr`.
        - ``reconstruction_iou``: mean, see `iou`.
        - ``reconstruction_vertex``: median, in pixels, see `vertex_error`; undefined where most triangles are lost.
          Its curve begins at t = 0 with the pictures as they are: what the fit itself gets wrong.

    Raises:
        UserError: pictures that the network cannot take, or what `denoise` refuses.
    """
    timesteps = loaded.diffusion.timesteps
    middle = timestep_from_strength(0.5, timesteps)
    visited = sorted({middle, *(timestep_from_strength(strength, timesteps) for strength in strengths)})
    calls = [scaled_steps(loaded.config.sample.steps, t, timesteps) for t in visited]
    truth = (to_x0(loaded, images).cpu().numpy().astype(np.float64) + 1.0) / 2.0
    names = ["reconstruction_psnr"]
    metrics: Metrics = {}
    points: dict[str, list[tuple[int, Estimate]]] = {"reconstruction_psnr": []}
    shown: NDArray[np.bool_] = np.zeros(len(truth), dtype=bool)
    edge: Edge = "tent"
    if vertices is not None:
        names += ["reconstruction_iou", "reconstruction_vertex"]
        # Slivers that leave no ink have corners that nobody could find, network or not.
        shown = np.isfinite(vertex_error(_grey(truth), vertices))
        if shown.any():
            edge = find_edge(_grey(truth)[shown])
        fitted = vertex_error(_grey(truth), vertices, edge)
        points["reconstruction_iou"] = []
        points["reconstruction_vertex"] = [(0, median(fitted[shown]))]
    for place, (t, count) in enumerate(zip(visited, calls, strict=True)):
        came_back = reconstruct(
            loaded,
            images,
            t,
            steps=count,
            seed=seed,
            progress=_offset_progress(progress, len(truth) * sum(calls[:place]), len(truth) * sum(calls)),
        ).astype(np.float64)
        decibels = psnr(truth, came_back)
        # A network that has gone wrong says NaN, which `mean` would leave out.
        found = {"reconstruction_psnr": mean(decibels) if np.isfinite(decibels).all() else Estimate(None)}
        if vertices is not None:
            grey = np.nan_to_num(_grey(came_back))
            found["reconstruction_iou"] = mean(iou(_grey(truth), grey))
            found["reconstruction_vertex"] = median(vertex_error(grey, vertices, edge)[shown])
        for name in names:
            points[name].append((t + 1, found[name]))
        if t == middle:
            metrics = found
    curves: Curves = {}
    for name in names:
        curves |= {
            name: [point.value for _, point in points[name]],
            f"{name}.x": [float(t) for t, _ in points[name]],
            f"{name}.low": [point.low for _, point in points[name]],
            f"{name}.high": [point.high for _, point in points[name]],
        }
    return metrics, curves


def iou(truth: Numbers, images: Numbers) -> Numbers:
    """Overlap of what is light in both, [N]: intersection over union; both [N, 1, H, W] in [0, 1].

    Haze is taken away first: light is what is nearer to white than to the picture's own background, its median (a
    triangle covers at most half of a square). NaN where neither picture has any light.
    """
    light, other = _light_mask(truth), _light_mask(images)
    both = (light & other).sum(axis=(1, 2, 3))
    either = (light | other).sum(axis=(1, 2, 3))
    overlap: Numbers = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    return overlap


def vertex_error(images: Numbers, vertices: NDArray[np.floating], edge: Edge = "tent") -> Numbers:
    """Mean distance between fitted and true corners in pixels, [N], in the best of the six orders.

    Args:
        pictures: [N, 1, H, W] in [0, 1].
        vertices: [N, 3, 2] true corners, (x, y) in pixels.
        edge: how the triangles were drawn, see `core.evaluation.triangle_fit.fit.find_edge`.

    Returns:
        Infinite where a picture has no triangle.
    """
    fitted = fit_triangles(images, edge=edge).vertices
    distance = np.linalg.norm(fitted[:, _CORNER_ORDERS] - vertices[:, None].astype(np.float64), axis=-1)
    best: Numbers = np.nan_to_num(distance.mean(axis=-1).min(axis=-1), nan=np.inf)
    return best


def _grey(images: Numbers) -> Numbers:
    """One channel; coloured triangles lie on black, so their brightest channel is their shape."""
    brightest: Numbers = images.max(axis=1, keepdims=True)
    return brightest


def _light_mask(images: Numbers) -> NDArray[np.bool_]:
    haze = np.median(images, axis=(1, 2, 3), keepdims=True)
    light: NDArray[np.bool_] = images > (haze + 1.0) / 2.0
    return light


def _offset_progress(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
