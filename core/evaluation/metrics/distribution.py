"""Distances between the distributions of samples and of held-out images, by their triangles and by their pixels.

Letters of shapes: N samples, M held-out images, D = C H W numbers of an image.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from core.errors import UserError
from core.evaluation.metrics import Metrics
from core.statistics import two_sample
from core.statistics.density_coverage import density_coverage
from core.statistics.nearest import LEVELS, Rows, as_rows, squared_distances

Vertices = NDArray[np.floating]

_BANDWIDTH_IMAGES: Final = 1000


@dataclass(frozen=True)
class TriangleFeatures:
    """Features by which K triangles are compared.

    Attributes:
        area: [K], in square pixels.
        smallest_angle: [K], in degrees; 0 for a triangle without area.
        centroid: [K, 2] as (x, y), in pixels.
        orientation: [K], the direction of the longest side, in degrees from 0 to below 180.
    """

    area: NDArray[np.float64]
    smallest_angle: NDArray[np.float64]
    centroid: NDArray[np.float64]
    orientation: NDArray[np.float64]


def triangle_features(vertices: Vertices) -> TriangleFeatures:
    """Compute area, smallest angle, centroid and orientation of the fitted triangles.

    Args:
        vertices: [N, 3, 2] as (x, y) in pixels; a row with NaN has no triangle and is left out.

    Raises:
        ValueError: another shape.
    """
    if vertices.ndim != 3 or vertices.shape[1:] != (3, 2):
        raise ValueError(f"expected vertices [N, 3, 2], got {list(vertices.shape)}")
    corners = vertices[np.isfinite(vertices).all((1, 2))].astype(np.float64)
    onward = np.roll(corners, -1, axis=1) - corners
    back = np.roll(corners, 1, axis=1) - corners
    twice_area = np.abs(onward[..., 0] * back[..., 1] - onward[..., 1] * back[..., 0])
    angles = np.arctan2(twice_area, (onward * back).sum(-1))
    lengths = (onward**2).sum(-1)
    longest = onward[np.arange(len(onward)), lengths.argmax(1)]
    return TriangleFeatures(
        area=twice_area[:, 0] / 2,
        smallest_angle=np.degrees(angles.min(1)),
        centroid=corners.mean(1),
        # Rounding can lift a tiny negative angle to 180 itself.
        orientation=np.degrees(np.arctan2(longest[:, 1], longest[:, 0])) % 180 % 180,
    )


def distribution_metrics(
    samples: NDArray[Any],
    heldout: NDArray[Any],
    sample_vertices: Vertices | None,
    heldout_vertices: Vertices | None,
    *,
    rng: np.random.Generator,
) -> Metrics:
    """Compute distances between the distributions of samples and of held-out images, each with a 95% interval.

    Triangles should be fitted in the same way in both, so the fit's effect on areas and angles cancels. Children of
    ``rng`` draw everything, so runs evaluated with one seed are evaluated along the same directions, whatever else
    ``rng`` has drawn.

    Args:
        samples: [N, C, H, W], floats in [0, 1] or uint8; compared as rounded to 256 levels.
        heldout: [M, C, H, W] likewise.
        sample_vertices: [N, 3, 2] as (x, y) in pixels, rows of NaN where there is no triangle; None where images
            are not of triangles.
        heldout_vertices: [M, 3, 2] likewise.
        rng: made by ``default_rng``; its children are the only source of randomness.

    Returns:
        Metrics, without a value where there are too few images or triangles.

        Of triangles: ``area_ks`` and ``angle_ks`` (of the smallest angle), both Kolmogorov-Smirnov;
        ``centroid_distance``, the energy distance in pixels, which is unbiased and so can be slightly below 0;
        ``orientation_ks``, Kuiper's distance of the directions of longest sides.

        Of pixels: ``density`` and ``coverage`` (k = 5, among equally many samples and held-out images, drawn from the
        more numerous, with rounding undone by dither); ``mmd``, unbiased and squared, with the kernel
        exp(-|x-y|^2 / 2 s^2), where s is the median distance of the first 1000 held-out images;
        ``sliced_wasserstein``, in grey of 0 to 1 along a direction of length 1.

    Raises:
        UserError: samples and held-out images differ in shape, or are no images.
    """
    rows, real = as_rows(samples), as_rows(heldout)
    if samples.shape[1:] != heldout.shape[1:]:
        raise UserError(
            f"expected samples of the shape of the data, {list(heldout.shape[1:])}, got {list(samples.shape[1:])}"
        )
    for_triangles, for_neighbours, for_slices = rng.spawn(3)
    density, coverage = density_coverage(*_matched(rows, real, for_neighbours))
    scale = 2 * bandwidth(real) ** 2
    # The common centre is subtracted, or float32 would lose small distances.
    centre = real.mean(0) if len(real) else np.float32(0)
    pixels = {
        "density": density,
        "coverage": coverage,
        "mmd": two_sample.squared_mmd(
            rows - centre, real - centre, lambda x, y: np.exp(squared_distances(x, y) / -scale)
        ),
        "sliced_wasserstein": two_sample.sliced_wasserstein(rows, real, rng=for_slices),
    }
    if sample_vertices is None or heldout_vertices is None:
        return pixels
    ours, theirs = triangle_features(sample_vertices), triangle_features(heldout_vertices)
    return {
        "area_ks": two_sample.kolmogorov_smirnov(ours.area, theirs.area, rng=for_triangles),
        "angle_ks": two_sample.kolmogorov_smirnov(
            ours.smallest_angle, theirs.smallest_angle, rng=for_triangles
        ),
        "centroid_distance": two_sample.squared_mmd(ours.centroid, theirs.centroid, _minus_distance),
        "orientation_ks": two_sample.kuiper(ours.orientation, theirs.orientation, rng=for_triangles),
        **pixels,
    }


def bandwidth(real: Rows) -> float:
    """Compute the median distance between two of the first 1000 images; 1 where it would be 0.

    Args:
        real: [M, D].
    """
    few = real[:_BANDWIDTH_IMAGES]
    if len(few) < 2:
        return 1.0
    between = squared_distances(few - few.mean(0), few - few.mean(0))
    return float(np.sqrt(np.median(between[np.triu_indices(len(few), 1)]))) or 1.0


def _matched(rows: Rows, real: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Choose equally many of both, because coverage depends on their ratio, and dither the rounding to levels."""
    count = min(len(rows), len(real))
    chosen = (side[np.sort(rng.permutation(len(side))[:count])] for side in (rows, real))
    level = np.float32(1 / LEVELS)
    ours, theirs = (side + level * (rng.random(side.shape, np.float32) - np.float32(0.5)) for side in chosen)
    return ours, theirs


def _minus_distance(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.asarray(cdist(x, y))
