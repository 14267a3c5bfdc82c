"""Methods of restoration on Gaussian data, whose posterior is known."""

import math

import pytest
import torch

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.interpolation import encode_ddim, slerp
from core.diffusion.restoration.ddnm import restore_ddnm
from core.diffusion.restoration.operators import AveragePool, Identity, Mask
from core.diffusion.restoration.pigdm import restore_pigdm
from core.diffusion.restoration.repaint import restore_repaint
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.ddim import sample_ddim
from core.schedules import make_schedule

PROCESS = GaussianDiffusion(
    make_schedule("linear", timesteps=400, beta_start=1e-4, beta_end=0.05), prediction_type="sample"
)


def standard(xt, t):
    """The ideal denoiser of N(0, I)."""
    return PROCESS.alpha_sigma(int(t[0]))[0] * xt


def equal_pixels(xt, t):
    """The ideal denoiser of images of one standard normal number each."""
    alpha, sigma = PROCESS.alpha_sigma(int(t[0]))
    count = xt[0].numel()
    mean = xt.mean(dim=(1, 2, 3), keepdim=True)
    return (alpha * count / (alpha**2 * count + sigma**2) * mean).expand_as(xt)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def last(states):
    return list(states)[-1].xt


def test_pigdm_draws_from_the_posterior_of_gaussian_data():
    y = torch.full((256, 1, 4, 4), 1.5)
    noise = torch.randn(y.shape, generator=generator(1))
    options = SamplerOptions(eta=1.0, clip="none")
    found = last(
        restore_pigdm(standard, PROCESS, noise, y, Identity(), options, sigma_y=0.5, generator=generator())
    )
    # Of x0 ~ N(0, 1) and y = x0 + 0.5 n.
    assert found.mean() == pytest.approx(1.5 / 1.25, abs=0.03)
    assert found.std() == pytest.approx(math.sqrt(0.25 / 1.25), abs=0.02)


def test_pigdm_leaves_what_is_missing_to_the_data_and_keeps_the_rest():
    known = torch.zeros((1, 1, 4, 4))
    known[..., :2] = 1.0
    y = known * torch.randn((256, 1, 4, 4), generator=generator(2))
    noise = torch.randn(y.shape, generator=generator(1))
    options = SamplerOptions(eta=1.0, clip="none")
    found = last(
        restore_pigdm(standard, PROCESS, noise, y, Mask(known), options, sigma_y=0.01, generator=generator())
    )
    torch.testing.assert_close(found[..., :2], y[..., :2], atol=0.06, rtol=0)
    # The variance of the posterior, beta_tilde, is a little too small for long steps.
    assert found[..., 2:].std() == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_image_of_ddnm_degrades_to_y_exactly(eta):
    y = torch.rand((3, 1, 2, 2), generator=generator(2)) - 0.5
    noise = torch.randn((3, 1, 4, 4), generator=generator(1))
    options = SamplerOptions(steps=5, eta=eta)
    states = list(restore_ddnm(standard, PROCESS, noise, y, AveragePool(2), options, generator=generator()))
    assert [state.index for state in states] == list(range(6))
    torch.testing.assert_close(AveragePool(2).forward(states[-1].xt), y)


def test_repaint_keeps_known_pixels_and_fills_in_what_belongs_to_them():
    known = torch.zeros((1, 1, 4, 4))
    known[..., :2] = 1.0
    y = torch.linspace(-1.0, 1.0, 64).view(-1, 1, 1, 1).expand(64, 1, 4, 4)
    noise = torch.randn(y.shape, generator=generator(1))
    options = SamplerOptions(steps=20, clip="none")

    def filled(resamplings):
        states = list(
            restore_repaint(
                equal_pixels,
                PROCESS,
                noise,
                y,
                Mask(known),
                options,
                resamplings=resamplings,
                generator=generator(),
            )
        )
        assert [state.index for state in states] == list(range(19 * resamplings + 2))
        assert states[-1].timestep == -1
        torch.testing.assert_close(states[-1].xt[..., :2], y[..., :2])
        return (states[-1].xt - y)[..., 2:].abs().mean()

    assert filled(5) < 0.06
    assert filled(5) < 0.7 * filled(1)


def test_ddim_draws_an_image_again_from_its_encoding():
    x0 = torch.randn((2, 1, 4, 4), generator=generator(3))
    options = SamplerOptions(clip="none")
    states = list(encode_ddim(standard, PROCESS, x0, options))
    assert (states[0].timestep, states[-1].timestep, len(states)) == (-1, 399, 401)
    again = last(sample_ddim(standard, PROCESS, states[-1].xt, options, generator=generator()))
    torch.testing.assert_close(again, x0, atol=0.05, rtol=0)


def test_noises_between_two_are_as_long_as_they_are():
    first, second = torch.randn((2, 1, 16, 16), generator=generator(4))
    found = slerp(first, second, [0.0, 0.25, 0.5, 1.0])
    torch.testing.assert_close(found[0], first)
    torch.testing.assert_close(found[-1], second)
    assert found.flatten(1).norm(dim=1).tolist() == pytest.approx([16.0] * 4, rel=0.15)
    torch.testing.assert_close(slerp(first, first, [0.5])[0], first)
