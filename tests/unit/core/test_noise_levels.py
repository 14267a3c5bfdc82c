"""Noise levels in training: the distributions of the papers under every schedule, and their parameters."""

import numpy as np
import pytest
import torch
from scipy import stats

from core.config.consistency import check_consistent
from core.config.load import decode
from core.config.schema import RunConfig, TrainConfig
from core.errors import UserError
from core.noise_levels import DEFAULT_PARAMETERS, NOISE_LEVELS, UNIFORM_SHARE, timestep_probabilities
from core.schedules import Schedule, make_schedule
from core.training.timestep_sampler import TimestepSampler

CPU = torch.device("cpu")

CASES = [
    ("logit_normal", None, None, lambda log_snr: stats.norm.cdf(log_snr, 0, 2)),
    ("logit_normal", 0.5, 0.7, lambda log_snr: stats.norm.cdf(log_snr, -1, 1.4)),
    ("laplace", None, None, lambda log_snr: stats.laplace.cdf(log_snr, 0, 0.5)),
    ("laplace", -1.0, 2.0, lambda log_snr: stats.laplace.cdf(log_snr, -1, 2)),
    ("log_normal", None, None, lambda log_snr: stats.norm.cdf(log_snr, 2.4, 2.4)),
    ("log_normal", 0.3, 1.0, lambda log_snr: stats.lognorm.sf(np.exp(-log_snr / 2), 1.0, scale=np.exp(0.3))),
]


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("name", ["linear", "x^10", "cosine", "flow", "edm"])
@pytest.mark.parametrize(("levels", "mean", "scale", "cdf"), CASES)
def test_levels_are_drawn_as_the_paper_says_within_the_range_of_the_schedule(
    levels, mean, scale, cdf, name, stratified
):
    schedule = make_schedule(name)
    sampler = TimestepSampler(schedule, levels, stratified=stratified, device=CPU, mean=mean, scale=scale)
    t = sampler.sample(20_000, torch.Generator().manual_seed(0)).numpy()
    drawn = schedule.log_snr[t]
    top, bottom = cdf(schedule.log_snr[0]), cdf(schedule.log_snr[-1])
    for level in (5.0, 2.0, 0.3, -1.0):
        if schedule.log_snr[-1] < level:
            share = (top - cdf(level)) / (top - bottom)
            uniform = float((schedule.log_snr > level).mean())
            expected = (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE * uniform
            assert float((drawn > level).mean()) == pytest.approx(expected, abs=0.015)


def test_logit_normal_times_of_flow_are_logit_normal():
    probabilities = timestep_probabilities(make_schedule("flow"), "logit_normal", 0.5, 0.7)
    u = np.arange(1, 1001) / 1000
    below = (np.cumsum(probabilities) - UNIFORM_SHARE * u) / (1 - UNIFORM_SHARE)
    halfway = u[:-1] + 0.0005  # to the next timestep
    expected = stats.norm.cdf(np.log(halfway / (1 - halfway)), 0.5, 0.7)
    np.testing.assert_allclose(below[:-1], expected, atol=1e-3)


@pytest.mark.parametrize("levels", NOISE_LEVELS)
def test_probabilities_add_up_to_one_and_leave_no_timestep_out(levels):
    for schedule in (
        make_schedule("flow", timesteps=30),
        make_schedule("linear", timesteps=2, zero_terminal_snr=True),
        Schedule("one", np.array([0.3])),
    ):
        probabilities = timestep_probabilities(schedule, levels)
        assert probabilities.sum() == pytest.approx(1, abs=1e-12)
        assert probabilities.min() >= UNIFORM_SHARE / schedule.timesteps


def config(**train: object) -> RunConfig:
    return decode({"train": train}, RunConfig, source="test")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"noise_mean": 1.0}, r"train.noise_mean = 1: has no effect with train.noise_levels = uniform"),
        ({"noise_scale": 1.0, "noise_levels": "cosine"}, r"or set noise_levels to one of logit_normal, laplace"),
        ({"sigmoid_bias": 1.0}, r"no effect with train.loss_weight = none; leave it out, or set"),
        (
            {"noise_levels": "laplace", "noise_mean": 50.0},
            r"only 1.9e-34% of its levels are within the schedule's log SNR, from -10.1 to 9.21; change",
        ),
    ],
)  # fmt: skip
def test_settings_without_effect_and_levels_out_of_range_are_refused(train, message):
    with pytest.raises(UserError, match=message):
        check_consistent(config(**train))


@pytest.mark.parametrize("scale", [0.0, -1.0, 1000.0])
def test_a_scale_out_of_bounds_is_refused(scale):
    with pytest.raises(UserError, match=r"train.noise_scale"):
        config(noise_levels="laplace", noise_scale=scale)


def test_the_parameters_have_an_effect_where_they_are_settings():
    for levels in DEFAULT_PARAMETERS:
        usual, other = (
            TimestepSampler.from_config(train, make_schedule("linear"), CPU).evenly_spaced(64)
            for train in (
                TrainConfig(noise_levels=levels),
                TrainConfig(noise_levels=levels, noise_mean=1.0, noise_scale=2.0),
            )
        )
        check_consistent(config(noise_levels=levels, noise_mean=1.0, noise_scale=2.0))
        assert not torch.equal(usual, other)
