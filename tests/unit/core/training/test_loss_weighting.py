"""Weights of the loss: the definition of diffusers' training scripts, and that they reach the training."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch.testing import assert_close

from core.config.schema import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import load_dataset
from core.diffusion.gaussian import PREDICTION_TYPES, GaussianDiffusion
from core.diffusion.variational_bound import kl_term
from core.noise_levels import NOISE_LEVELS, timestep_probabilities
from core.schedules import make_schedule
from core.training.loop import StepsReport, Trainer
from core.training.loss_weighting import LossWeight, config_loss_weights, loss_weights


def process(prediction_type: str, **schedule: object) -> GaussianDiffusion:
    return GaussianDiffusion(make_schedule("linear", **schedule), prediction_type=prediction_type)


@pytest.mark.parametrize(("prediction_type", "divisor"), [("epsilon", 0), ("v_prediction", 1)])
def test_min_snr_is_what_diffusers_training_scripts_weigh_by(prediction_type, divisor):
    alphas_cumprod = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02).alphas_cumprod
    snr = alphas_cumprod / (1 - alphas_cumprod)
    expected = snr.clamp(max=5.0) / (snr + divisor)
    assert_close(loss_weights(process(prediction_type), "min_snr"), expected, rtol=2e-3, atol=1e-6)


def test_of_a_predicted_image_it_is_the_snr_itself_up_to_five():
    weights, snr = loss_weights(process("sample"), "min_snr"), process("sample").schedule.snr
    assert_close(weights, torch.from_numpy(snr.clip(max=5.0)).float())


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction", "flow"])
@pytest.mark.parametrize("weight", ["min_snr", "elbo", "edm", "sigmoid"])
def test_weights_are_finite_where_nothing_of_the_image_is_left(weight, prediction_type):
    for timesteps in (1, 2, 1000):
        diffusion = process(prediction_type, zero_terminal_snr=True, timesteps=timesteps)
        weights = loss_weights(diffusion, weight)
        assert weights.isfinite().all()
        assert (weights[-1] == 0) == (
            weight == "min_snr" or (weight in ("elbo", "sigmoid") and timesteps == 1)
        )


@pytest.mark.parametrize("weight", ["min_snr", "elbo", "edm", "sigmoid"])
def test_the_weighted_loss_of_a_denoiser_does_not_depend_on_the_prediction_type(weight):
    generator = torch.Generator().manual_seed(0)
    x0, eps, error = torch.randn(3, 1000, 1, 2, 2, generator=generator, dtype=torch.float64)
    t = torch.arange(1000)
    found = []
    for prediction_type in PREDICTION_TYPES:
        diffusion = process(prediction_type)
        xt = diffusion.q_sample(x0, t, eps)
        predicted = x0 + error  # of the image
        alpha, sigma = diffusion._alpha_sigma(t, xt)
        output = diffusion.target(predicted, (xt - alpha * predicted) / sigma, t)
        found.append(loss_weights(diffusion, weight) * diffusion.loss(output, x0, eps, t))
    for one in found:
        assert_close(one, found[0], rtol=1e-5, atol=0)


def test_edm_is_the_weight_of_karras_et_al_with_its_own_preconditioning():
    for prediction_type in ("sample", "v_prediction"):
        diffusion = process(prediction_type)
        sigma = torch.from_numpy(np.exp(-diffusion.schedule.log_snr / 2))
        weight = (sigma**2 + 0.5**2) / (sigma * 0.5) ** 2
        c_out = sigma / (sigma**2 + 1).sqrt()  # theirs for a standard deviation of 1, which is v-prediction
        expected = weight if prediction_type == "sample" else weight * c_out**2
        assert_close(loss_weights(diffusion, "edm").double(), expected, rtol=1e-5, atol=0)


def test_elbo_is_the_slope_of_the_exact_bound_of_beta_tilde():
    diffusion = GaussianDiffusion(
        make_schedule("x^2", timesteps=50), prediction_type="sample", variance="beta_tilde"
    )
    x0 = torch.zeros(49, 1, 1, 1, dtype=torch.float64)
    bound = 2 * kl_term(diffusion, x0, x0 + 1, torch.arange(1, 50))  # 1 is the squared error
    assert_close(loss_weights(diffusion, "elbo").double()[1:] / 50, bound, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("name", "falls"),
    [
        # -d log SNR / du in closed form; cosine without its offset is 2 pi / sin(pi u).
        ("flow", lambda u: 2 / (u * (1 - u))),
        ("cosine", lambda u: 2 * np.pi / np.sin(np.pi * (u + 0.008) / 1.008) / 1.008),
    ],
)
@pytest.mark.parametrize("bias", [None, 2.0, -3.0])
def test_elbo_and_sigmoid_are_those_of_kingma_and_gao_in_continuous_time(name, falls, bias):
    diffusion = GaussianDiffusion(make_schedule(name, timesteps=4000), prediction_type="sample")
    snr, log_snr = diffusion.schedule.snr, diffusion.schedule.log_snr
    weight = "elbo" if bias is None else "sigmoid"
    found = loss_weights(diffusion, weight, sigmoid_bias=bias or 0.0).double().numpy()
    u = (np.arange(1, 4001) - 0.5) / 4000  # in the middle of a step
    w = np.ones(4000) if bias is None else 1 / (1 + np.exp(log_snr - bias))
    middle = slice(400, 3600)
    np.testing.assert_allclose(found[middle] / snr[middle], w[middle] * falls(u[middle]), rtol=0.01)


@pytest.mark.parametrize("weight", ["elbo", "sigmoid"])
def test_their_loss_is_the_same_integral_whatever_the_schedule_and_the_levels(weight):
    def loss(name: str, levels: str) -> float:
        """The loss of a network whose squared error of the noise is 1 between two levels of log SNR."""
        diffusion = GaussianDiffusion(make_schedule(name, timesteps=2000), prediction_type="sample")
        probabilities = timestep_probabilities(diffusion.schedule, levels)
        weights = config_loss_weights(
            TrainConfig(noise_levels=levels, loss_weight=weight), diffusion, torch.device("cpu")
        )
        log_snr = diffusion.schedule.log_snr
        between = (log_snr > -2.0) & (log_snr < 3.0)
        eps_weights = weights.double().numpy()[between] / diffusion.schedule.snr[between]
        return float(probabilities[between] @ eps_weights)

    expected = 5.0 if weight == "elbo" else np.log1p(np.exp(4.0)) - np.log1p(np.exp(-1.0))
    for name in ("linear", "flow", "edm"):
        for levels in NOISE_LEVELS:
            assert loss(name, levels) == pytest.approx(expected, rel=0.015), (name, levels)


def test_none_is_no_weight():
    assert loss_weights(process("epsilon"), "none") is None


def test_the_settings_name_the_weights_there_are():
    assert get_args(TrainConfig.__annotations__["loss_weight"]) == get_args(LossWeight)


def test_the_weights_change_the_training_but_not_the_reported_losses(tmp_path: Path):
    images = load_dataset("array", data_dir=tmp_path, count=40)
    losses = {}
    for weight in ("none", "min_snr", "elbo"):
        config = RunConfig(
            recipe="tiny",
            data=DataConfig(dataset="array", count=40, heldout=10),
            schedule=ScheduleConfig(timesteps=20),
            diffusion=DiffusionConfig(prediction_type="v_prediction"),
            model=ModelConfig(preset="lean", width=16),
            train=TrainConfig(epochs=1, batch_size=8, loss_weight=weight),
        )
        trainer = Trainer(config, images, torch.device("cpu"))
        reports = [report for report in trainer.reports() if isinstance(report, StepsReport)]
        losses[weight] = [loss for report in reports for loss in report.losses]
    assert len({one[0] for one in losses.values()}) == 1
    assert len({one[-1] for one in losses.values()}) == len(losses)
