"""Closed-form sampling of Gaussian data, against the samplers themselves and against the law of cosines."""

import numpy as np
import pytest
import torch

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.ancestral import sample_ddpm
from core.diffusion.samplers.base import Model, SamplerOptions
from core.diffusion.samplers.ddim import sample_ddim
from core.errors import UserError
from core.schedules import Schedule, make_schedule
from core.spacing import inference_timesteps
from core.statistics.gaussian_sampling import (
    GaussianData,
    exact_moments,
    fit_gaussian,
    sampled_moments,
    sampling_error,
)

DATA = GaussianData(np.array([2.0, 0.3, 0.01]), np.array([-1.5, 0.4, 0.0]), np.array([0.5, 0.1, 0.0]))


def ideal_denoiser(data: GaussianData, schedule: Schedule) -> Model:
    """Return the expectation of x0 given xt [N, 3, 1, 1]."""
    mean, variance = (torch.from_numpy(value)[:, None, None] for value in (data.mean, data.variances))

    def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        abar = float(schedule.alphas_cumprod[int(t[0])])
        gain = np.sqrt(abar) * variance / (abar * variance + 1 - abar)
        return mean + gain * (xt - np.sqrt(abar) * mean)

    return model


@pytest.mark.parametrize("name", ["linear", "x^10", "cosine"])
@pytest.mark.parametrize("steps", [3, 10])
def test_deterministic_steps_are_those_of_the_sampler(name: str, steps: int) -> None:
    schedule = make_schedule(name, timesteps=100)
    diffusion = GaussianDiffusion(schedule, prediction_type="sample")
    noise = torch.stack([torch.zeros(3), torch.ones(3)])[:, :, None, None].double()
    options = SamplerOptions(steps=steps, clip="none")
    *_, last = sample_ddim(
        ideal_denoiser(DATA, schedule), diffusion, noise, options, generator=torch.Generator()
    )
    from_zero, from_one = last.xt[:, :, 0, 0].numpy()
    mean, variance = sampled_moments(DATA, schedule, inference_timesteps(100, steps))
    np.testing.assert_allclose(from_zero - DATA.mean, mean, atol=1e-9)
    np.testing.assert_allclose((from_one - from_zero) ** 2, variance, atol=1e-9)


def test_ancestral_steps_are_those_of_the_sampler() -> None:
    schedule = make_schedule("x^2", timesteps=50)
    diffusion = GaussianDiffusion(schedule, prediction_type="sample", variance="beta_tilde")
    generator = torch.Generator().manual_seed(0)
    count = 40_000
    noise = torch.randn((count, 3, 1, 1), generator=generator, dtype=torch.float64)
    options = SamplerOptions(clip="none")
    *_, last = sample_ddpm(ideal_denoiser(DATA, schedule), diffusion, noise, options, generator=generator)
    found = last.xt[:, :, 0, 0].numpy()
    mean, variance = sampled_moments(DATA, schedule, inference_timesteps(50), sampler="ddpm")
    deviation = np.sqrt(variance / count)
    assert (np.abs(found.mean(0) - DATA.mean - mean) < 5 * deviation).all()
    np.testing.assert_allclose(found.var(0), variance, rtol=5 * np.sqrt(2 / count))


def test_deterministic_steps_follow_the_law_of_cosines() -> None:
    schedule, timesteps = make_schedule("sigmoid", timesteps=200), inference_timesteps(200, 7)
    abar = np.append(schedule.alphas_cumprod[timesteps], 1.0)[:, None]
    psi = np.arctan(np.sqrt((1 - abar) / (abar * DATA.variances)))
    total = abar[0] * DATA.variances + 1 - abar[0]
    cosines = np.prod(np.cos(np.diff(psi, axis=0)), axis=0)
    mean, variance = sampled_moments(DATA, schedule, timesteps)
    np.testing.assert_allclose(variance, DATA.variances / total * cosines**2)
    np.testing.assert_allclose(mean, -np.sqrt(abar[0] * DATA.variances / total) * DATA.mean * cosines)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_ever_more_steps_come_ever_nearer_to_infinitely_many(sampler: str) -> None:
    errors = []
    for timesteps in (50, 500, 5000):
        # The same end for all, so that only the number of steps differs.
        schedule = make_schedule(
            "linear", timesteps=timesteps, beta_start=5 / timesteps, beta_end=5 / timesteps
        )
        found = sampled_moments(DATA, schedule, inference_timesteps(timesteps), sampler=sampler)  # type: ignore[arg-type]
        ideal = exact_moments(DATA, schedule, sampler=sampler)  # type: ignore[arg-type]
        errors.append(max(np.abs(one - other).max() for one, other in zip(found, ideal, strict=True)))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-2


def test_a_schedule_that_ends_in_pure_noise_has_no_error_of_its_start() -> None:
    schedule = make_schedule("linear", timesteps=100, zero_terminal_snr=True)
    error = sampling_error(DATA, schedule, inference_timesteps(100))
    assert error.start == pytest.approx(0.0, abs=1e-6)
    assert error.total == pytest.approx(error.steps)
    assert error.brightness == pytest.approx(1.0, abs=0.02)


def test_the_fit_is_the_mean_and_covariance_of_the_images() -> None:
    rng = np.random.default_rng(0)
    images = (rng.random((3000, 1, 2, 2)) * np.array([[255, 40], [90, 0]])).astype(np.uint8)
    scaled = images.reshape(-1, 4) / 127.5 - 1
    data = fit_gaussian(images)
    np.testing.assert_allclose(np.sort(data.variances), np.sort(scaled.var(0)), rtol=0.1, atol=1e-9)
    assert data.variances.sum() == pytest.approx(scaled.var(0).sum())
    assert data.mean_brightness(data.mean) == pytest.approx((scaled.mean() + 1) / 2)


def test_images_with_too_many_values_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"images of 65x65 have 4,225 values.*size in its recipe"):
        fit_gaussian(np.zeros((2, 1, 65, 65), np.uint8))
