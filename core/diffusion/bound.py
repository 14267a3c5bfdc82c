"""The exact variational bound of Ho et al. 2020, eq. 5: L_T + sum over t = 2..T of L_{t-1} + L_0.

Every term is in nats a dimension: averaged, not summed, over a picture's C x H x W numbers. Letters as in
`core.diffusion.gaussian`: t = 0 is the paper's t = 1, so L_1 of the paper is the term at timestep 1 here.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers import Model
from core.errors import UserError

_LEVELS = 256


@dataclass(frozen=True, eq=False)
class Bound:
    """The bound on -log p(x0) and its terms, in nats a dimension, averaged over the pictures.

    Attributes:
        l_T: KL(q(x_T | x0) || N(0, I)), which no training can lower.
        timesteps: [K] the timesteps (1..T-1) whose terms were computed.
        l_t: [K] KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) at each of them.
        weights: [K] how many timesteps each of them stands for; they add up to T - 1.
        l_0: -log p(x0 | x_1) of the discretised decoder over 256 grey levels.
    """

    l_T: float
    timesteps: NDArray[np.int64]
    l_t: NDArray[np.float64]
    weights: NDArray[np.float64]
    l_0: float

    @property
    def total(self) -> float:
        """The whole bound; unbiased where `l_t` is a stratified subset."""
        return self.l_T + float(self.weights @ self.l_t) + self.l_0

    @property
    def prior_bits(self) -> float:
        """`l_T` in bits a dimension."""
        return self.l_T / math.log(2.0)

    @property
    def term_bits(self) -> NDArray[np.float64]:
        """`l_t` in bits a dimension, [K]."""
        return self.l_t / math.log(2.0)

    @property
    def decoder_bits(self) -> float:
        """`l_0` in bits a dimension."""
        return self.l_0 / math.log(2.0)

    @property
    def total_bits(self) -> float:
        """`total` in bits a dimension."""
        return self.total / math.log(2.0)


def variational_bound(
    model: Model,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    *,
    generator: torch.Generator,
    terms: int | None = None,
    clip: bool = True,
) -> Bound:
    """The bound of a batch, with one draw of xt for each picture and timestep.

    Args:
        model: the network, in eval mode.
        diffusion: the process; its `variance` is that of the reverse process.
        x0: [N, C, H, W] pictures of 256 levels scaled to [-1, 1].
        generator: draws the noise and the subset.
        terms: how many of the T - 1 middle terms to compute, one drawn from each of as many strata; None
            computes all. One network call for each, and one for L_0.
        clip: clip each predicted x0 to [-1, 1], as the samplers do by default.

    Raises:
        UserError: not 1 <= terms <= T - 1.

    Reference: Ho et al. 2020, eq. 5 and section 3.3.
    """
    visited, weights = _strata(diffusion.timesteps, terms, generator)
    l_t = [
        kl_term(diffusion, x0, _predict(model, diffusion, x0, t, generator, clip), t).mean() for t in visited
    ]
    decoded = decoder_nll(diffusion, x0, _predict(model, diffusion, x0, 0, generator, clip))
    return Bound(
        l_T=float(prior_kl(diffusion, x0).mean()),
        timesteps=np.array(visited, dtype=np.int64),
        l_t=np.array([float(term) for term in l_t], dtype=np.float64),
        weights=weights,
        l_0=float(decoded.mean()),
    )


def prior_kl(diffusion: GaussianDiffusion, x0: Tensor) -> Tensor:
    """L_T of each picture, float64 [N]: KL(q(x_T | x0) || N(0, I)) in nats a dimension."""
    schedule = diffusion.schedule
    log_noise = math.log(schedule.one_minus_alphas_cumprod[-1])
    return 0.5 * (schedule.terminal_alpha_bar * (_mean_square(x0) - 1.0) - log_noise)


def kl_term(diffusion: GaussianDiffusion, x0: Tensor, predicted: Tensor, t: int) -> Tensor:
    """L_{t-1} of each picture, float64 [N], in nats a dimension.

    Both Gaussians share xt and have a mean that is linear in their x0, so the divergence needs only the error
    in x0: (ln(sigma^2 / beta_tilde) + beta_tilde / sigma^2 - 1 + a^2 (x0 - predicted)^2 / sigma^2) / 2, with
    the posterior's coefficient a of x0.

    Args:
        diffusion: the process.
        x0: [N, C, H, W], the pictures.
        predicted: like x0, what the network foresaw.
        t: from 1 to T - 1.
    """
    step = diffusion.transition(t, t - 1)
    sigma2 = step.beta if diffusion.variance == "beta" else step.beta_tilde
    ratio = step.beta_tilde / sigma2
    error = step.x0_scale**2 / sigma2 * _mean_square(x0 - predicted)
    return 0.5 * (error + (ratio - 1.0 - math.log(ratio)))


def decoder_nll(diffusion: GaussianDiffusion, x0: Tensor, predicted: Tensor) -> Tensor:
    """L_0 of each picture, float64 [N], in nats a dimension: -log of the probability of its grey levels.

    The mean is the predicted x0 itself. The posterior's variance is 0 at the first step; with ``beta_tilde``
    the second step's stands in, as in the code of Ho et al.
    """
    schedule = diffusion.schedule
    sigma2 = float(schedule.betas[0])
    if diffusion.variance == "beta_tilde" and schedule.timesteps > 1:
        sigma2 = diffusion.transition(1, 0).beta_tilde
    return -discretized_log_likelihood(x0, predicted, math.sqrt(sigma2)).flatten(start_dim=1).mean(dim=1)


def discretized_log_likelihood(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """Log-probability of each grey level under a Gaussian cut into 256 bins; float64, like x.

    The bins are 2/255 wide and centred on the levels; the first and the last reach to infinity, so the
    probabilities of the 256 levels add up to 1. Computed in logarithms, exact even far out in the tails.

    Args:
        x: pictures of 256 levels scaled to [-1, 1].
        mean: like x.
        sigma: standard deviation.

    Reference: Ho et al. 2020, eq. 13.
    """
    # float64 on the CPU: not every accelerator has it, and this is computed once a bound.
    x, mean = x.detach().cpu().double(), mean.detach().cpu().double()
    level = ((x + 1.0) * ((_LEVELS - 1) / 2)).round()
    centre = level * (2.0 / (_LEVELS - 1)) - 1.0
    half = 1.0 / (_LEVELS - 1)
    lower = torch.where(level <= 0, -math.inf, (centre - half - mean) / sigma)
    upper = torch.where(level >= _LEVELS - 1, math.inf, (centre + half - mean) / sigma)
    # Mirrored into the left tail, where the logarithm of the normal distribution function keeps its digits.
    mirror = lower > 0
    lower, upper = torch.where(mirror, -upper, lower), torch.where(mirror, -lower, upper)
    log_lower, log_upper = torch.special.log_ndtr(lower), torch.special.log_ndtr(upper)
    log_likelihood: Tensor = log_upper + torch.log(-torch.expm1(log_lower - log_upper))
    return log_likelihood


def _strata(
    timesteps: int, terms: int | None, generator: torch.Generator
) -> tuple[list[int], NDArray[np.float64]]:
    middle = np.arange(1, timesteps)
    if terms is None:
        return middle.tolist(), np.ones(len(middle))
    if not 1 <= terms <= len(middle):
        raise UserError(f"expected from 1 to {len(middle)} terms of the bound (timesteps - 1), got {terms}")
    parts = np.array_split(middle, terms)
    draws = torch.rand(terms, generator=generator, device=generator.device).tolist()
    visited = [
        int(part[min(int(draw * len(part)), len(part) - 1)]) for part, draw in zip(parts, draws, strict=True)
    ]
    return visited, np.array([len(part) for part in parts], dtype=np.float64)


def _predict(
    model: Model, diffusion: GaussianDiffusion, x0: Tensor, t: int, generator: torch.Generator, clip: bool
) -> Tensor:
    eps = torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype).to(x0.device)
    timestep = torch.full((x0.shape[0],), t, dtype=torch.int64, device=x0.device)
    xt = diffusion.q_sample(x0, timestep, eps)
    with torch.no_grad():
        predicted = diffusion.predict_x0(model(xt, timestep), xt, timestep)
    return predicted.clamp(-1.0, 1.0) if clip else predicted


def _mean_square(x: Tensor) -> Tensor:
    return x.detach().square().flatten(start_dim=1).mean(dim=1).cpu().double()
