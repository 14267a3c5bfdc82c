"""DDIM: Song et al. 2021, "Denoising Diffusion Implicit Models".

Their alpha_t is abar_t here, and their sigma_t^2 is `variance`.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import (
    Model,
    SamplerOptions,
    SamplerState,
    check_eta,
    predict_x0,
    randn_like,
    timesteps_for,
    transitions,
)


def sample_ddim(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Sample from the implicit model, deterministically at eta = 0.

    The noise eps is recomputed from the thresholded x0. At eta = 1 this is therefore `sample_ddpm` with the variance
    ``beta_tilde``. Above 1 the added variance is limited to all of sigma_s^2.

    Arguments, states and errors are those of `core.diffusion.samplers.base.Sampler`.

    Reference: Song et al. 2021, eq. 12 and 16.
    """
    check_eta(options.eta)
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    for index, t, s in transitions(timesteps):
        x0 = predict_x0(model, diffusion, xt, t, options.clip)
        alpha_t, sigma_t = diffusion.alpha_sigma(t)
        alpha_s, sigma_s = diffusion.alpha_sigma(s)
        variance = min(options.eta**2 * diffusion.transition(t, s).beta_tilde, sigma_s**2)
        eps = (xt - alpha_t * x0) / sigma_t
        xt = alpha_s * x0 + math.sqrt(sigma_s**2 - variance) * eps
        if variance > 0.0:
            xt = xt + math.sqrt(variance) * randn_like(xt, generator=generator)
        yield SamplerState(index, s, xt, x0)
