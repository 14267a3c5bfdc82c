"""The velocity of rectified flow in the variance-preserving process, against closed forms and diffusers."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from core.diffusion.gaussian import PREDICTION_TYPES, GaussianDiffusion
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS
from core.diffusion.variational_bound import variational_bound
from core.schedules import make_schedule
from tests.support.small_processes import images, process

CLOSE = {"rtol": 0, "atol": 1e-9}


def network(xt: Tensor, t: Tensor) -> Tensor:
    """A smooth function of state and timestep, in place of a network."""
    return torch.sin(3 * xt + t.view(-1, 1, 1, 1) / 300) + xt.roll(1, dims=-1) / 2


@pytest.mark.parametrize("steps", [1, 7, 10, 50])
def test_ddim_under_the_schedule_flow_is_euler_in_the_time_of_flow(steps):
    diffusion = GaussianDiffusion(make_schedule("flow"), prediction_type="flow")
    noise, _, _ = images(count=2)
    options = SamplerOptions(steps=steps, clip="none")
    states = list(SAMPLERS["ddim"](network, diffusion, noise, options, generator=torch.Generator()))
    times = [(state.timestep + 1) / 1000 for state in states]
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(sigmas=times[:-1])
    x_u = noise
    for state, u, time in zip(states[1:], times[:-1], scheduler.timesteps, strict=True):
        velocity = network(x_u / np.hypot(1 - u, u), torch.tensor([round(1000 * u) - 1]).expand(2))
        x_u = scheduler.step(velocity, time, x_u.double()).prev_sample.double()
        after = (state.timestep + 1) / 1000
        torch.testing.assert_close(state.xt, x_u / np.hypot(1 - after, after), rtol=0, atol=1e-5)
    assert states[-1].timestep == -1


@pytest.mark.parametrize("name", ["linear", "x^10", "flow"])
def test_the_velocity_is_the_derivative_of_the_linear_path_at_the_same_noise_level(name):
    diffusion = process(name, prediction_type="flow")
    x0, eps, t = images()
    alpha, sigma = (torch.from_numpy(np.sqrt(values.copy()))[t].view(-1, 1, 1, 1) for values in (
        diffusion.schedule.alphas_cumprod, diffusion.schedule.one_minus_alphas_cumprod))  # fmt: skip
    u = sigma / (alpha + sigma)
    on_path = (1 - u) * x0 + u * eps
    xt = diffusion.q_sample(x0, t, eps)
    torch.testing.assert_close(xt, on_path / ((1 - u) ** 2 + u**2).sqrt(), **CLOSE)
    velocity = diffusion.target(x0, eps, t)
    torch.testing.assert_close(velocity, eps - x0, **CLOSE)
    torch.testing.assert_close(diffusion.predict_x0(velocity, xt, t), on_path - u * velocity, **CLOSE)
    torch.testing.assert_close(diffusion.predict_eps(velocity, xt, t), on_path + (1 - u) * velocity, **CLOSE)


def as_type(prediction_type: str, diffusion: GaussianDiffusion):
    """The same denoiser, whose predicted x0 is half of xt, as a network of this prediction type."""

    def model(xt: Tensor, t: Tensor) -> Tensor:
        x0 = xt / 2
        alpha, sigma = diffusion._alpha_sigma(t, xt)
        eps = (xt - alpha * x0) / sigma
        return GaussianDiffusion.target(diffusion, x0, eps, t)

    return model


def test_samplers_and_the_bound_do_not_depend_on_the_prediction_type():
    found: dict[str, list[Tensor]] = {}
    noise, _, _ = images(count=2)
    x0 = (images(count=2)[0].clamp(-1, 1) * 127.5).round() / 127.5
    for prediction_type in PREDICTION_TYPES:
        diffusion = process("cosine", prediction_type=prediction_type)
        model = as_type(prediction_type, diffusion)
        last = []
        for sampler in SAMPLERS.values():
            options = SamplerOptions(steps=6, clip="none")
            *_, state = sampler(model, diffusion, noise, options, generator=torch.Generator().manual_seed(0))
            last.append(state.xt)
        bound = variational_bound(
            model, diffusion, x0, generator=torch.Generator().manual_seed(1), clip="none"
        )
        found[prediction_type] = [*last, torch.tensor([bound.total], dtype=torch.float64)]
    for prediction_type in PREDICTION_TYPES:
        for one, other in zip(found[prediction_type], found["v_prediction"], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
