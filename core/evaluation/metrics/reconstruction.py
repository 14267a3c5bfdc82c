"""Reconstruction of held-out images that were noised and denoised, as a function of the noise.

Timesteps `t` are 0..T-1, as everywhere in code; in curves they are 1..T, as in the papers.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics import Curves, Metrics, Progress
from core.evaluation.metrics.denoising import (
    Numbers,
    psnr,
    reconstruct,
    scaled_steps,
    timestep_from_strength,
)
from core.evaluation.preprocess import Images, to_x0
from core.evaluation.triangle_fit.fit import find_edge, fit_triangles
from core.evaluation.triangle_fit.raster import Edge
from core.statistics.estimate import Estimate
from core.statistics.intervals import finite_mean, mean, median
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 64
"""Number of held-out images for which a run is evaluated."""
DEFAULT_STRENGTHS: Final = tuple(step / 8 for step in range(1, 9))
"""Shares of T to which images are noised by default."""
_CORNER_ORDERS: Final = np.array(list(itertools.permutations(range(3))))


def reconstruction(
    loaded: LoadedModel,
    images: Images,
    vertices: NDArray[np.floating] | None = None,
    *,
    strengths: tuple[float, ...] = DEFAULT_STRENGTHS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Metrics, Curves]:
    """Noise held-out images to several strengths, denoise them with the run's own sampler and measure the results.

    Each strength takes its share of the network calls of a trajectory from T.

    For a run that samples in T = 300 steps, with `MAX_IMAGES` and `DEFAULT_STRENGTHS`, 86,400 images pass through the
    network; with 50 steps it is 14,400.

    Args:
        loaded: the run, as of a checkpoint.
        images: [N, C, H, W], N >= 1, uint8 or float in [0, 1]; held out.
        vertices: [N, 3, 2] the true corners in pixels; None for images of other things, for which only PSNR is
            measured.
        strengths: shares of T.
        seed: seed of the noises.
        progress: called with images passed through the network so far, and in all.

    Returns:
        Metrics at the strength 0.5, and curves over timesteps 1..T with 95% intervals in ``.low`` and ``.high``:

        - ``reconstruction_psnr``: mean, in decibels, see `core.evaluation.metrics.denoising.psnr`.
        - ``reconstruction_iou``: mean, see `iou`.
        - ``reconstruction_vertex``: median, in pixels, see `vertex_error`; undefined where most triangles are lost.
          Its curve begins at t = 0 with the images themselves, which gives the error of the fit.

    Raises:
        UserError: images that the network cannot take, or an error of `denoise`.
    """
    timesteps = loaded.diffusion.timesteps
    middle = timestep_from_strength(0.5, timesteps)
    timesteps_noised = sorted(
        {middle, *(timestep_from_strength(strength, timesteps) for strength in strengths)}
    )
    calls = [scaled_steps(loaded.config.sample.steps, t, timesteps) for t in timesteps_noised]
    truth = (to_x0(loaded, images).cpu().numpy().astype(np.float64) + 1.0) / 2.0
    names = ["reconstruction_psnr"]
    metrics: Metrics = {}
    points: dict[str, list[tuple[int, Estimate]]] = {"reconstruction_psnr": []}
    shown: NDArray[np.bool_] = np.zeros(len(truth), dtype=bool)
    edge: Edge = "tent"
    if vertices is not None:
        names += ["reconstruction_iou", "reconstruction_vertex"]
        # Slivers without ink have corners that cannot be found, even in the original image.
        shown = np.isfinite(vertex_error(_grey(truth), vertices))
        if shown.any():
            edge = find_edge(_grey(truth)[shown])
        fitted = vertex_error(_grey(truth), vertices, edge)
        points["reconstruction_iou"] = []
        points["reconstruction_vertex"] = [(0, median(fitted[shown]))]
    for index, (t, count) in enumerate(zip(timesteps_noised, calls, strict=True)):
        reconstructed = reconstruct(
            loaded,
            images,
            t,
            steps=count,
            seed=seed,
            progress=_offset_progress(progress, len(truth) * sum(calls[:index]), len(truth) * sum(calls)),
        ).astype(np.float64)
        measured = {"reconstruction_psnr": finite_mean(psnr(truth, reconstructed))}
        if vertices is not None:
            grey = np.nan_to_num(_grey(reconstructed))
            measured["reconstruction_iou"] = mean(iou(_grey(truth), grey))
            measured["reconstruction_vertex"] = median(vertex_error(grey, vertices, edge)[shown])
        for name in names:
            points[name].append((t + 1, measured[name]))
        if t == middle:
            metrics = measured
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
    """Compute intersection over union of the light pixels of two sets of images, [N]; both [N, 1, H, W] in [0, 1].

    Haze does not count: pixels are light if they are nearer to white than to the image's own background. The background
    is the median, because a triangle covers at most half of a square. NaN where neither image has light pixels.
    """
    light, other = _light_mask(truth), _light_mask(images)
    both = (light & other).sum(axis=(1, 2, 3))
    either = (light | other).sum(axis=(1, 2, 3))
    overlap: Numbers = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    return overlap


def vertex_error(images: Numbers, vertices: NDArray[np.floating], edge: Edge = "tent") -> Numbers:
    """Compute the mean distance between fitted and true corners in pixels, [N], in the best of the six orders.

    Args:
        images: [N, 1, H, W] in [0, 1].
        vertices: [N, 3, 2] true corners, (x, y) in pixels.
        edge: edge of the images' triangles, see `core.evaluation.triangle_fit.fit.find_edge`.

    Returns:
        The distances; infinite where an image has no triangle.
    """
    fitted = fit_triangles(images, edge=edge).vertices
    distance = np.linalg.norm(fitted[:, _CORNER_ORDERS] - vertices[:, None].astype(np.float64), axis=-1)
    best: Numbers = np.nan_to_num(distance.mean(axis=-1).min(axis=-1), nan=np.inf)
    return best


def _grey(images: Numbers) -> Numbers:
    """Reduce to the brightest channel, which shows the shape, because coloured triangles lie on black."""
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
