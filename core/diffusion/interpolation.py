"""Interpolation between the noises of images: DDIM run backwards, and great circles between noises."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import (
    Model,
    SamplerOptions,
    SamplerState,
    predict_x0,
    timesteps_for,
    transitions,
)


def encode_ddim(
    model: Model, diffusion: GaussianDiffusion, x0: Tensor, options: SamplerOptions = SamplerOptions()
) -> Iterator[SamplerState]:
    """Follow DDIM backwards from images to the noises that it would draw them from.

    Each step from timestep s to a later t takes the x0 and eps predicted at s for those at t. So the noises give the
    images back the more exactly the more steps there are.

    Args:
        model: the network.
        diffusion: the process.
        x0: [N, C, H, W] in [-1, 1].
        options: its timesteps are visited in ascending order; x0 is not thresholded.

    Yields:
        steps + 1 states; the `xt` of the last one are the noises.

    Reference: Song et al. 2021, "Denoising Diffusion Implicit Models", section 4.3.
    """
    steps = list(transitions(timesteps_for(diffusion, options)))
    xt = x0
    yield SamplerState(0, -1, xt, None)
    for index, (_, t, s) in enumerate(reversed(steps), start=1):
        known = max(s, 0)
        predicted = predict_x0(model, diffusion, xt, known, "none")
        alpha_s, sigma_s = diffusion.alpha_sigma(known)
        eps = (xt - alpha_s * predicted) / sigma_s
        if s < 0:
            # Clean images are no state of timestep 0, whose noise is too small to matter.
            predicted, eps = x0, (alpha_s * x0 - alpha_s * predicted) / sigma_s
        alpha_t, sigma_t = diffusion.alpha_sigma(t)
        xt = alpha_t * predicted + sigma_t * eps
        yield SamplerState(index, t, xt, predicted)


def slerp(first: Tensor, last: Tensor, shares: Sequence[float]) -> Tensor:
    """Interpolate on the great circle between two noises, so that all have the length of noise.

    Args:
        first: [C, H, W].
        last: like first.
        shares: [K], 0 for the first and 1 for the last.

    Returns:
        [K, C, H, W].

    Reference: Shoemake 1985, "Animating Rotation with Quaternion Curves".
    """
    cosine = torch.dot(first.flatten(), last.flatten()) / (first.norm() * last.norm())
    angle = math.acos(min(max(float(cosine), -1.0), 1.0))
    if math.sin(angle) < 1e-6:  # the same or opposite noises, between which there is no one circle
        return torch.stack([(1.0 - share) * first + share * last for share in shares])
    parts = [
        (math.sin((1.0 - share) * angle) * first + math.sin(share * angle) * last) / math.sin(angle)
        for share in shares
    ]
    return torch.stack(parts)
