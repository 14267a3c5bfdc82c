"""L_0 from binned errors, against the decoder of each single pixel."""

import numpy as np
import pytest
from scipy.special import log_ndtr

from core.schedules import make_schedule
from core.statistics.decoder_errors import DecoderErrors, _log_ndtr
from core.statistics.noise_error import NoiseErrorCurve


def test_the_bins_give_the_bits_of_the_single_pixels() -> None:
    rng = np.random.default_rng(0)
    levels = np.where(rng.random(20_000) < 0.7, 0, rng.integers(0, 256, 20_000))
    x0 = levels / 127.5 - 1
    predicted = (x0 + 0.01 * rng.standard_t(3, size=len(x0))).clip(-1, 1)
    schedule = make_schedule("linear", timesteps=300)
    log_snr = schedule.log_snr[[-1, 0]]
    curve = NoiseErrorCurve(log_snr, *(np.array([0.001, 0.5]),) * 3)
    errors = DecoderErrors.from_errors(float(log_snr[-1]), x0, predicted)
    assert errors.extreme.sum() + errors.inner.sum() == pytest.approx(1)

    sigma = float(np.sqrt(schedule.betas[0]))
    upper, lower = ((x0 - predicted + half) / sigma for half in (1 / 255, -1 / 255))
    upper, lower = np.where(levels == 255, np.inf, upper), np.where(levels == 0, -np.inf, lower)
    mirror = lower > 0
    upper, lower = np.where(mirror, -lower, upper), np.where(mirror, -upper, lower)
    exact = -np.mean(log_ndtr(upper) + np.log(-np.expm1(log_ndtr(lower) - log_ndtr(upper)))) / np.log(2)
    assert errors.bits(curve, schedule) == pytest.approx(exact, rel=5e-3)
    assert errors.bits(curve, schedule, "optimal") < errors.bits(curve, schedule)


def test_the_logarithm_of_the_normal_distribution_is_that_of_scipy() -> None:
    x = np.linspace(-60, 9, 139)
    assert _log_ndtr(x) == pytest.approx(log_ndtr(x), rel=1e-6, abs=1e-16)
