"""Churn: UniPC without noise while the image is mostly noise, then DPM-Solver++(2M) with noise.

Noise added on the way lets the network repair what it made badly. More noise than ancestral sampling adds (an eta
above 1) repairs more. Noise added early has two costs. It moves what is large, such as the areas of shapes, and in few
steps it erases what is small. Long steps of low order move areas too, so the steps without noise are corrected.

Karras et al. 2022 likewise add noise only between two bounds, S_tmin and S_tmax of their Algorithm 2, but they renew
the noise before each step. Letters as in `core.diffusion.samplers.unipc` and `core.diffusion.samplers.dpm_solver`.
"""

import math
from collections.abc import Iterator
from typing import Final

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
from core.diffusion.samplers.unipc import corrector_weights

NOISE_START_LOG_SNR: Final = 0.4
"""Log SNR from which on `sample_churn` adds noise."""


def sample_churn(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Sample with UniPC up to a log SNR of 0.4, then with DPM-Solver++(2M) and noise.

    tau, the eta of DPM-Solver++, is eta^2 in steps after that log SNR. So the variance of the noise grows with eta^2,
    as in `sample_ddim`, and in many short steps it is the same. In a step across that log SNR, tau is the share of
    eta^2 that lies after it. The more noise, the more network evaluations are needed.

    Arguments and errors are those of `core.diffusion.samplers.base.Sampler`.

    Yields:
        steps + 1 states, each before its correction.

    Reference: Zhao et al. 2023, Alg. 5 and 6; Lu et al. 2022, Alg. 2.
    """
    check_eta(options.eta)
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    D0, D1, first_order = xt, torch.zeros_like(xt), xt
    h = r = tau = 0.0
    for index, t, s in transitions(timesteps):
        x0 = predict_x0(model, diffusion, xt, t, options.clip)
        alpha_t, sigma_t = diffusion.alpha_sigma(t)
        if h > 0.0 and tau == 0.0:
            # UniC: correct the step that led to t, unless noise was added in it.
            rho_1, rho_2 = corrector_weights(h, r)
            B_h = math.expm1(-h)
            xt = first_order - alpha_t * B_h * (rho_1 * D1 + rho_2 * (x0 - D0))

        # UniP; with noise, where tau > 0, it is SDE-DPM-Solver++(2M).
        alpha_s, sigma_s = diffusion.alpha_sigma(s)
        lambda_t, lambda_s = diffusion.half_log_snr(t), diffusion.half_log_snr(s)
        h_prev, h = h, lambda_s - lambda_t
        r = -h_prev / h if h > 0.0 else 0.0
        D0_prev, D0 = D0, x0
        second_order = s >= 0 and 0.0 < h_prev < math.inf
        D1 = h / h_prev * (D0 - D0_prev) if second_order else torch.zeros_like(xt)  # (D0_prev - D0) / r
        tau = options.eta**2 * _noisy_share(2.0 * lambda_t, 2.0 * lambda_s)
        decay = math.exp(-tau * h) if tau > 0.0 else 1.0  # because 0 times an infinite h is NaN
        phi_1 = math.expm1(-(1.0 + tau) * h)
        first_order = sigma_s / sigma_t * decay * xt - alpha_s * phi_1 * D0
        xt = first_order - 0.5 * alpha_s * phi_1 * D1
        if tau > 0.0 and s >= 0:
            xt = xt + sigma_s * math.sqrt(-math.expm1(-2.0 * tau * h)) * randn_like(xt, generator=generator)
        yield SamplerState(index, s, xt, x0)


def _noisy_share(log_snr_t: float, log_snr_s: float) -> float:
    """Compute the share, 0 to 1, of a step in log SNR that lies after `NOISE_START_LOG_SNR`; ends may be infinite."""
    if log_snr_t >= NOISE_START_LOG_SNR or log_snr_s == math.inf:
        return 1.0
    if log_snr_s <= NOISE_START_LOG_SNR or log_snr_t == -math.inf:
        return 0.0
    return (log_snr_s - NOISE_START_LOG_SNR) / (log_snr_s - log_snr_t)
