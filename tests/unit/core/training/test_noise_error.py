"""Noise-prediction error by log SNR, from the losses of training steps."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from core.diffusion.gaussian import PREDICTION_TYPES, GaussianDiffusion
from core.schedules import make_schedule
from core.statistics.noise_error_bins import BINS, EDGES, NoiseErrorBins
from core.training.noise_error import SUMS, NoiseErrorRecorder, NoiseErrorSums

CPU = torch.device("cpu")


def step(
    prediction_type: str, *, zero_snr: bool = False
) -> tuple[GaussianDiffusion, tuple[torch.Tensor, ...]]:
    """A step of 64 images whose predictions are wrong by a little: loss, losses, timesteps, and m of each image."""
    schedule = make_schedule(name="linear", timesteps=100, zero_terminal_snr=zero_snr)
    diffusion = GaussianDiffusion(schedule, prediction_type=prediction_type)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    x0, eps, error = torch.randn(3, 64, 1, 4, 4, generator=generator, dtype=torch.float64)
    t = torch.randint(100, (64,), generator=generator)
    output = diffusion.target(x0, eps, t) + 0.1 * error
    losses = diffusion.loss(output, x0, eps, t)
    m = (eps - diffusion.predict_eps(output, diffusion.q_sample(x0, t, eps), t)).square().mean((1, 2, 3))
    return diffusion, (losses.mean(), losses, t, m)


def bins_of(*records: torch.Tensor) -> NoiseErrorBins:
    sums = NoiseErrorSums()
    sums.add(torch.stack(records).numpy()[:, 1:])
    return sums.bins()


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_error_of_the_noise_follows_from_the_loss_of_every_prediction_type(prediction_type: str) -> None:
    diffusion, (loss, losses, t, m) = step(prediction_type)
    record = NoiseErrorRecorder(diffusion, CPU).record(loss, losses, t)
    assert float(record[0]) == pytest.approx(float(loss))
    bins = bins_of(record)
    log_snr = diffusion.schedule.log_snr[t.numpy()]
    for index, (low, high) in enumerate(pairwise(EDGES)):
        inside = (low <= log_snr) & (log_snr < high)
        assert bins.images[index] == inside.sum()
        if inside.any():
            assert bins.error[index] == pytest.approx(float(m[torch.from_numpy(inside)].mean()), rel=1e-5)
            assert bins.log_snr[index] == pytest.approx(log_snr[inside].mean(), rel=1e-5)
    assert sum(bins.images) == 64


def test_levels_beyond_the_bins_are_in_the_outermost_and_pure_noise_is_in_none() -> None:
    diffusion, (loss, *_) = step("v_prediction", zero_snr=True)
    t = torch.arange(100)
    bins = bins_of(NoiseErrorRecorder(diffusion, CPU).record(loss, torch.ones(100), t))
    assert sum(bins.images) == 99
    assert np.isfinite(bins.errors_by_bin()).sum() == np.count_nonzero(bins.images)
    log_snr, error = bins.curve()
    assert (np.diff(log_snr) > 0).all()
    assert ((error > 0) & (error <= 1)).all()  # v_hat - v is scaled by abar


def test_records_of_several_processes_add_up_to_that_of_one() -> None:
    diffusion, (loss, losses, t, _) = step("epsilon")
    recorder = NoiseErrorRecorder(diffusion, CPU)
    whole = recorder.record(loss, losses, t)
    shards = [recorder.record(loss / 2, losses[part], t[part]) for part in (slice(0, 30), slice(30, 64))]
    torch.testing.assert_close(shards[0] + shards[1], whole)
    copies = [recorder.record(loss / 2, losses, t, copies=2) for _ in range(2)]
    torch.testing.assert_close(copies[0] + copies[1], whole)


def test_sums_continue_from_a_checkpoint_bit_for_bit_and_start_over_from_an_older_one() -> None:
    records = torch.rand(7, SUMS, generator=torch.Generator().manual_seed(1)).numpy()
    whole, first = NoiseErrorSums(), NoiseErrorSums()
    whole.add(records)
    first.add(records[:3])
    second = NoiseErrorSums(first.state())
    second.add(records[3:5])
    second.add(records[5:])
    assert second.state() == whole.state()
    assert NoiseErrorSums([]).bins().images == (0,) * BINS
