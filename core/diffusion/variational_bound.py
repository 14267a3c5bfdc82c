"""The exact variational bound of Ho et al. 2020, eq. 5: L_T + sum over t = 2..T of L_{t-1} + L_0.

Every term is in nats a dimension: averaged, not summed, over an image's C x H x W numbers. Letters as in
`core.diffusion.gaussian`: t = 0 is the paper's t = 1, so L_1 of the paper is the term at timestep 1 here.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import Model
from core.diffusion.samplers.thresholding import threshold_x0
from core.errors import UserError
from core.sampling_names import Clip

_LEVELS = 256


@dataclass(frozen=True, eq=False)
class Bound:
    """The bound on -log p(x0) and its terms, in nats a dimension, averaged over the images.

    Attributes:
        l_T: KL(q(x_T | x0) || N(0, I)), which no training can lower.
        timesteps: [K] the timesteps (1..T-1) whose terms were computed.
        l_t: [K] KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) at each of them.
        weights: [K] number of timesteps that each of them represents; they add up to T - 1.
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
    clip: Clip = "static",
) -> Bound:
    """Compute the bound of a batch, with one draw of xt for each image and timestep.

    Args:
        model: the network, in eval mode.
        diffusion: the process; its `variance` is that of the reverse process.
        x0: [N, C, H, W] images of 256 levels scaled to [-1, 1].
        generator: draws the noise and the subset.
        terms: number of the T - 1 middle terms to compute, one drawn from each of as many strata; None
            computes all. The network is evaluated once for each, and once for L_0.
        clip: thresholding of each predicted x0, as in the samplers.

    Raises:
        UserError: not 1 <= terms <= T - 1.

    Reference: Ho et al. 2020, eq. 5 and section 3.3.
    """
    strata = _strata(diffusion.timesteps, terms)
    t = draw_timesteps(strata, 1, generator)
    each = bound_terms(model, diffusion, x0, t.expand(len(x0), -1), generator=generator, clip=clip)
    return Bound(
        l_T=float(each.l_T.mean()),
        timesteps=t[0].numpy(),
        l_t=each.l_t.mean(dim=0).numpy(),
        weights=np.array([len(stratum) for stratum in strata], dtype=np.float64),
        l_0=float(each.l_0.mean()),
    )


@dataclass(frozen=True, eq=False)
class BoundTerms:
    """The terms of each single image, in nats a dimension; float64 on the CPU.

    Attributes:
        l_T: [N], the prior's.
        l_t: [N, K], one for each timestep asked for.
        l_0: [N], the decoder's.
        losses: [N, 1 + K], L_simple (`GaussianDiffusion.loss`) from the same network evaluations: at timestep 0,
            then at each timestep asked for.
    """

    l_T: Tensor
    l_t: Tensor
    l_0: Tensor
    losses: Tensor


def bound_terms(
    model: Model,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    timesteps: Tensor,
    *,
    generator: torch.Generator,
    clip: Clip = "static",
) -> BoundTerms:
    """Compute terms of the bound at given timesteps, which may differ from image to image.

    Args:
        model: the network, in eval mode.
        diffusion: the process.
        x0: [N, C, H, W] images of 256 levels scaled to [-1, 1].
        timesteps: int64 [N, K] from 1 to T - 1; K may be 0. The network is evaluated K + 1 times.
        generator: draws the noise.
        clip: thresholding of each predicted x0.
    """
    errors, losses = [], []
    lines = _kl_lines(diffusion, timesteps.cpu())
    for t in timesteps.to(x0.device).unbind(dim=1):
        predicted, loss = _predict(model, diffusion, x0, t, generator, clip)
        errors.append(_mean_square(x0 - predicted))
        losses.append(loss)
    first = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
    predicted, loss = _predict(model, diffusion, x0, first, generator, clip)
    # Copied to the CPU only now, because each copy waits for the device.
    l_t = torch.empty(len(x0), 0, dtype=torch.float64)
    if errors:
        l_t = lines[..., 0] * torch.stack(errors, dim=1).cpu().double() + lines[..., 1]
    return BoundTerms(
        l_T=prior_kl(diffusion, x0),
        l_t=l_t,
        l_0=decoder_nll(diffusion, x0, predicted),
        losses=torch.stack([loss, *losses], dim=1).cpu().double(),
    )


def draw_timesteps(strata: list[NDArray[np.int64]], count: int, generator: torch.Generator) -> Tensor:
    """Draw one timestep of each stratum for each of `count` images, independently.

    Where the strata partition 1..T-1, the sum over k of len(stratum_k) l_t[:, k] is an unbiased estimate of the sum
    of all middle terms, for each image too.

    Args:
        strata: K arrays of consecutive timesteps.
        count: images.
        generator: draws the timesteps.

    Returns:
        int64 [count, K] on the CPU.
    """
    draws = torch.rand(count, len(strata), generator=generator, device=generator.device, dtype=torch.float32)
    lengths = np.array([len(stratum) for stratum in strata], dtype=np.int64)
    # In single precision a draw just below 1 times a length may round up to the length.
    index = np.minimum((draws.cpu().double().numpy() * lengths).astype(np.int64), lengths - 1)
    starts = np.array([stratum[0] for stratum in strata], dtype=np.int64)
    return torch.from_numpy(starts + index)


def prior_kl(diffusion: GaussianDiffusion, x0: Tensor) -> Tensor:
    """Compute L_T of each image, float64 [N]: KL(q(x_T | x0) || N(0, I)) in nats a dimension."""
    schedule = diffusion.schedule
    log_noise = math.log(schedule.one_minus_alphas_cumprod[-1])
    squares = _mean_square(x0).cpu().double()
    divergence = 0.5 * (schedule.terminal_alpha_bar * (squares - 1.0) - log_noise)
    # Where abar_T is lost beside 1, rounding could leave the divergence slightly below zero.
    return divergence.clamp_min(0.0)


def kl_term(diffusion: GaussianDiffusion, x0: Tensor, predicted: Tensor, t: int | Tensor) -> Tensor:
    """Compute L_{t-1} of each image, float64 [N], in nats a dimension.

    Both Gaussians share xt and have a mean that is linear in their x0, so the divergence needs only the error in x0.
    It is (ln(sigma^2 / beta_tilde) + beta_tilde / sigma^2 - 1 + a^2 (x0 - predicted)^2 / sigma^2) / 2, where a is the
    posterior's coefficient of x0.

    Args:
        diffusion: the process.
        x0: [N, C, H, W], the images.
        predicted: predicted x0, like x0.
        t: from 1 to T - 1; one for all images, or int64 [N].
    """
    steps = torch.full((len(x0),), t) if isinstance(t, int) else t.cpu()
    lines = _kl_lines(diffusion, steps)
    return lines[:, 0] * _mean_square(x0 - predicted).cpu().double() + lines[:, 1]


def _kl_lines(diffusion: GaussianDiffusion, t: Tensor) -> Tensor:
    """Compute `_kl_line` at each of the timesteps, which are on the CPU: float64 [..., 2]."""
    known = {step: _kl_line(diffusion, step) for step in set(t.flatten().tolist())}
    lines = torch.tensor([known[step] for step in t.flatten().tolist()], dtype=torch.float64)
    return lines.view(*t.shape, 2)


def _kl_line(diffusion: GaussianDiffusion, t: int) -> tuple[float, float]:
    """L_{t-1} as a linear function of the mean squared error of x0: its slope and its intercept."""
    step = diffusion.transition(t, t - 1)
    sigma2 = step.beta if diffusion.variance == "beta" else step.beta_tilde
    ratio = step.beta_tilde / sigma2
    return 0.5 * step.x0_scale**2 / sigma2, 0.5 * (ratio - 1.0 - math.log(ratio))


def decoder_nll(diffusion: GaussianDiffusion, x0: Tensor, predicted: Tensor) -> Tensor:
    """Compute L_0 of each image, float64 [N], in nats a dimension: -log of the probability of its grey levels.

    The mean is the predicted x0 itself. The posterior's variance is 0 at the first step. With ``beta_tilde`` the
    second step's is used instead, as in the code of Ho et al.

    Args:
        diffusion: the process.
        x0: [N, C, H, W] images of 256 levels scaled to [-1, 1].
        predicted: x0 predicted at timestep 0, like x0.
    """
    schedule = diffusion.schedule
    sigma2 = float(schedule.betas[0])
    if diffusion.variance == "beta_tilde" and schedule.timesteps > 1:
        sigma2 = diffusion.transition(1, 0).beta_tilde
    return -discretized_log_likelihood(x0, predicted, math.sqrt(sigma2)).flatten(start_dim=1).mean(dim=1)


def discretized_log_likelihood(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """Compute the log-probability of each grey level under a Gaussian cut into 256 bins; float64, like x.

    The bins are 2/255 wide and centred on the levels. The first and the last reach to infinity, so the probabilities
    of the 256 levels add up to 1. The computation is in logarithms, and so exact even far out in the tails.

    Args:
        x: images of 256 levels scaled to [-1, 1].
        mean: like x.
        sigma: standard deviation.

    Reference: Ho et al. 2020, eq. 13.
    """
    # float64 on the CPU, because not every accelerator has it, and this is computed once a bound.
    x, mean = x.detach().cpu().double(), mean.detach().cpu().double()
    level = ((x + 1.0) * ((_LEVELS - 1) / 2)).round()
    centre = level * (2.0 / (_LEVELS - 1)) - 1.0
    half = 1.0 / (_LEVELS - 1)
    lower = torch.where(level <= 0, -math.inf, (centre - half - mean) / sigma)
    upper = torch.where(level >= _LEVELS - 1, math.inf, (centre + half - mean) / sigma)
    # Mirror into the left tail, where the logarithm of the normal distribution function keeps its digits.
    mirror = lower > 0
    lower, upper = torch.where(mirror, -upper, lower), torch.where(mirror, -lower, upper)
    log_lower, log_upper = torch.special.log_ndtr(lower), torch.special.log_ndtr(upper)
    log_likelihood: Tensor = log_upper + torch.log(-torch.expm1(log_lower - log_upper))
    return log_likelihood


def _strata(timesteps: int, terms: int | None) -> list[NDArray[np.int64]]:
    """Split 1..T-1 into as many equal strata as there are terms; None makes each timestep its own stratum."""
    middle = np.arange(1, timesteps)
    if terms is None:
        terms = len(middle)
    elif not 1 <= terms <= len(middle):
        raise UserError(f"expected from 1 to {len(middle)} terms of the bound (timesteps - 1), got {terms}")
    return np.array_split(middle, terms) if terms else []


def _predict(
    model: Model,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    t: Tensor,
    generator: torch.Generator,
    clip: Clip,
) -> tuple[Tensor, Tensor]:
    """Predict x0, thresholded, from images noised to timesteps t [N]; and compute L_simple of each, [N]."""
    eps = torch.randn(x0.shape, generator=generator, device=generator.device, dtype=x0.dtype).to(x0.device)
    xt = diffusion.q_sample(x0, t, eps)
    with torch.no_grad():
        output = model(xt, t)
        predicted = diffusion.predict_x0(output, xt, t)
        loss = diffusion.loss(output, x0, eps, t)
    return threshold_x0(predicted, clip), loss


def _mean_square(x: Tensor) -> Tensor:
    """Compute the mean square of each image, [N], on the device of x."""
    return x.detach().square().flatten(start_dim=1).mean(dim=1)
