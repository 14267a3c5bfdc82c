"""Schedules that are defined by their noise levels, against closed forms and diffusers."""

import numpy as np
import pytest
from diffusers import EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from core.noise_paths import edm_betas, flow_betas
from core.schedules import make_schedule


@pytest.mark.parametrize("timesteps", [1, 2, 300, 1000])
def test_flow_is_the_linear_path_with_its_variance_divided_out(timesteps):
    schedule = make_schedule("flow", timesteps=timesteps)
    u = np.arange(1, timesteps + 1) / timesteps
    np.testing.assert_allclose(schedule.alphas_cumprod, (1 - u) ** 2 / ((1 - u) ** 2 + u**2), rtol=1e-9)
    np.testing.assert_allclose(schedule.one_minus_alphas_cumprod, u**2 / ((1 - u) ** 2 + u**2), rtol=1e-9)
    assert schedule.ends_in_pure_noise


def test_the_times_of_flow_are_those_of_diffusers():
    sigmas = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000).sigmas.flip(0).double().numpy()
    alpha, sigma = (
        np.sqrt(values)
        for values in (
            make_schedule("flow").alphas_cumprod,
            make_schedule("flow").one_minus_alphas_cumprod,
        )
    )
    np.testing.assert_allclose(sigma / (alpha + sigma), sigmas, rtol=1e-6)


@pytest.mark.parametrize("timesteps", [1, 2, 50, 1000])
def test_the_levels_of_edm_are_those_of_diffusers(timesteps):
    scheduler = EDMEulerScheduler(num_train_timesteps=timesteps, sigma_min=0.002, sigma_max=80.0)
    scheduler.set_timesteps(timesteps)
    theirs = scheduler.sigmas[:-1].flip(0).double().numpy()
    np.testing.assert_allclose(
        np.exp(-make_schedule("edm", timesteps=timesteps).log_snr / 2), theirs, rtol=1e-5
    )


def test_betas_are_exact_for_more_timesteps_than_abar_has_digits():
    for betas in (flow_betas(100_000), edm_betas(100_000)):
        assert (betas > 0).all()
        assert np.isfinite(betas).all()
    first = flow_betas(100_000)[0]
    assert first == pytest.approx(1e-10 / ((1 - 1e-5) ** 2 + 1e-10), rel=1e-12)
