"""Samplers against closed forms, and properties of all samplers."""

import itertools
import math

import numpy as np
import pytest
import torch

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.ancestral import sample_ddpm
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.churn import NOISE_START_LOG_SNR, sample_churn
from core.diffusion.samplers.ddim import sample_ddim
from core.diffusion.samplers.dpm_solver import sample_dpm_solver
from core.diffusion.samplers.registry import SAMPLERS, run_sampler, sample
from core.diffusion.samplers.thresholding import threshold_x0
from core.diffusion.samplers.unipc import sample_unipc
from core.errors import UserError
from core.sampling_names import SAMPLERS_WITH_ETA
from core.schedules import make_schedule
from core.spacing import inference_timesteps
from tests.support.samplers import PROCESSES, T, network, process, seeded, start


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("prediction_type", "zero_terminal_snr"), PROCESSES)
def test_up_to_two_steps_of_dpm_solver_are_those_of_ddim(prediction_type, zero_terminal_snr, steps, eta):
    diffusion = process(prediction_type=prediction_type, zero_terminal_snr=zero_terminal_snr)
    first, second = (
        sample(name, network, diffusion, start(), SamplerOptions(steps=steps, eta=eta), generator=seeded())
        for name in ("dpm++", "ddim")
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_from_pure_noise_dpm_solver_restarts_at_its_second_step(eta):
    diffusion, draws = process(zero_terminal_snr=True, prediction_type="v_prediction"), seeded()
    trajectory = sample_dpm_solver(network, diffusion, start(), SamplerOptions(eta=eta), generator=draws)
    _, second = next(trajectory), next(trajectory)
    alpha_t, sigma_t = diffusion.alpha_sigma(T - 2)
    z = torch.randn(start().shape, generator=seeded(), dtype=torch.float64) if eta else start()
    torch.testing.assert_close(second.xt, alpha_t * second.x0 + sigma_t * z)
    rest = torch.Generator()
    rest.set_state(draws.get_state())
    restarted = list(
        sample_dpm_solver(network, diffusion, second.xt, SamplerOptions(start=T - 2, eta=eta), generator=rest)
    )[1:]
    for expected, state in zip(restarted, trajectory, strict=True):
        torch.testing.assert_close(state.xt, expected.xt)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm++", 2), ("unipc", 3)])
def test_twice_the_steps_make_the_error_smaller_by_the_order_of_the_sampler(name, order):
    """The flow of a Gaussian, of which every state is known."""
    diffusion = GaussianDiffusion(make_schedule("linear"), prediction_type="sample")
    model, noise, at = optimal_for_a_gaussian(diffusion, mean=0.4, deviation=0.2), start(), 99

    def centre_and_width(t):
        alpha_t, sigma_t = diffusion.alpha_sigma(t)
        return 0.4 * alpha_t, math.hypot(0.2 * alpha_t, sigma_t)

    (first, first_width), (centre, width) = centre_and_width(999), centre_and_width(at)
    expected = centre + width * (noise - first) / first_width
    near = 0.05 if order < 3 else 0.1
    errors = []
    for steps in (50, 100, 200):
        trajectory = run_sampler(
            name, model, diffusion, noise, SamplerOptions(steps=steps, clip="none"), generator=seeded()
        )
        there = next(state.xt for state in trajectory if state.timestep == at)
        errors.append((there - expected).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=near)
    assert errors[1] / errors[2] == pytest.approx(2**order, rel=near)


def test_dynamic_clipping_scales_each_image_by_what_is_large_in_it():
    ramp = torch.linspace(0.0, 3.0, 1001, dtype=torch.float64).view(1, 1, 7, 143)
    both = threshold_x0(torch.cat([ramp, ramp / 6]), "dynamic")
    s = 3 * 0.995
    torch.testing.assert_close(both[:1], ramp.clamp_max(s) / s)
    torch.testing.assert_close(both[1:], ramp / 6, rtol=0, atol=0)


def test_dynamic_clipping_takes_more_numbers_than_torch_takes_quantiles_of():
    x0 = torch.full((3, 1, 2900, 2900), 4.0)
    assert x0.numel() > 1 << 24
    assert torch.equal(threshold_x0(x0, "dynamic"), torch.ones_like(x0))


def test_an_unknown_clipping_is_refused():
    with pytest.raises(UserError, match="unknown clipping 'hard'; expected one of none, static, dynamic"):
        threshold_x0(start(), "hard")


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_a_trajectory_begun_half_way_is_the_rest_of_the_whole_one(name):
    draws, rest = seeded(), None
    whole = run_sampler(name, network, process(), start(), SamplerOptions(eta=0.5), generator=draws)
    for state in whole:
        if state.timestep == 9:
            rest = torch.Generator()
            rest.set_state(draws.get_state())
            middle = state.xt
    states = list(
        run_sampler(name, network, process(), middle, SamplerOptions(start=9, eta=0.5), generator=rest)
    )
    assert [(one.index, one.timestep) for one in states] == [(i, 9 - i) for i in range(11)]
    assert states[0].xt is middle
    torch.testing.assert_close(states[-1].xt, state.xt, rtol=0, atol=0)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("begin", "steps", "message"),
    [
        (-1, None, f"expected a timestep from 0 to {T - 1} to start at, got -1"),
        (T, None, f"expected a timestep from 0 to {T - 1} to start at, got {T}"),
        (4, 6, r"expected from 1 to 5 sampling steps \(the timesteps from the start down\), got 6"),
    ],
)
def test_a_start_out_of_range_is_refused(name, begin, steps, message):
    with pytest.raises(UserError, match=message):
        sample(
            name, network, process(), start(), SamplerOptions(start=begin, steps=steps), generator=seeded()
        )


@pytest.mark.parametrize("steps", [0, -1, T + 1])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_number_of_steps_out_of_range_is_refused(name, steps):
    with pytest.raises(UserError, match=rf"expected from 1 to {T} sampling steps .* got {steps}"):
        sample(name, network, process(), start(), SamplerOptions(steps=steps), generator=seeded())


@pytest.mark.parametrize("steps", [T, 5, 1])
@pytest.mark.parametrize("name", SAMPLERS)
def test_states_run_from_the_starting_noise_to_the_image(name, steps):
    noise = start()
    states = list(
        run_sampler(name, network, process(), noise, SamplerOptions(steps=steps, eta=0.5), generator=seeded())
    )
    assert [state.index for state in states] == list(range(steps + 1))
    assert [state.timestep for state in states] == [*inference_timesteps(T, steps), -1]
    assert states[0].xt is noise
    assert states[0].x0 is None
    assert all(state.x0.shape == state.xt.shape == noise.shape for state in states[1:])
    torch.testing.assert_close(states[-1].xt, states[-1].x0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_timestep_and_one_image_are_enough(name):
    diffusion = process(timesteps=1)
    states = list(run_sampler(name, network, diffusion, start(count=1), generator=seeded()))
    assert [state.timestep for state in states] == [0, -1]
    assert torch.isfinite(states[-1].xt).all()


def test_the_network_receives_the_timestep_as_int64_for_each_image():
    received = []

    def model(xt, t):
        received.append(t)
        return xt

    sample("ddpm", model, process(), start(count=3), SamplerOptions(steps=2), generator=seeded())
    assert [t.tolist() for t in received] == [[23, 23, 23], [11, 11, 11]]
    assert received[0].dtype == torch.int64


def test_ddpm_without_clipping_is_algorithm_2():
    diffusion = process()
    schedule, draws = diffusion.schedule, seeded()
    xt = noise = start()
    for t in reversed(range(T)):
        beta, alpha, abar = schedule.betas[t], schedule.alphas[t], schedule.alphas_cumprod[t]
        eps = network(xt, torch.full((2,), t))
        xt = (xt - beta / math.sqrt(1 - abar) * eps) / math.sqrt(alpha)
        if t > 0:
            xt = xt + math.sqrt(beta) * torch.randn(xt.shape, generator=draws, dtype=xt.dtype)
    torch.testing.assert_close(
        sample("ddpm", network, diffusion, noise, SamplerOptions(clip="none"), generator=seeded()), xt
    )


@pytest.mark.parametrize("clip", ["none", "static"])
@pytest.mark.parametrize("steps", [T, 5])
def test_ddim_with_full_noise_is_ddpm_with_the_posterior_variance(steps, clip):
    diffusion = process(variance="beta_tilde")
    options = SamplerOptions(steps=steps, clip=clip)
    ddpm = sample("ddpm", network, diffusion, start(), options, generator=seeded())
    options = SamplerOptions(steps=steps, clip=clip, eta=1.0)
    ddim = sample("ddim", network, diffusion, start(), options, generator=seeded())
    torch.testing.assert_close(ddim, ddpm)


def optimal_for_a_gaussian(diffusion, mean, deviation):
    """E[x0 | xt] when every number of x0 is drawn from N(mean, deviation^2)."""
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy())

    def model(xt, t):
        a = abar[t].view(-1, 1, 1, 1)
        gain = a.sqrt() * deviation**2 / (a * deviation**2 + 1 - a)
        return mean + gain * (xt - a.sqrt() * mean)

    return model


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_perfect_network_samples_the_distribution_that_it_knows(name):
    diffusion = process(
        timesteps=1000, name="cosine", zero_terminal_snr=True, variance="beta_tilde", prediction_type="sample"
    )
    model = optimal_for_a_gaussian(diffusion, mean=0.4, deviation=0.2)
    noise = torch.randn(25, 1, 20, 20, generator=seeded(), dtype=torch.float64)
    x = sample(name, model, diffusion, noise, SamplerOptions(clip="none"), generator=seeded(8))
    assert x.mean().item() == pytest.approx(0.4, abs=0.01)
    assert x.std().item() == pytest.approx(0.2, rel=0.04)


@pytest.mark.parametrize("name", SAMPLERS)
def test_images_repeat_with_the_seed_and_leave_the_global_one_alone(name):
    before = torch.get_rng_state()
    first, second, other = (
        sample(name, network, process(), start(), SamplerOptions(eta=1.0), generator=seeded(seed))
        for seed in (7, 7, 8)
    )
    assert torch.equal(first, second)
    assert torch.equal(first, other) == (name == "unipc")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("name", "eta"), [("ddim", 2.0), ("churn", 1.0), ("churn", 2.0), ("dpm++", 2.0)])
def test_more_noise_on_the_way_leaves_the_distribution_as_it_is(name, eta):
    diffusion = process(
        timesteps=1000, name="cosine", zero_terminal_snr=True, variance="beta_tilde", prediction_type="sample"
    )
    model = optimal_for_a_gaussian(diffusion, mean=0.4, deviation=0.2)
    noise = torch.randn(25, 1, 20, 20, generator=seeded(), dtype=torch.float64)
    x = sample(name, model, diffusion, noise, SamplerOptions(eta=eta, clip="none"), generator=seeded(8))
    assert x.mean().item() == pytest.approx(0.4, abs=0.01)
    assert x.std().item() == pytest.approx(0.2, rel=0.06)  # of first order


def test_churn_is_unipc_before_its_log_snr_and_dpm_solver_with_noise_after_it():
    diffusion = process(timesteps=1000, name="cosine", zero_terminal_snr=True, prediction_type="sample")
    log_snr = diffusion.schedule.log_snr
    first = int(np.argmax(log_snr < NOISE_START_LOG_SNR))  # the cleanest timestep without noise
    churned = list(sample_churn(network, diffusion, start(), SamplerOptions(eta=1.5), generator=seeded()))
    quiet = list(sample_unipc(network, diffusion, start(), generator=seeded()))
    same = [torch.equal(a.xt, b.xt) for a, b in zip(churned, quiet, strict=True)]
    assert same == [state.timestep >= first for state in quiet[:-1]] + [False]
    assert torch.equal(
        sample(
            "churn",
            network,
            diffusion,
            start(),
            SamplerOptions(start=first - 1, eta=1.25),
            generator=seeded(),
        ),
        sample(
            "dpm++",
            network,
            diffusion,
            start(),
            SamplerOptions(start=first - 1, eta=1.25**2),
            generator=seeded(),
        ),
    )


def test_a_step_across_the_log_snr_of_churn_has_as_much_noise_as_lies_after_it():
    diffusion = process(timesteps=1000, name="cosine", prediction_type="sample")
    log_snr = diffusion.schedule.log_snr
    for before in (0.1, 1.0, 4.0):
        t = int(np.argmax(log_snr < NOISE_START_LOG_SNR - before))
        for steps in (2, 5):
            trajectory = list(
                sample_churn(
                    network,
                    diffusion,
                    start(),
                    SamplerOptions(steps=steps, start=t, eta=1.2),
                    generator=seeded(),
                )
            )
            s = trajectory[1].timestep
            share = max(0.0, (log_snr[s] - NOISE_START_LOG_SNR) / (log_snr[s] - log_snr[t]))
            other = sample_dpm_solver(
                network,
                diffusion,
                start(),
                SamplerOptions(steps=steps, start=t, eta=1.2**2 * share),
                generator=seeded(),
            )
            torch.testing.assert_close(trajectory[1].xt, next(itertools.islice(other, 1, None)).xt)


def test_the_eta_of_churn_is_that_of_ddim_in_short_steps():
    diffusion = process(timesteps=4000, name="cosine", prediction_type="sample")
    t = int(np.argmax(diffusion.schedule.log_snr < NOISE_START_LOG_SNR + 1.0))

    black = torch.zeros(4, 1, 64, 64, dtype=torch.float64)

    def noise_added(sampler, eta):
        states = sampler(
            lambda xt, t: 0 * xt, diffusion, black, SamplerOptions(start=t, eta=eta), generator=seeded()
        )
        return next(itertools.islice(states, 1, None)).xt.std().item()

    for eta in (0.5, 1.0, 2.0):
        assert noise_added(sample_churn, eta) == pytest.approx(noise_added(sample_ddim, eta), rel=0.02)


@pytest.mark.parametrize("name", SAMPLERS_WITH_ETA)
def test_at_eta_zero_nothing_is_drawn(name):
    generator = seeded()
    before = generator.get_state()
    sample(name, network, process(), start(), generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_clipping_bounds_every_predicted_x0():
    for clip in ("static", "dynamic", "none"):
        states = list(
            sample_ddpm(
                lambda xt, t: 3 * xt, process(), start(), SamplerOptions(clip=clip), generator=seeded()
            )
        )
        largest = max(state.x0.abs().max().item() for state in states[1:])
        assert (largest <= 1.0) == (clip != "none")


@pytest.mark.parametrize("name", SAMPLERS)
def test_gradients_stay_on_for_the_caller_between_states(name):
    layer = torch.nn.Conv2d(1, 1, 1, dtype=torch.float64)
    for state in run_sampler(
        name, lambda xt, t: layer(xt), process(), start(), SamplerOptions(steps=3), generator=seeded()
    ):
        assert torch.is_grad_enabled()
        assert not state.xt.requires_grad


@pytest.mark.parametrize("eta", [-0.1, 2.1, math.nan])
@pytest.mark.parametrize("name", SAMPLERS_WITH_ETA)
def test_an_eta_out_of_bounds_is_refused(name, eta):
    with pytest.raises(UserError, match=f"expected eta from 0 to 2, got {eta}"):
        sample(name, network, process(), start(), SamplerOptions(eta=eta), generator=seeded())


def test_an_unknown_sampler_is_refused():
    with pytest.raises(UserError, match=r"unknown sampler 'euler'; expected one of ddpm, ddim, dpm\+\+"):
        sample("euler", network, process(), start(), generator=seeded())


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_from_pure_noise_makes_no_nan_in_single_precision(name, prediction_type):
    for schedule in ("linear", "cosine", "x^10"):
        for timesteps in (1, 2, 50):
            diffusion = process(timesteps, schedule, True, prediction_type=prediction_type)
            x = sample(
                name,
                network,
                diffusion,
                start(dtype=torch.float32),
                SamplerOptions(eta=0.5),
                generator=seeded(),
            )
            assert x.dtype == torch.float32
            assert torch.isfinite(x).all()
            assert np.abs(x.numpy()).max() <= 1.0
