"""Small Gaussian processes and images for tests of the arithmetic."""

import torch

from core.diffusion.gaussian import GaussianDiffusion
from core.schedules import make_schedule


def process(name="linear", timesteps=20, **options):
    zero = options.pop("zero_terminal_snr", False)
    schedule = make_schedule(name, timesteps=timesteps, beta_end=0.3, zero_terminal_snr=zero)
    return GaussianDiffusion(schedule, **options)


def images(count=20, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.rand(count, 2, 4, 4, generator=generator, dtype=dtype) * 2 - 1
    eps = torch.randn(count, 2, 4, 4, generator=generator, dtype=dtype)
    return x0, eps, torch.arange(count)
