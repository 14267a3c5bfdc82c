"""Starts of sampling: the distribution of the state from which a sampler begins.

Training noised images to x_T = sqrt(abar_T) x0 + sqrt(1 - abar_T) eps, but sampling starts from N(0, I). The other
starts replace a part of that difference, so that its effect on samples can be measured with one network:

- ``noise``: N(0, I), as everywhere else.
- ``mean``: N(sqrt(abar_T) mu, I), with the mean mu of the training images.
- ``gaussian``: N(sqrt(abar_T) mu, abar_T Sigma + (1 - abar_T) I), with their covariance Sigma too.
- ``images``: noised held-out images, the exact distribution of x_T.

T is the timestep at which sampling starts. All starts use the same noise.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from core.data import ImageSet
from core.diffusion.gaussian import GaussianDiffusion
from core.sampling_names import StartName

Start = Callable[[Tensor, int], Tensor]
"""start(noise [N, C, H, W], number of images before these) -> starting state, like noise."""


def make_start(
    name: StartName, images: ImageSet, diffusion: GaussianDiffusion, t: int, *, seed: int = 0
) -> Start:
    """Make a start.

    Args:
        name: its name.
        images: the images of the run.
        diffusion: the process of the run.
        t: timestep 0..T-1 at which sampling starts.
        seed: seed of the draws of ``gaussian`` from the covariance.
    """
    alpha_t, sigma_t = diffusion.alpha_sigma(t)
    if name == "noise":
        return lambda noise, first: noise
    if name == "images":
        heldout = images.heldout

        def noised(noise: Tensor, first: int) -> Tensor:
            chosen = np.arange(first, first + len(noise)) % len(heldout)
            return alpha_t * _scaled(np.array(heldout[chosen])).to(noise.device) + sigma_t * noise

        return noised
    train = _scaled(np.array(images.train))
    mean = train.mean(0, keepdim=True)
    if name == "mean":
        return lambda noise, first: alpha_t * mean.to(noise.device) + noise
    # Sums of centred images with standard normal weights have their covariance, without its eigenvectors.
    centred = (train - mean).flatten(1) / math.sqrt(len(train))
    generator = torch.Generator().manual_seed(seed + 1)

    def gaussian(noise: Tensor, first: int) -> Tensor:
        weights = torch.randn((len(noise), len(centred)), generator=generator)
        x0 = mean + (weights @ centred).view(noise.shape)
        return alpha_t * x0.to(noise.device) + sigma_t * noise

    return gaussian


def _scaled(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Scale uint8 pixels to float32 in [-1, 1]."""
    return torch.from_numpy(pixels).float() / 127.5 - 1
