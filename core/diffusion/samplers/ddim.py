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
        xt = ddim_step(diffusion, xt, x0, t, s, eta=options.eta, generator=generator)
        yield SamplerState(index, s, xt, x0)


def ddim_step(
    diffusion: GaussianDiffusion,
    xt: Tensor,
    x0: Tensor,
    t: int,
    s: int,
    *,
    eta: float,
    generator: torch.Generator,
) -> Tensor:
    """Step from xt [N, C, H, W] at timestep t to the state at s, given its predicted x0: Song et al. 2021, eq. 12."""
    alpha_t, sigma_t = diffusion.alpha_sigma(t)
    alpha_s, sigma_s = diffusion.alpha_sigma(s)
    variance = min(eta**2 * diffusion.transition(t, s).beta_tilde, sigma_s**2)
    eps = (xt - alpha_t * x0) / sigma_t
    xs = alpha_s * x0 + math.sqrt(sigma_s**2 - variance) * eps
    if variance > 0.0:
        xs = xs + math.sqrt(variance) * randn_like(xs, generator=generator)
    return xs
