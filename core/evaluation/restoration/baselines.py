"""Restoration without a network: the baselines of `core.evaluation.metrics.restoration`.

Images are float64 [N, C, H, W] in [0, 1].
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import linalg

Numbers = NDArray[np.float64]
Degrade = Callable[[Numbers], Numbers]

TV_WEIGHTS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_TV_STEP: Final = 0.248
_TV_ITERATIONS: Final = 100


def median_filter(y: Numbers, size: int = 3) -> Numbers:
    """Take the median of each pixel's neighbourhood of size x size."""
    found: Numbers = ndimage.median_filter(y, (1, 1, size, size), mode="nearest")
    return found


def total_variation(y: Numbers, weight: float) -> Numbers:
    """Minimise |u - y|^2 / (2 weight) + the total variation of u, each channel by itself.

    Reference: Chambolle 2004, "An Algorithm for Total Variation Minimization and Applications", eq. 9.
    """
    p = np.zeros((2, *y.shape))
    for _ in range(_TV_ITERATIONS):
        g = _gradient(_divergence(p) - y / weight)
        p = (p + _TV_STEP * g) / (1.0 + _TV_STEP * np.sqrt((g**2).sum(axis=0)))
    return y - weight * _divergence(p)


def _gradient(u: Numbers) -> Numbers:
    g = np.zeros((2, *u.shape))
    g[0, ..., :-1, :] = u[..., 1:, :] - u[..., :-1, :]
    g[1, ..., :, :-1] = u[..., :, 1:] - u[..., :, :-1]
    return g


def _divergence(p: Numbers) -> Numbers:
    """Return the negative adjoint of the gradient."""
    rows, columns = p[0].copy(), p[1].copy()
    rows[..., 1:, :] -= p[0, ..., :-1, :]
    rows[..., -1, :] -= p[0, ..., -1, :]
    columns[..., :, 1:] -= p[1, ..., :, :-1]
    columns[..., :, -1] -= p[1, ..., :, -1]
    divergence: Numbers = rows + columns
    return divergence


def nearest_fill(y: Numbers, known: NDArray[np.bool_]) -> Numbers:
    """Fill each missing pixel with the nearest known one; `known` is [H, W]."""
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    found: Numbers = y[..., rows, columns]
    return found


def biharmonic_fill(y: Numbers, known: NDArray[np.bool_]) -> Numbers:
    """Fill missing pixels so that the squared Laplacian is 0 there; `known` is [H, W].

    Edges reflect, and known pixels are kept.
    """
    height, width = known.shape
    rows, columns = (_second_difference(side) for side in (height, width))
    laplacian = sparse.kronsum(columns, rows, format="csr")
    square, missing = (laplacian @ laplacian).tocsr(), ~known.ravel()
    flat = y.reshape(-1, height * width).copy()
    right = -square[missing][:, ~missing] @ flat[:, ~missing].T
    solve = linalg.factorized(square[missing][:, missing].tocsc())
    flat[:, missing] = np.stack([solve(column) for column in np.asarray(right).T])
    return flat.reshape(y.shape).clip(0.0, 1.0)


def _second_difference(side: int) -> sparse.csr_matrix:
    matrix = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(side, side), format="lil")
    matrix[0, 0] = matrix[-1, -1] = -1.0
    return matrix.tocsr()


def bicubic(y: Numbers, factor: int) -> Numbers:
    """Enlarge by bicubic interpolation."""
    height, width = y.shape[2] * factor, y.shape[3] * factor
    planes = y.reshape(-1, *y.shape[2:])
    larger = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in planes]
    return np.stack(larger).reshape(*y.shape[:2], height, width).clip(0.0, 1.0)


def wiener(y: Numbers, x: Numbers, degrade: Degrade, sigma_y: float) -> Numbers:
    """Estimate images as the linear function of y with the least mean squared error on Gaussian data.

    For a linear degradation it is mu + S A^T (A S A^T + sigma_y^2 I)^-1 (y - A mu), with the mean mu and covariance S
    of training images: the conditional mean of a Gaussian, and the Wiener filter. A S A^T is the covariance of the
    degraded training images, and S A^T that with the images, so that other degradations have such an estimate too.

    Args:
        y: degraded images.
        x: training images.
        degrade: A, without noise.
        sigma_y: standard deviation of the noise of y, in [0, 1].
    """
    degraded = degrade(x).reshape(len(x), -1)
    flat = x.reshape(len(x), -1)
    mu_x, mu_y = flat.mean(axis=0), degraded.mean(axis=0)
    degraded = degraded - mu_y
    covariance = degraded.T @ degraded / len(x)
    covariance[np.diag_indices_from(covariance)] += sigma_y**2
    cross = degraded.T @ (flat - mu_x) / len(x)
    gain = np.linalg.solve(covariance, cross)
    found: Numbers = (mu_x + (y.reshape(len(y), -1) - mu_y) @ gain).reshape(-1, *x.shape[1:])
    return found.clip(0.0, 1.0)
