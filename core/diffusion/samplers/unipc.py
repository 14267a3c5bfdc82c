"""UniPC-2 with B_2: Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework".

Their letters, for a model that predicts x0: h is the growth of lambda, half the log SNR, over a step, and h_prev that
over the step before. r = -h_prev / h is where the step before began, in units of h. D0 is the predicted x0 and D1 its
divided difference, scaled to one step. B_h = B_2(-h) = exp(-h) - 1.
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
    predict_x0,
    timesteps_for,
    transitions,
)


def sample_unipc(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Predict each state deterministically, and correct it once x0 is predicted from it.

    The predictor is of second order and the corrector of third, at one network evaluation a step. The first step and
    the last are predicted at first order. A step from pure noise, where the log SNR is -infinity, gives no D1 to the
    steps after it.

    Arguments and errors are those of `core.diffusion.samplers.base.Sampler`; eta and generator are not used.

    Yields:
        steps + 1 states, each before its correction, because the network is evaluated there.

    Reference: Zhao et al. 2023, Alg. 5 (corrector) and 6 (predictor).
    """
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    D0, D1, first_order = xt, torch.zeros_like(xt), xt
    h = r = 0.0
    for index, t, s in transitions(timesteps):
        x0 = predict_x0(model, diffusion, xt, t, options.clip)
        alpha_t, sigma_t = diffusion.alpha_sigma(t)
        if h > 0.0:
            # UniC: correct the step that led to t. h, r, D0, D1 and first_order are still those of that step.
            rho_1, rho_2 = corrector_weights(h, r)
            B_h = math.expm1(-h)
            xt = first_order - alpha_t * B_h * (rho_1 * D1 + rho_2 * (x0 - D0))

        # UniP: predict the state at s, with rho_1 = 1/2.
        alpha_s, sigma_s = diffusion.alpha_sigma(s)
        h_prev, h = h, diffusion.half_log_snr(s) - diffusion.half_log_snr(t)
        r = -h_prev / h if h > 0.0 else 0.0
        D0_prev, D0 = D0, x0
        second_order = s >= 0 and 0.0 < h_prev < math.inf
        D1 = h / h_prev * (D0 - D0_prev) if second_order else torch.zeros_like(xt)  # (D0_prev - D0) / r
        phi_1 = B_h = math.expm1(-h)
        first_order = sigma_s / sigma_t * xt - alpha_s * phi_1 * D0
        xt = first_order - 0.5 * alpha_s * B_h * D1
        yield SamplerState(index, s, xt, x0)


def corrector_weights(h: float, r: float) -> tuple[float, float]:
    """Solve for rho_1 and rho_2, the corrector's weights of D1 and of the difference of x0 across the step.

    They satisfy rho_1 + rho_2 = b_1 and r rho_1 + rho_2 = b_2. Below, phi_k stands for z phi_k(z) at z = -h, where
    phi_1(z) = (exp(z) - 1) / z and phi_{k+1}(z) = (phi_k(z) - 1/k!) / z.

    Args:
        h: growth of lambda over the step; infinity from pure noise.
        r: -h_prev / h; 0 without a step before, -infinity where that step came from pure noise.

    Reference: Zhao et al. 2023, Alg. 5.
    """
    if r == 0.0 or math.isinf(h):
        return 0.0, 0.5  # UniC-1
    phi_1 = B_h = math.expm1(-h)
    phi_2 = phi_1 / -h - 1.0
    phi_3 = phi_2 / -h - 0.5
    b_1, b_2 = phi_2 / B_h, 2.0 * phi_3 / B_h
    if math.isinf(r):
        return 0.0, b_1
    rho_1 = (b_1 - b_2) / (1.0 - r)
    return rho_1, b_1 - rho_1
