"""Noise errors of networks whose error is known, and the bound predicted from them against the exact one."""

import numpy as np
import pytest
import torch

from core.config.schema import ScheduleConfig
from core.evaluation.metrics.likelihood import likelihood
from core.evaluation.metrics.noise_error import noise_error, noise_error_timesteps
from core.runs import Evaluation
from core.runs.noise_errors import (
    bound_parts,
    memorised,
    noise_error_curve,
    schedule_bounds,
    worse_than_linear,
)
from core.schedules import ALL_NAMES, make_schedule
from tests.support.networks import load, process

SIZE = 8


def draw(count: int, seed: int) -> np.ndarray:
    """Images of one brightness each, with independent noise: two different eigenvalues."""
    rng = np.random.default_rng(seed)
    images = 128 + 30 * rng.normal(size=(count, 1, 1, 1)) + 12 * rng.normal(size=(count, 1, SIZE, SIZE))
    return images.clip(0, 255).astype(np.uint8)


TRAIN, HELDOUT = draw(600, 0), draw(200, 1)


def linear_network(diffusion, *, wrong_below=-np.inf):
    """The linear denoiser of the images as a network that predicts x0; at low log SNR it predicts black."""
    rows = torch.from_numpy(TRAIN.reshape(len(TRAIN), -1) / 127.5 - 1)
    mean, (variances, vectors) = rows.mean(0), torch.linalg.eigh(rows.T.cov(correction=0))
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy())
    wrong = torch.from_numpy(diffusion.schedule.log_snr < wrong_below)

    def network(xt, t):
        level = abar[t][:, None]
        gain = level.sqrt() * variances / (level * variances + 1 - level)
        x0 = mean + ((xt.flatten(1).double() - level.sqrt() * mean) @ vectors * gain) @ vectors.T
        return torch.where(wrong[t][:, None], -1.0, x0).to(xt).view_as(xt)

    return network


def measure(diffusion, network, train=TRAIN) -> Evaluation:
    metrics, curves = noise_error(load(diffusion, network, size=SIZE), HELDOUT, train)
    return Evaluation(
        created="", dataset="", count=1, heldout=len(HELDOUT), metrics=metrics, curves=curves, clip="none"
    )


@pytest.fixture(scope="module")
def best() -> Evaluation:
    """Noise errors of the best linear network."""
    diffusion = process(60, prediction_type="sample")
    return measure(diffusion, linear_network(diffusion))


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_predicted_bound_is_the_exact_one(best, variance):
    diffusion = process(60, prediction_type="sample", variance=variance)
    network, found = linear_network(diffusion), best
    predicted = bound_parts(found, diffusion.schedule, variance)
    exact = likelihood(load(diffusion, network, size=SIZE), HELDOUT, terms=59).metrics
    assert predicted is not None
    assert predicted.middle == pytest.approx(exact["middle_bits"].value, rel=0.02)
    assert predicted.decoder == pytest.approx(exact["decoder_bits"].value, rel=0.01)
    assert predicted.prior == pytest.approx(exact["prior_bits"].value, rel=1e-6)


def test_the_metrics_are_the_parts_of_the_runs_own_bound(best):
    predicted = bound_parts(best, process(60).schedule, "beta")
    metrics = best.metrics
    assert metrics["network_bits"].value == pytest.approx(predicted.network)
    assert metrics["step_bits"].value == pytest.approx(predicted.steps)
    assert metrics["variance_bits"].value == pytest.approx(predicted.variance)
    low, high = metrics["network_bits"].low, metrics["network_bits"].high
    assert low < predicted.network < high


def test_a_network_is_compared_with_the_linear_denoiser_in_pairs(best):
    diffusion = process(60, prediction_type="sample")
    assert best.curves["noise_error"] == pytest.approx(best.curves["noise_error.linear"], rel=0.01)
    assert worse_than_linear(best) == []
    assert best.metrics["linear_log_snr"].value is None
    wrong = measure(diffusion, linear_network(diffusion, wrong_below=-2.0))
    (failing,) = worse_than_linear(wrong)
    assert wrong.metrics["linear_log_snr"].value == failing[1]
    assert failing[0] == best.curves["noise_error.x"][0]
    assert -2.6 < failing[1] < -2.0


def test_a_network_that_knows_its_few_images_memorises():
    diffusion, train = process(40, prediction_type="sample"), TRAIN[:30]
    rows = torch.from_numpy(train.reshape(30, -1) / 127.5 - 1).float()
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy()).float()

    def ideal(xt, t):
        level = abar[t[0]]
        distances = (xt.flatten(1)[:, None] - level.sqrt() * rows).square().sum(-1)
        return ((-distances / (2 * (1 - level))).softmax(1) @ rows).view_as(xt)

    found = measure(diffusion, ideal, train)
    assert memorised(found)[-1][1] == found.curves["noise_error.x"][-1]
    training = np.array(found.curves["noise_error.train"])
    assert training == pytest.approx(found.curves["noise_error.ideal"], rel=1e-3, abs=1e-5)
    assert found.metrics["memorised_bits"].low > 0


def test_levels_are_even_from_the_last_timestep_that_has_a_signal_to_the_first():
    schedule = make_schedule("cosine", timesteps=300, zero_terminal_snr=True)
    chosen = noise_error_timesteps(schedule.log_snr)
    assert [chosen[0], chosen[-1]] == [298, 0]
    gaps = np.diff(schedule.log_snr[chosen])
    assert gaps.min() > 0
    assert list(noise_error_timesteps(np.array([-np.inf]))) == []


def test_a_diverged_network_and_old_evaluations_have_no_curves():
    diffusion = process(20, prediction_type="sample")
    found = measure(diffusion, lambda xt, t: torch.full_like(xt, torch.nan))
    assert found.metrics["network_bits"].value is None
    assert noise_error_curve(found) is None
    assert bound_parts(found, diffusion.schedule, "beta") is None
    assert schedule_bounds(found, ScheduleConfig()) == []


def test_the_bound_is_predicted_for_every_built_in_schedule(best):
    own = ScheduleConfig(timesteps=60, beta_start=0.01, beta_end=0.3)
    found = schedule_bounds(best, own)
    assert [bound.name for bound in found] == [name for name in ALL_NAMES if name != "custom"]
    assert [bound.own for bound in found] == [True, *[False] * 8]
    assert [bound.name for bound in found if bound.extrapolated] == ["cosine", "flow", "edm"]
    for bound in found:
        assert bound.parts["optimal"].total <= min(part.total for part in bound.parts.values()) + 1e-9
