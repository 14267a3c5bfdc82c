"""Short processes, a network and noises for tests of samplers."""

import torch

from core.diffusion.gaussian import GaussianDiffusion
from core.schedules import make_schedule

T = 24
DIFFUSERS_TYPES = ("epsilon", "sample", "v_prediction")
"""The prediction types that the samplers of diffusers have."""
PROCESSES = [
    (kind, zero) for kind in DIFFUSERS_TYPES for zero in (False, True) if (kind, zero) != ("epsilon", True)
]


def process(timesteps=T, name="linear", zero_terminal_snr=False, **options):
    schedule = make_schedule(name, timesteps=timesteps, beta_end=0.3, zero_terminal_snr=zero_terminal_snr)
    return GaussianDiffusion(schedule, **options)


def network(xt, t):
    """Any smooth function of both, as long as both sides of a comparison call the same."""
    return torch.sin(1.5 * xt) * 0.7 + 0.01 * t.view(-1, 1, 1, 1)


def start(count=2, dtype=torch.float64):
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=dtype)


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)
