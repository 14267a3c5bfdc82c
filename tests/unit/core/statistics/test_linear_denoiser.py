"""The linear denoiser, against its closed form and against least squares."""

import numpy as np
import pytest

from core.statistics.linear_denoiser import LinearDenoiser, linear_noise_error


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(4000, 1, 3, 1)) * 40 + rng.normal(size=(4000, 1, 3, 3)) * 10 + 90
    return smooth.clip(0, 255).astype(np.uint8)


def test_errors_of_noised_images_have_the_expected_mean(images: np.ndarray) -> None:
    denoiser = LinearDenoiser.fit(images)
    x0 = images.reshape(len(images), -1) / 127.5 - 1
    eps = np.random.default_rng(1).normal(size=x0.shape)
    levels = np.array([-8.0, -1.0, 2.0, 6.0])
    found = denoiser.noise_errors(x0, eps, levels)
    assert found.shape == (4000, 4)
    assert found.mean(0) == pytest.approx(linear_noise_error(denoiser.variances, levels), rel=0.05)


def test_no_linear_function_of_the_noised_image_is_better(images: np.ndarray) -> None:
    denoiser = LinearDenoiser.fit(images)
    x0 = images.reshape(len(images), -1) / 127.5 - 1
    eps = np.random.default_rng(2).normal(size=x0.shape)
    for level in (-3.0, 1.0):
        noised = x0 + np.exp(-level / 2) * eps  # xt / sqrt(abar)
        design = np.column_stack([noised, np.ones(len(x0))])
        residual = x0 - design @ np.linalg.lstsq(design, x0, rcond=None)[0]
        best = np.exp(level) * np.mean(residual**2)
        # Least squares also fits the noise of 4,000 images, by ten numbers for each coefficient.
        assert denoiser.noise_errors(x0, eps, np.array([level])).mean() == pytest.approx(best, rel=0.01)


def test_the_expected_error_of_one_variance_is_known() -> None:
    levels = np.array([-2.0, 0.0, 5.0])
    assert linear_noise_error(np.array([0.5]), levels) == pytest.approx(1 / (1 + 2 * np.exp(-levels)))
