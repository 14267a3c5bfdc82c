"""The Gaussian process, against Bayes' rule, torch.distributions and diffusers."""

import math

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch.distributions import Normal

from core.diffusion.gaussian import PREDICTION_TYPES, GaussianDiffusion
from core.errors import UserError
from core.schedules import Schedule, make_schedule
from tests.support.small_processes import images, process

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


def oracle(diffusion, dtype, **options):
    betas = torch.from_numpy(diffusion.schedule.betas.copy()).to(dtype)
    scheduler = DDPMScheduler(num_train_timesteps=len(betas), trained_betas=betas.tolist(), **options)
    scheduler.betas, scheduler.alphas = betas, 1 - betas
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    return scheduler


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["linear", "sine", "x^10", "cosine", "sigmoid"])
def test_noising_and_velocity_agree_with_diffusers(name, dtype):
    diffusion = process(name, prediction_type="v_prediction")
    x0, eps, t = images(dtype=dtype)
    scheduler = oracle(diffusion, dtype)
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(diffusion.q_sample(x0, t, eps), scheduler.add_noise(x0, eps, t), **close)
    torch.testing.assert_close(diffusion.target(x0, eps, t), scheduler.get_velocity(x0, eps, t), **close)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_perfect_output_gives_back_the_image_and_the_noise_at_no_loss(prediction_type, dtype):
    diffusion = process(prediction_type=prediction_type)
    x0, eps, t = images(dtype=dtype)
    xt, output = diffusion.q_sample(x0, t, eps), diffusion.target(x0, eps, t)
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(diffusion.predict_x0(output, xt, t), x0, **close)
    torch.testing.assert_close(diffusion.predict_eps(output, xt, t), eps, **close)
    assert diffusion.loss(output, x0, eps, t).tolist() == [0.0] * 20


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_loss_is_the_mean_squared_error_of_each_image(prediction_type):
    diffusion = process(prediction_type=prediction_type)
    x0, eps, t = images()
    errors = torch.arange(20, dtype=torch.float64)
    output = diffusion.target(x0, eps, t) + errors[:, None, None, None]
    torch.testing.assert_close(diffusion.loss(output, x0, eps, t), errors**2)


def test_the_posterior_obeys_the_rule_of_bayes():
    diffusion = process()
    x0, eps, _ = images(count=19)
    t = torch.arange(1, 20)
    xt = diffusion.q_sample(x0, t, eps)
    mean, variance = diffusion.posterior(x0, xt, t)
    before = mean + 0.3 * eps.flip(0)

    def column(values):
        return torch.from_numpy(values)[t].view(-1, 1, 1, 1)

    beta, abar = column(diffusion.schedule.betas.copy()), column(diffusion.schedule.alphas_cumprod.copy())
    abar_before = abar / (1 - beta)
    expected = (
        Normal((1 - beta).sqrt() * before, beta.sqrt()).log_prob(xt)
        + Normal(abar_before.sqrt() * x0, (1 - abar_before).sqrt()).log_prob(before)
        - Normal(abar.sqrt() * x0, (1 - abar).sqrt()).log_prob(xt)
    )
    torch.testing.assert_close(Normal(mean, variance.sqrt()).log_prob(before), expected)


def test_the_posterior_of_the_first_step_is_the_image_itself():
    diffusion = process()
    x0, eps, _ = images(count=3)
    mean, variance = diffusion.posterior(x0, eps, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(mean, x0)
    assert variance.flatten().tolist() == [0.0] * 3


def test_a_transition_to_the_step_before_is_the_posterior():
    diffusion = process()
    x0, xt, _ = images(count=1)
    for t in range(20):
        step = diffusion.transition(t, t - 1)
        mean, variance = diffusion.posterior(x0, xt, torch.tensor([t]))
        torch.testing.assert_close(step.x0_scale * x0 + step.xt_scale * xt, mean)
        assert step.beta == pytest.approx(diffusion.schedule.betas[t], rel=1e-9)
        assert step.beta_tilde == pytest.approx(variance.item(), rel=1e-9)


def test_a_jump_is_the_posterior_of_the_respaced_schedule():
    diffusion = process()
    visited = [3, 10, 19]
    abar = diffusion.schedule.alphas_cumprod[visited]
    respaced = GaussianDiffusion(Schedule("respaced", 1 - abar / np.array([1.0, *abar[:-1]])))
    for index, (t, s) in enumerate([(3, -1), (10, 3), (19, 10)]):
        expected = respaced.transition(index, index - 1)
        np.testing.assert_allclose(diffusion.transition(t, s), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("t", "s"), [(20, 3), (3, 3), (3, -2), (-1, -1)])
def test_a_transition_that_does_not_go_down_is_an_error(t, s):
    with pytest.raises(ValueError, match=f"got t = {t}, s = {s}"):
        process().transition(t, s)


def test_transitions_survive_abars_that_underflow():
    schedule = make_schedule("linear", timesteps=200_000)
    diffusion = GaussianDiffusion(schedule, prediction_type="v_prediction")
    step = diffusion.transition(199_999, 199_998)
    assert step.beta == pytest.approx(0.02)
    assert step.xt_scale == pytest.approx(math.sqrt(0.98))


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
@pytest.mark.parametrize("timesteps", [1, 2, 20])
def test_pure_noise_at_the_last_step_makes_no_nan(prediction_type, timesteps):
    diffusion = process(timesteps=timesteps, zero_terminal_snr=True, prediction_type=prediction_type)
    x0, eps, _ = images(count=1, dtype=torch.float32)
    t = torch.tensor([timesteps - 1])
    xt = diffusion.q_sample(x0, t, eps)
    torch.testing.assert_close(xt, eps)
    output = diffusion.target(x0, eps, t)
    torch.testing.assert_close(diffusion.predict_x0(output, xt, t), x0)
    torch.testing.assert_close(diffusion.predict_eps(output, xt, t), eps)
    mean, variance = diffusion.posterior(x0, xt, t)
    assert torch.isfinite(mean).all()
    assert torch.isfinite(variance).all()


def test_epsilon_with_pure_noise_at_the_last_step_is_refused():
    with pytest.raises(UserError, match=r"schedule x\^2: .*pure noise.*use v_prediction or sample"):
        process("x^2", zero_terminal_snr=True)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_one_timestep_is_a_process_too(prediction_type):
    diffusion = process(timesteps=1, prediction_type=prediction_type)
    x0, eps, _ = images(count=1)
    t = torch.zeros(1, dtype=torch.int64)
    xt = diffusion.q_sample(x0, t, eps)
    torch.testing.assert_close(diffusion.predict_x0(diffusion.target(x0, eps, t), xt, t), x0)
    assert diffusion.timesteps == 1


def test_unknown_words_are_refused():
    with pytest.raises(UserError, match="unknown prediction type 'noise'; expected one of epsilon, sample"):
        process(prediction_type="noise")
    with pytest.raises(UserError, match="unknown variance 'learned'; expected one of beta, beta_tilde"):
        process(variance="learned")


def test_the_memory_format_of_images_is_kept():
    diffusion = process(prediction_type="v_prediction")
    x0, eps, t = (
        value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for value in images(dtype=torch.float32)
    )
    for result in (diffusion.q_sample(x0, t, eps), diffusion.target(x0, eps, t)):
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert result.dtype == torch.float32


def test_an_output_in_half_precision_is_scored_in_full():
    diffusion = process()
    x0, eps, t = images(dtype=torch.float32)
    output = eps.to(torch.bfloat16)
    assert diffusion.loss(output, x0, eps, t).dtype == torch.float32
    assert diffusion.predict_x0(output, x0, t).dtype == torch.float32
    torch.testing.assert_close(
        diffusion.loss(output, x0, eps, t), (output.float() - eps).square().flatten(1).mean(1)
    )


def test_coefficients_first_needed_in_inference_mode_serve_training_later():
    diffusion = process(prediction_type="v_prediction").to("cpu")
    fresh = process(prediction_type="v_prediction")
    x0, eps, t = images(dtype=torch.float32)
    with torch.inference_mode():
        fresh.predict_x0(eps, x0, t)
    assert not fresh._table("sqrt_alphas_cumprod", torch.float32, x0.device).is_inference()
    for each in (diffusion, fresh):
        output = eps.clone().requires_grad_()
        each.predict_x0(output, x0, t).sum().backward()
        assert output.grad is not None
