"""Samplers as generators: each yields every state from the starting noise to the picture.

The caller owns ``eval()``, the device, progress and what to do with a state. All randomness comes from the
generator passed in; it draws on its own device and the draws move to the pictures', so a CPU generator gives
the same noises on every machine. Letters as in `core.diffusion.gaussian`.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor

from core.diffusion.clipping import Clip
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.walking import Model, SamplerState, draw, foresee, transitions, visited_of
from core.errors import UserError
from core.spacing import Spacing

CHURN_FROM: Final = 0.4
"""The log SNR from which on `sample_churn` adds noise."""


def sample_ddpm(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """Ancestral sampling; with fewer steps than T, of the respaced process. Ho et al. 2020, Algorithm 2.

    Without clipping the step is (xt - beta / sqrt(1 - abar) eps) / sqrt(alpha) + sigma z; the last adds no z.

    Args:
        model: the network.
        diffusion: the process; its `variance` is sigma^2.
        noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `start`.
        steps: network calls; None walks through all timesteps.
        start: the timestep of `noise`; None is T - 1.
        generator: draws z.
        spacing: which timesteps are visited.
        clip: what is done to each foreseen x0.

    Yields:
        steps + 1 states.
    """
    xt = noise
    visited = visited_of(diffusion, steps, start, spacing)
    yield SamplerState(0, visited[0], xt, None)
    for index, t, s in transitions(visited):
        x0 = foresee(model, diffusion, xt, t, clip)
        step = diffusion.transition(t, s)
        xt = step.x0_scale * x0 + step.xt_scale * xt
        if s >= 0:
            sigma2 = step.beta if diffusion.variance == "beta" else step.beta_tilde
            xt = xt + math.sqrt(sigma2) * draw(xt, generator)
        yield SamplerState(index, s, xt, x0)


def sample_ddim(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """Implicit sampling, deterministic at eta = 0. Song et al. 2021, eq. 12 and 16.

    The noise is derived again from the clipped x0, so eta = 1 is `sample_ddpm` with variance ``beta_tilde``.

    Args:
        model: the network.
        diffusion: the process; its `variance` plays no part.
        noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `start`.
        steps: network calls; None walks through all timesteps.
        start: the timestep of `noise`; None is T - 1.
        eta: from 0 (deterministic) over 1 (ancestral) to 2.
        generator: draws the noise added where eta > 0; not touched at eta = 0.
        spacing: which timesteps are visited.
        clip: what is done to each foreseen x0.

    Yields:
        steps + 1 states.

    Raises:
        UserError: eta is not in [0, 2].
    """
    _check_eta(eta)
    xt = noise
    visited = visited_of(diffusion, steps, start, spacing)
    yield SamplerState(0, visited[0], xt, None)
    for index, t, s in transitions(visited):
        x0 = foresee(model, diffusion, xt, t, clip)
        signal, spread = diffusion.signal_and_noise(t)
        signal_s, spread_s = diffusion.signal_and_noise(s)
        sigma2 = min(eta**2 * diffusion.transition(t, s).beta_tilde, spread_s**2)
        eps = (xt - signal * x0) / spread
        xt = signal_s * x0 + math.sqrt(spread_s**2 - sigma2) * eps
        if sigma2 > 0.0:
            xt = xt + math.sqrt(sigma2) * draw(xt, generator)
        yield SamplerState(index, s, xt, x0)


def sample_dpm_solver(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """DPM-Solver++(2M): x0 extrapolated, in log SNR, from the last two foreseen. Lu et al. 2022, Algorithm 2.

    At eta = 1 it is the paper's SDE-DPM-Solver++(2M); in between, the noise of each step is shortened as k-diffusion
    does. The first step and the last are of first order, and so is one that comes from pure noise, where log SNR is
    infinite; with up to two steps it is therefore `sample_ddim`, at eta 0 and 1.

    Args:
        model: the network.
        diffusion: the process; its `variance` plays no part.
        noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `start`.
        steps: network calls; None walks through all timesteps.
        start: the timestep of `noise`; None is T - 1.
        eta: from 0 (deterministic) over 1 (as much noise as ancestral sampling adds) to 2.
        generator: draws the noise added where eta > 0; not touched at eta = 0.
        spacing: which timesteps are visited.
        clip: what is done to each foreseen x0, before it is extrapolated from.

    Yields:
        steps + 1 states.

    Raises:
        UserError: eta is not in [0, 2].
    """
    _check_eta(eta)
    yield from _multistep(model, diffusion, noise, steps, start, generator, spacing, clip, eta=eta)


def sample_churn(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """`sample_unipc` up to a log SNR of 0.4, then `sample_dpm_solver` with noise; a step across has it in proportion.

    Noise on the way lets the network mend what it made badly, and more of it than ancestral sampling adds (an eta
    above 1) mends more. Added early, it also moves what is large, such as the areas of shapes, and in few steps it
    erases what is small; long steps of low order move areas too, so those before it are corrected. Karras et al. 2022
    keep the noise of their Algorithm 2 within such bounds, S_tmin and S_tmax, but renew it before each step.

    Args:
        model: the network.
        diffusion: the process; its `variance` plays no part.
        noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `start`.
        steps: network calls; None walks through all timesteps. The more noise, the more calls it takes.
        start: the timestep of `noise`; None is T - 1.
        eta: from 0 (deterministic) to 2, of the steps from a log SNR of 0.4 on; as in `sample_ddim` the variance of
            the noise grows with its square, so that it is the same in many short steps.
        generator: draws the noise added where eta > 0; not touched at eta = 0.
        spacing: which timesteps are visited.
        clip: what is done to each foreseen x0, before it is extrapolated from.

    Yields:
        steps + 1 states.

    Raises:
        UserError: eta is not in [0, 2].
    """
    _check_eta(eta)
    yield from _multistep(
        model,
        diffusion,
        noise,
        steps,
        start,
        generator,
        spacing,
        clip,
        eta=eta**2,
        noise_from=CHURN_FROM,
        corrects=True,
    )


def _multistep(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    steps: int | None,
    start: int | None,
    generator: torch.Generator,
    spacing: Spacing,
    clip: Clip,
    *,
    eta: float = 0.0,
    noise_from: float = -math.inf,
    corrects: bool = False,
) -> Iterator[SamplerState]:
    """Lu et al. 2022, Algorithm 2, and what is built on it.

    Args:
        model, diffusion, noise, steps, start, generator, spacing, clip: as all samplers take them.
        eta: how much noise is added, by its variance, from a log SNR of `noise_from` on; in a step across it, as large
            a part of that as lies after it.
        noise_from: see `eta`.
        corrects: whether each x0 corrects the step that led to it, where that had no noise; Zhao et al. 2023,
            Algorithm 5.
    """
    xt = noise
    visited = visited_of(diffusion, steps, start, spacing)
    yield SamplerState(0, visited[0], xt, None)
    nothing = torch.zeros_like(xt)
    base, before, slope, h, ratio, added = xt, xt, nothing, 0.0, 0.0, 0.0
    for index, t, s in transitions(visited):
        x0 = foresee(model, diffusion, xt, t, clip)
        signal, spread = diffusion.signal_and_noise(t)
        if corrects and h > 0.0 and added == 0.0:
            # Of the step that led here: h is its length, `slope` the divided difference before it.
            weight_slope, weight_new = _correction(h, ratio)
            xt = base - signal * math.expm1(-h) * (weight_slope * slope + weight_new * (x0 - before))
        signal_s, spread_s = diffusion.signal_and_noise(s)
        # Half the growth of log SNR: infinite from pure noise, and to the finished picture.
        earlier, h = h, diffusion.half_log_snr(s) - diffusion.half_log_snr(t)
        added = eta * _share_after(
            noise_from, 2.0 * diffusion.half_log_snr(t), 2.0 * diffusion.half_log_snr(s)
        )
        ratio = -earlier / h if s >= 0 and h > 0.0 else 0.0
        slope = h / earlier * (x0 - before) if s >= 0 and 0.0 < earlier < math.inf else nothing
        kept = math.exp(-added * h) if added > 0.0 else 1.0
        gained = -signal_s * math.expm1(-(1.0 + added) * h)
        base = spread_s / spread * kept * xt + gained * x0
        xt = base + gained * 0.5 * slope
        if added > 0.0 and s >= 0:
            xt = xt + spread_s * math.sqrt(-math.expm1(-2.0 * added * h)) * draw(xt, generator)
        before = x0
        yield SamplerState(index, s, xt, x0)


def _share_after(bound: float, start: float, end: float) -> float:
    """How much of the way from `start` to `end`, either of which may be infinite, lies after `bound`."""
    if start >= bound or end == math.inf:
        return 1.0
    if end <= bound or start == -math.inf:
        return 0.0
    return (end - bound) / (end - start)


def sample_unipc(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """UniPC-2 with B_2, deterministic: each x0 corrects the step that led to it. Zhao et al. 2023, Algorithms 5 and 6.

    The predictor is of second order and the corrector of third, at one network call a step. The first step and the last
    are predicted at first order. A step from pure noise, where log SNR is infinite, tells its successors nothing.

    Args:
        model: the network.
        diffusion: the process; its `variance` plays no part.
        noise: x_T [N, C, H, W], standard normal; or x_t of the timestep `start`.
        steps: network calls; None walks through all timesteps.
        start: the timestep of `noise`; None is T - 1.
        generator: not touched.
        spacing: which timesteps are visited.
        clip: what is done to each foreseen x0, before it is extrapolated from.

    Yields:
        steps + 1 states; each as predicted, which is what the network is asked about.
    """
    yield from _multistep(model, diffusion, noise, steps, start, generator, spacing, clip, corrects=True)


def _correction(h: float, ratio: float) -> tuple[float, float]:
    """How the corrector of UniPC weighs the difference before a step of length h, and that across it.

    Args:
        h: half the growth of log SNR over the step; inf from pure noise.
        ratio: (minus) how long the step before was, in units of h; 0 if there was none, -inf from pure noise.
    """
    if ratio == 0.0 or math.isinf(h):
        return 0.0, 0.5
    phi1 = math.expm1(-h)
    phi2 = phi1 / -h - 1.0
    phi3 = phi2 / -h - 0.5
    first, second = phi2 / phi1, 2.0 * phi3 / phi1
    if math.isinf(ratio):
        return 0.0, first
    slope = (first - second) / (1.0 - ratio)
    return slope, first - slope


SAMPLERS: Final[dict[str, Callable[..., Iterator[SamplerState]]]] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "dpm++": sample_dpm_solver,
    "unipc": sample_unipc,
    "churn": sample_churn,
}
"""The samplers by the name that the configuration gives them."""

WITH_ETA: Final = ("ddim", "dpm++", "churn")
"""The samplers that take `eta`, how much noise each step adds: of ``ddpm`` the process decides; ``unipc`` adds none."""


def run_sampler(
    name: str,
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Iterator[SamplerState]:
    """The states of the named sampler; `eta` reaches those `WITH_ETA` only.

    Raises:
        UserError: no sampler has this name.
    """
    if name not in SAMPLERS:
        raise UserError(f"unknown sampler {name!r}; expected one of {', '.join(SAMPLERS)}")
    options: dict[str, Any] = {"steps": steps, "start": start, "generator": generator}
    options |= {"spacing": spacing, "clip": clip}
    if name in WITH_ETA:
        options["eta"] = eta
    return SAMPLERS[name](model, diffusion, noise, **options)


def sample(
    name: str,
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    *,
    steps: int | None = None,
    start: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator,
    spacing: Spacing = "uniform",
    clip: Clip = "static",
) -> Tensor:
    """The finished pictures [N, C, H, W] of the named sampler; see `run_sampler`."""
    xt = noise
    for state in run_sampler(
        name,
        model,
        diffusion,
        noise,
        steps=steps,
        start=start,
        eta=eta,
        generator=generator,
        spacing=spacing,
        clip=clip,
    ):
        xt = state.xt
    return xt


def _check_eta(eta: float) -> None:
    if not 0.0 <= eta <= 2.0:
        raise UserError(f"expected eta from 0 to 2, got {eta}")
