"""Ancestral sampling: Ho et al. 2020, "Denoising Diffusion Probabilistic Models"."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import (
    Model,
    SamplerOptions,
    SamplerState,
    predict_x0,
    randn_like,
    timesteps_for,
    transitions,
)


def sample_ddpm(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Sample each state from the reverse process, whose variance sigma^2 is `diffusion.variance`.

    Without clipping a step is (xt - beta / sqrt(1 - abar) eps) / sqrt(alpha) + sigma z, and the last step adds no z.
    With fewer steps than T, the process is respaced to the timesteps at which the network is evaluated.

    Arguments, states and errors are those of `core.diffusion.samplers.base.Sampler`; eta is not used.

    Reference: Ho et al. 2020, Alg. 2.
    """
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    for index, t, s in transitions(timesteps):
        x0 = predict_x0(model, diffusion, xt, t, options.clip)
        posterior = diffusion.transition(t, s)
        xt = posterior.x0_scale * x0 + posterior.xt_scale * xt
        if s >= 0:
            sigma2 = posterior.beta if diffusion.variance == "beta" else posterior.beta_tilde
            xt = xt + math.sqrt(sigma2) * randn_like(xt, generator=generator)
        yield SamplerState(index, s, xt, x0)
