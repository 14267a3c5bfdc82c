"""RePaint: Lugmayr et al. 2022, "RePaint: Inpainting using Denoising Diffusion Probabilistic Models"."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.restoration.operators import Mask
from core.diffusion.samplers.base import (
    Model,
    SamplerOptions,
    SamplerState,
    predict_x0,
    randn_like,
    timesteps_for,
    transitions,
)

RESAMPLINGS = 5
"""Times that each step is made, U in the paper."""


def restore_repaint(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    y: Tensor,
    operator: Mask,
    options: SamplerOptions = SamplerOptions(),
    *,
    resamplings: int = RESAMPLINGS,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Fill in missing pixels: the known ones are noised to each level, and each step is repeated.

    A step of ancestral sampling knows nothing of the known pixels that it is joined with. Noised again and repeated, it
    does.

    Args:
        model, diffusion, noise, options, generator: as of `core.diffusion.samplers.base.Sampler`. Each of the visited
            timesteps takes `resamplings` network calls, the last one only one.
        y: [N, C, H, W] in [-1, 1], the image; its missing pixels are not read.
        operator: the mask.
        resamplings: times that each step is made, at least 1.

    Yields:
        A state for the starting noise and after each network call.

    Reference: Lugmayr et al. 2022, Alg. 1.
    """
    known, xt = operator.known, noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    calls = 0
    for _, t, s in transitions(timesteps):
        step = diffusion.transition(t, s)
        repeats = resamplings if s >= 0 else 1
        for u in range(repeats):
            x0 = predict_x0(model, diffusion, xt, t, options.clip)
            unknown = step.x0_scale * x0 + step.xt_scale * xt
            alpha_s, sigma_s = diffusion.alpha_sigma(s)
            observed = alpha_s * y
            if s >= 0:
                unknown = unknown + math.sqrt(step.beta_tilde) * randn_like(xt, generator=generator)
                observed = observed + sigma_s * randn_like(xt, generator=generator)
            xs = torch.where(known > 0, observed, unknown)
            calls += 1
            x0 = torch.where(known > 0, y, x0)
            if u + 1 < repeats:
                # q(x_t | x_s), so that the next repetition starts from a state that knows both parts.
                xt = math.sqrt(1.0 - step.beta) * xs
                xt = xt + math.sqrt(step.beta) * randn_like(xt, generator=generator)
                yield SamplerState(calls, t, xt, x0)
            else:
                xt = xs
                yield SamplerState(calls, s, xt, x0)
