"""PiGDM: Song et al. 2023, "Pseudoinverse-Guided Diffusion Models for Inverse Problems"."""

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
    timesteps_for,
    transitions,
)
from core.diffusion.samplers.ddim import ddim_step
from core.diffusion.samplers.thresholding import threshold_x0


def restore_pigdm(
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    y: Tensor,
    operator: Operator,
    options: SamplerOptions = SamplerOptions(),
    *,
    sigma_y: float = 0.0,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Restore with the score of y: x0 given xt is taken for N(predicted x0, r_t^2 I), so that y is Gaussian too.

    The score of y given xt is J^T A^T (r_t^2 A A^T + sigma_y^2 I)^-1 (y - A x0), with J the derivative of the predicted
    x0 by xt and r_t^2 = 1 - abar_t. Tweedie's formula turns it into a shift of x0 by sigma_t^2 / alpha_t of it.

    Args:
        model, diffusion, noise, options, generator: as of `core.diffusion.samplers.base.Sampler`; eta as for ddim. Each
            step takes a network call and its gradient.
        y: the degraded images.
        operator: A.
        sigma_y: standard deviation of the noise of y.

    Yields:
        steps + 1 states.

    Reference: Song et al. 2023, eq. 7 and 8; for operators that are not linear, section 3.2.
    """
    check_eta(options.eta)
    xt = noise
    timesteps = timesteps_for(diffusion, options)
    yield SamplerState(0, timesteps[0], xt, None)
    for index, t, s in transitions(timesteps):
        x0 = guided_x0(model, diffusion, xt, t, y, operator, sigma_y)
        x0 = threshold_x0(x0, options.clip)
        xt = ddim_step(diffusion, xt, x0, t, s, eta=options.eta, generator=generator)
        yield SamplerState(index, s, xt, x0)


def guided_x0(
    model: Model,
    diffusion: GaussianDiffusion,
    xt: Tensor,
    t: int,
    y: Tensor,
    operator: Operator,
    sigma_y: float,
) -> Tensor:
    """Predict x0 from xt and y at timestep t, without gradients and thresholding; like xt."""
    alpha_t, sigma_t = diffusion.alpha_sigma(t)
    timestep = torch.full((xt.shape[0],), t, dtype=torch.int64, device=xt.device)
    with torch.enable_grad():
        xt = xt.detach().requires_grad_(True)
        x0 = diffusion.predict_x0(model(xt, timestep), xt, timestep)
        with torch.no_grad():
            r2 = sigma_t**2
            residual = operator.inverse(y - operator.forward(x0), sigma_y**2 / r2)
        (gradient,) = torch.autograd.grad((residual * x0).sum(), xt)
    # residual is r_t^2 times A^T (r_t^2 A A^T + sigma_y^2 I)^-1 (y - A x0), which is divided by r_t^2 = sigma_t^2.
    return x0.detach() + gradient / alpha_t
