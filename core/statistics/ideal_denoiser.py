"""The ideal denoiser of a set of images: the noise error of a network that has memorised its training images.

If the data are exactly R images, the best prediction of x0 is their mean weighted by how likely each is to have become
xt, a softmax over their distances to xt. On these images its error is the lowest possible, and on others it is high.

Reference: Karras et al. 2022, eq. 57.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Array = NDArray[np.float64]


def ideal_noise_errors(train: Array, x0: Array, eps: Array, log_snr: Array) -> Array:
    """Compute the squared error of the noise that the ideal denoiser of `train` predicts in given noised images.

    Args:
        train: [R, d] in [-1, 1], the images of the denoiser.
        x0: [N, d], the images that are noised.
        eps: [N, d], their noise, the same at all levels.
        log_snr: [n].

    Returns:
        [N, n], SNR ||x_0 - x_0_hat||^2 / d of each image at each level.
    """
    # ||xt - sqrt(abar) x||^2 / (2 (1 - abar)) up to a constant of the image: SNR D / 2 - sqrt(SNR) eps (x - x0).
    distances = np.sum(x0**2, axis=1)[:, None] - 2 * x0 @ train.T + np.sum(train**2, axis=1)
    along = eps @ train.T
    single = train.astype(np.float32)
    errors = []
    for level in log_snr:
        logits = np.exp(0.5 * level) * along - 0.5 * np.exp(level) * distances
        weights = softmax(logits, axis=1).astype(np.float32)
        predicted = (weights @ single).astype(np.float64)
        errors.append(np.exp(level) * np.mean((x0 - predicted) ** 2, axis=1))
    return np.stack(errors, axis=1)
