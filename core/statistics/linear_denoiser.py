"""The linear (Wiener) denoiser of the data's mean and covariance: the noise error that any network must beat.

It predicts x0 = mu + sqrt(abar) C (abar C + (1 - abar) I)^-1 (xt - sqrt(abar) mu), the best estimate that is linear in
xt. In the eigenvectors of C it multiplies each coefficient by a number, so the errors of all noise levels together cost
one matrix product. The ideal denoiser of any data with this mean and covariance is never worse than it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.statistics.gaussian_sampling import fit_moments

Array = NDArray[np.float64]


def linear_noise_error(variances: Array, log_snr: Array) -> Array:
    """Compute the expected error of the linear denoiser, SNR mmse(SNR) with mmse = mean of e / (1 + SNR e) over e.

    Args:
        variances: [d], eigenvalues e of the data's covariance, as in `GaussianData`.
        log_snr: [n].

    Returns:
        m(log SNR) as of `NoiseErrorCurve`, [n], from 0 to 1.

    Reference: Guo, Shamai and Verdu 2005, eq. 9, for a Gaussian of several dimensions.
    """
    signal = np.exp(log_snr)[:, None] * variances
    errors: Array = np.mean(signal / (1 + signal), axis=1)
    return errors


@dataclass(frozen=True, eq=False)
class LinearDenoiser:
    """The linear denoiser of images in [-1, 1].

    Attributes:
        mean: [d].
        variances: [r], eigenvalues of the covariance.
        vectors: [d, r], its eigenvectors as columns; the variance in all other directions is 0.
    """

    mean: Array
    variances: Array
    vectors: Array

    @classmethod
    def fit(cls, images: NDArray[np.uint8]) -> "LinearDenoiser":
        """Fit the denoiser to images, uint8 [N, C, S, S].

        Raises:
            UserError: see `fit_moments`.
        """
        if len(images) < images[0].size:  # fewer directions than dimensions
            scaled = images.reshape(len(images), -1) / 127.5 - 1
            mean = scaled.mean(axis=0)
            _, lengths, rows = np.linalg.svd(scaled - mean, full_matrices=False)
            return cls(mean, lengths**2 / len(images), rows.T)
        mean, covariance = fit_moments(images)
        variances, vectors = np.linalg.eigh(covariance)
        return cls(mean, np.maximum(variances, 0.0), vectors)

    def noise_errors(self, x0: Array, eps: Array, log_snr: Array) -> Array:
        """Compute the squared error of the noise that the denoiser predicts in given noised images.

        Args:
            x0: [N, d] in [-1, 1].
            eps: [N, d], the noise.
            log_snr: [n].

        Returns:
            [N, n], SNR ||x_0 - x_0_hat||^2 / d of each image at each level.
        """
        centred = x0 - self.mean
        signal, noise = centred @ self.vectors, eps @ self.vectors
        # Outside the eigenvectors the mean is predicted.
        outside = np.sum(centred**2, axis=1) - np.sum(signal**2, axis=1)
        errors = []
        for level in log_snr:
            amplitude = np.exp(0.5 * level)
            # eps_hat - eps in each coefficient: amplitude (x0 - x0_hat), where x0_hat = factor (x0 + eps / amplitude).
            factor = 1 / (1 + np.exp(level) * self.variances)
            inside = np.sum((factor * amplitude * signal - (1 - factor) * noise) ** 2, axis=1)
            errors.append((inside + amplitude**2 * np.maximum(outside, 0.0)) / x0.shape[1])
        return np.stack(errors, axis=1)
