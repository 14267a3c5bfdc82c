"""DPM-Solver++(2M), as an ODE and as an SDE: Lu et al. 2022, "DPM-Solver++".

Their letters: lambda_t is half the log SNR, h the growth of lambda over a step and h_prev that over the step before,
r = h_prev / h. D0 is the predicted x0 and D1 its divided difference, scaled to one step.
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


def sample_dpm_solver(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Extrapolate x0 linearly in lambda from the last two predictions.

    eta = 0 solves the ODE and eta = 1 is SDE-DPM-Solver++(2M). In between, the noise of each step is scaled as in
    k-diffusion, so that its variance grows with eta.

    The first step and the last are of first order. So is the step after one from pure noise, where lambda_t is
    -infinity. With up to two steps this is therefore `sample_ddim`, at eta 0 and 1.

    Arguments, states and errors are those of `core.diffusion.samplers.base.Sampler`.

    Reference: Lu et al. 2022, Alg. 2.
    """
    check_eta(options.eta)
    eta = options.eta
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    D0, h = xt, 0.0
    for index, t, s in transitions(timesteps):
        D0_prev, D0 = D0, predict_x0(model, diffusion, xt, t, options.clip)
        _, sigma_t = diffusion.alpha_sigma(t)
        alpha_s, sigma_s = diffusion.alpha_sigma(s)
        lambda_t, lambda_s = diffusion.half_log_snr(t), diffusion.half_log_snr(s)
        h_prev, h = h, lambda_s - lambda_t  # infinite from pure noise, and to the clean image
        second_order = s >= 0 and 0.0 < h_prev < math.inf
        D1 = h / h_prev * (D0 - D0_prev) if second_order else torch.zeros_like(xt)  # (D0 - D0_prev) / r
        decay = math.exp(-eta * h) if eta > 0.0 else 1.0  # because 0 times an infinite h is NaN
        phi_1 = math.expm1(-(1.0 + eta) * h)
        xt = sigma_s / sigma_t * decay * xt - alpha_s * phi_1 * D0 - 0.5 * alpha_s * phi_1 * D1
        if eta > 0.0 and s >= 0:
            xt = xt + sigma_s * math.sqrt(-math.expm1(-2.0 * eta * h)) * randn_like(xt, generator=generator)
        yield SamplerState(index, s, xt, D0)
