"""DDNM: Wang et al. 2023, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model"."""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.restoration.operators import Operator
from core.diffusion.samplers.base import (
    Model,
    SamplerOptions,
    SamplerState,
    check_eta,
    predict_x0,
    timesteps_for,
    transitions,
)
from core.diffusion.samplers.ddim import ddim_step


def restore_ddnm(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    y: Tensor,
    operator: Operator,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Restore without noise: each predicted x0 keeps its null space, and its range comes from y.

    x0 + A^+ (y - A x0) is an image whose degradation is y exactly. For JPEG, which is not linear, that is the step of
    Kawar et al. 2022, Alg. 1.

    Args:
        model, diffusion, noise, options, generator: as of `core.diffusion.samplers.base.Sampler`; eta as for ddim.
        y: the degraded images.
        operator: A.

    Yields:
        steps + 1 states.

    Reference: Wang et al. 2023, Alg. 1, with the step of DDIM.
    """
    check_eta(options.eta)
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    for index, t, s in transitions(timesteps):
        x0 = predict_x0(model, diffusion, xt, t, options.clip)
        x0 = x0 + operator.inverse(y - operator.forward(x0))
        xt = ddim_step(diffusion, xt, x0, t, s, eta=options.eta, generator=generator)
        yield SamplerState(index, s, xt, x0)
