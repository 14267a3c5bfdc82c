"""Samplers by name."""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.ancestral import sample_ddpm
from core.diffusion.samplers.base import Model, Sampler, SamplerOptions, SamplerState
from core.diffusion.samplers.churn import sample_churn
from core.diffusion.samplers.ddim import sample_ddim
from core.diffusion.samplers.dpm_solver import sample_dpm_solver
from core.diffusion.samplers.unipc import sample_unipc
from core.errors import UserError

SAMPLERS: Final[dict[str, Sampler]] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "dpm++": sample_dpm_solver,
    "unipc": sample_unipc,
    "churn": sample_churn,
}
"""Samplers by their names in the configuration."""


def run_sampler(
    name: str,
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Start the named sampler; arguments and states are those of `core.diffusion.samplers.base.Sampler`.

    Raises:
        UserError: an unknown name, at once; other errors come with the first state.
    """
    if name not in SAMPLERS:
        raise UserError(f"unknown sampler {name!r}; expected one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name](model, diffusion, noise, options, generator=generator)


def sample(
    name: str,
    model: Model,
    diffusion: GaussianDiffusion,
    noise: Tensor,
    options: SamplerOptions = SamplerOptions(),
    *,
    generator: torch.Generator,
) -> Tensor:
    """Run the named sampler and return its finished images [N, C, H, W]; see `run_sampler`."""
    xt = noise
    for state in run_sampler(name, model, diffusion, noise, options, generator=generator):
        xt = state.xt
    return xt
