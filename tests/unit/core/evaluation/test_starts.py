"""Starts of sampling, against the moments of noised images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.evaluation.sampling import draw_samples
from core.evaluation.starts import make_start
from tests.support.networks import load, process

DRAWS = 20_000
T = 9


@pytest.fixture(scope="module")
def images():
    """Bright images of 2 x 2 pixels whose neighbours are correlated."""
    rng = np.random.default_rng(0)
    pixels = (rng.integers(0, 90, (40, 1, 2, 1)) + rng.integers(0, 160, (40, 1, 2, 2))).astype(np.uint8)
    return SimpleNamespace(train=pixels[:30], heldout=pixels[30:])


def moments(states):
    flat = states.flatten(1).double()
    return flat.mean(0), torch.cov(flat.T)


def test_each_start_has_the_moments_of_the_part_that_it_replaces(images):
    diffusion = process()
    alpha_t, sigma_t = diffusion.alpha_sigma(T)
    x0 = torch.from_numpy(images.train).double().flatten(1) / 127.5 - 1
    mean, covariance = alpha_t * x0.mean(0), alpha_t**2 * torch.cov(x0.T, correction=0)
    zero, one = torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    expected = {
        "noise": (zero, one),
        "mean": (mean, one),
        "gaussian": (mean, covariance + sigma_t**2 * one),
    }
    noise = torch.randn((DRAWS, 1, 2, 2), generator=torch.Generator().manual_seed(3))
    for name, (right_mean, right_covariance) in expected.items():
        found = moments(make_start(name, images, diffusion, T)(noise, 0))
        torch.testing.assert_close(found[0], right_mean, atol=0.03, rtol=0)
        torch.testing.assert_close(found[1], right_covariance, atol=0.04, rtol=0)


def test_the_start_of_images_is_the_forward_process_on_held_out_images_in_turn(images):
    diffusion = process()
    noise = torch.randn((4, 1, 2, 2), generator=torch.Generator().manual_seed(3))
    x0 = torch.from_numpy(images.heldout[[8, 9, 0, 1]]).float() / 127.5 - 1
    expected = diffusion.q_sample(x0, torch.full((4,), T), noise)
    torch.testing.assert_close(make_start("images", images, diffusion, T)(noise, 8), expected)


def test_the_start_of_noise_draws_the_same_samples_and_others_use_its_noise(images):
    diffusion = process()
    loaded = load(diffusion, lambda xt, t: 0.1 * xt, size=2, sampler="ddpm", steps=5)
    plain = draw_samples(loaded, 70, seed=4)
    last = diffusion.timesteps - 1
    same = draw_samples(loaded, 70, seed=4, start=make_start("noise", images, diffusion, last))
    np.testing.assert_array_equal(plain, same)
    shifted = draw_samples(loaded, 70, seed=4, start=make_start("mean", images, diffusion, last))
    # The network is linear, so the mean adds the same to all samples.
    difference = shifted - plain
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:1], difference.shape), atol=1e-5)
    assert np.abs(difference).max() > 1e-3
