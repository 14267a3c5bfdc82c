"""Weights of the loss: the definition of diffusers' training scripts, and that they reach the training."""

from pathlib import Path
from typing import get_args

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
from core.diffusion.gaussian import GaussianDiffusion
from core.schedules import make_schedule
from core.training.loop import StepsReport, Trainer
from core.training.loss_weighting import LossWeight, loss_weights


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


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_weights_are_finite_where_nothing_of_the_image_is_left(prediction_type):
    weights = loss_weights(process(prediction_type, zero_terminal_snr=True), "min_snr")
    assert weights.isfinite().all()
    assert weights[-1] == 0


def test_none_is_no_weight():
    assert loss_weights(process("epsilon"), "none") is None


def test_the_settings_name_the_weights_there_are():
    assert get_args(TrainConfig.__annotations__["loss_weight"]) == get_args(LossWeight)


def test_the_weights_change_the_training_but_not_the_reported_losses(tmp_path: Path):
    images = load_dataset("array", data_dir=tmp_path, count=40)
    losses = {}
    for weight in ("none", "min_snr"):
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
    assert losses["none"][0] == losses["min_snr"][0]
    assert losses["none"][-1] != losses["min_snr"][-1]
