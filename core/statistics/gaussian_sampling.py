"""Sampling of Gaussian data in closed form: what schedule and steps alone do to samples, before any training.

Data are replaced by a Gaussian of their mean mu and covariance, for which the ideal denoiser is a matrix product. In
the eigenvectors of the covariance each coefficient is sampled by itself, so that the distribution of the samples
follows from a recursion over the steps. It is compared with the data in two parts:

- **start**: sampling starts from N(0, I), and the last timestep is not pure noise. This error stays however many steps
  there are.
- **steps**: there are finitely many.

With e an eigenvalue, V_t = abar_t e + 1 - abar_t is the variance of x_t. For infinitely many steps, the probability
flow multiplies deviations from sqrt(abar_t) mu by sqrt(e / V_T), and the reverse diffusion draws from the exact
posterior of x_0 given x_T.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.schedules import Schedule

Array = NDArray[np.float64]
ClosedFormSampler = Literal["ddim", "ddpm"]

MAX_DIMENSIONS: Final = 4096
"""Values of an image; the eigenvectors of more take minutes."""
_CHUNK: Final = 1024


@dataclass(frozen=True, eq=False)
class GaussianData:
    """A Gaussian with the mean and covariance of images scaled to [-1, 1].

    Attributes:
        variances: [d], eigenvalues of the covariance.
        mean: [d], coefficients of the mean in the eigenvectors.
        brightness: [d], mean over all pixels of each eigenvector.
    """

    variances: Array
    mean: Array
    brightness: Array

    @property
    def spread(self) -> float:
        """Root of the total variance, the unit of `SamplingError`."""
        return float(np.sqrt(self.variances.sum()))

    def mean_brightness(self, mean: Array) -> float:
        """Return the mean brightness, from 0 for black to 1 for white, of images with this mean."""
        return float((self.brightness @ mean + 1) / 2)


@dataclass(frozen=True)
class SamplingError:
    """Distances between the distributions of samples and data, relative to the data's spread.

    Attributes:
        start: 2-Wasserstein distance from the data with infinitely many steps.
        steps: 2-Wasserstein distance between finitely and infinitely many steps.
        total: 2-Wasserstein distance from the data.
        brightness: mean brightness of the samples divided by that of the data; NaN for black data.
    """

    start: float
    steps: float
    total: float
    brightness: float


def fit_gaussian(images: NDArray[np.uint8]) -> GaussianData:
    """Fit a Gaussian to images.

    Args:
        images: uint8 [N, C, S, S].

    Raises:
        UserError: see `fit_moments`.
    """
    mean, covariance = fit_moments(images)
    variances, vectors = np.linalg.eigh(covariance)
    return GaussianData(np.maximum(variances, 0.0), vectors.T @ mean, vectors.mean(0))


def fit_moments(images: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Compute mean and covariance of images scaled to [-1, 1].

    Args:
        images: uint8 [N, C, S, S].

    Returns:
        mean [d] and covariance [d, d].

    Raises:
        UserError: the images have more values than `MAX_DIMENSIONS`.
    """
    dimensions = images[0].size
    if dimensions > MAX_DIMENSIONS:
        shape = "x".join(map(str, images.shape[2:]))
        raise UserError(
            f"images of {shape} have {dimensions:,} values, and a covariance of at most {MAX_DIMENSIONS:,} is "
            "computed; make a smaller set with size in its recipe"
        )
    total, products = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for start in range(0, len(images), _CHUNK):
        scaled = images[start : start + _CHUNK].reshape(-1, dimensions) / 127.5 - 1
        total += scaled.sum(0)
        products += scaled.T @ scaled
    mean = total / len(images)
    return mean, products / len(images) - np.outer(mean, mean)


def sampling_error(
    data: GaussianData, schedule: Schedule, timesteps: Sequence[int], *, sampler: ClosedFormSampler = "ddim"
) -> SamplingError:
    """Compute the error of samples that the ideal denoiser of Gaussian data draws.

    Args:
        data: the data.
        schedule: the noise schedule.
        timesteps: descending from T - 1, as of `inference_timesteps`; after the last one follows the clean image.
        sampler: ``ddim`` is deterministic, ``ddpm`` ancestral with the variance of the posterior.
    """
    found = sampled_moments(data, schedule, timesteps, sampler=sampler)
    ideal = exact_moments(data, schedule, sampler=sampler)
    target = np.zeros_like(data.mean), data.variances
    real = data.mean_brightness(data.mean)
    return SamplingError(
        start=_distance(ideal, target) / data.spread,
        steps=_distance(found, ideal) / data.spread,
        total=_distance(found, target) / data.spread,
        brightness=data.mean_brightness(data.mean + found[0]) / real if real > 0 else float("nan"),
    )


def sampled_moments(
    data: GaussianData, schedule: Schedule, timesteps: Sequence[int], *, sampler: ClosedFormSampler = "ddim"
) -> tuple[Array, Array]:
    """Compute mean and variance of the samples' coefficients, less those of the data's mean.

    The steps are those of Song et al. 2021 (DDIM), eq. 12, with eta 0 or 1 and the ideal denoiser.

    Returns:
        mean [d] and variance [d].
    """
    abar = np.append(schedule.alphas_cumprod[list(timesteps)], 1.0)
    noise = np.append(schedule.one_minus_alphas_cumprod[list(timesteps)], 0.0)
    mean, variance = -np.sqrt(abar[0]) * data.mean, np.ones_like(data.mean)
    for t in range(len(timesteps)):
        s = t + 1
        eta = 1.0 if sampler == "ddpm" else 0.0
        # Of the posterior; 1 - abar_t / abar_s is the noise between the two steps.
        fresh = eta * noise[s] / noise[t] * (1 - abar[t] / abar[s])
        total = abar[t] * data.variances + noise[t]
        factor = np.sqrt(abar[s] * abar[t]) * data.variances + np.sqrt((noise[s] - fresh) * noise[t])
        factor /= total
        mean, variance = factor * mean, factor**2 * variance + fresh
    return mean, variance


def exact_moments(
    data: GaussianData, schedule: Schedule, *, sampler: ClosedFormSampler = "ddim"
) -> tuple[Array, Array]:
    """Compute the moments of `sampled_moments` in the limit of infinitely many steps."""
    abar, noise = schedule.terminal_alpha_bar, float(schedule.one_minus_alphas_cumprod[-1])
    total = abar * data.variances + noise
    if sampler == "ddpm":
        factor = np.sqrt(abar) * data.variances / total
        fresh = data.variances * noise / total
    else:
        factor, fresh = np.sqrt(data.variances / total), np.zeros_like(total)
    return -np.sqrt(abar) * data.mean * factor, factor**2 + fresh


def _distance(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Return the 2-Wasserstein distance of Gaussians with common eigenvectors, each given by mean and variance."""
    means = np.sum((one[0] - other[0]) ** 2)
    return float(np.sqrt(means + np.sum((np.sqrt(one[1]) - np.sqrt(other[1])) ** 2)))
