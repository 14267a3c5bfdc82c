"""Sampler draws that must not change: the table of cases, and the fixture that holds their images.

``python -m tests.support.sampler_cases OUT`` writes the fixture; needed only when a sampler is meant to draw
other images.
"""

import itertools
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import sample
from core.schedules import make_schedule

FIXTURE = Path(__file__).parents[1] / "fixtures" / "sampler-draws.safetensors"
T = 50
SAMPLERS = [
    *(("ddpm", variance, 0.0) for variance in ("beta", "beta_tilde")),
    *(("ddim", "beta", eta) for eta in (0.0, 1.0, 2.0)),
    *(("dpm++", "beta", eta) for eta in (0.0, 0.5, 1.0, 2.0)),
    ("unipc", "beta", 0.0),
    *(("churn", "beta", eta) for eta in (0.0, 1.0, 2.0)),
]
"""Name, variance and eta."""


class Case(NamedTuple):
    """One way to draw; `pure_noise` selects zero terminal SNR with v_prediction, else linear with epsilon."""

    sampler: str
    variance: str
    eta: float
    pure_noise: bool
    spacing: str
    steps: int
    start: int | None = None
    clip: str = "none"


CASES = [
    Case(*sampler, *rest)
    for sampler in SAMPLERS
    for rest in (
        *itertools.product(
            (False, True), ("uniform", "logsnr", "karras", "cosine", "decay"), (1, 2, 3, 5, 10)
        ),
        *itertools.product(
            (False, True), ("uniform",), (1, 3, 10), (None, 20), ("none", "static", "dynamic")
        ),
    )
]


def model(xt: Tensor, t: Tensor) -> Tensor:
    """Any smooth elementwise function, which all CPUs compute alike but for the rounding of the sine."""
    return 0.7 * torch.sin(1.5 * xt) + 0.01 * t.view(-1, 1, 1, 1)


def process(case: Case) -> GaussianDiffusion:
    schedule = make_schedule("linear", timesteps=T, beta_end=0.3, zero_terminal_snr=case.pure_noise)
    prediction_type = "v_prediction" if case.pure_noise else "epsilon"
    return GaussianDiffusion(schedule, prediction_type=prediction_type, variance=case.variance)


def draw(case: Case) -> Tensor:
    """The images of a case, float64 [2, 1, 3, 3]."""
    noise = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return sample(
        case.sampler,
        model,
        process(case),
        noise,
        SamplerOptions(
            steps=case.steps, start=case.start, eta=case.eta, spacing=case.spacing, clip=case.clip
        ),
        generator=torch.Generator().manual_seed(7),
    )


def main() -> None:
    save_file({"images": torch.stack([draw(case) for case in CASES])}, sys.argv[1])


if __name__ == "__main__":
    main()
