"""True against predicted noise: networks whose errors are known."""

import numpy as np
import torch

from core.evaluation.metrics.predicted_noise import CELLS, LIMIT, noise_histograms
from tests.support.networks import load, process

GREY = np.full((8, 1, 16, 16), 0.5)


def test_a_network_that_knows_the_noise_is_on_the_diagonal_and_one_that_predicts_half_of_it_is_half_as_wide() -> (
    None
):
    diffusion = process(60, beta_start=1e-4)
    x0 = 2.0 * 128 / 255 - 1.0  # the grey of these images

    def noise(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = diffusion.alpha_sigma(int(t[0]))
        return (xt - alpha * x0) / sigma

    exact = noise_histograms(load(diffusion, noise, size=16), GREY, levels=(2.0, -2.0))
    half = noise_histograms(load(diffusion, lambda xt, t: noise(xt, t) / 2, size=16), GREY, levels=(2.0,))
    for one, level in zip(exact, (2.0, -2.0), strict=True):
        assert one is not None
        assert abs(one.log_snr - level) < 0.5
        assert one.error < 1e-10
        # Rounding may put a value at the edge of a cell into its neighbour.
        assert np.trace(one.counts) > 0.99 * one.counts.sum()
        assert one.counts.sum() == GREY.size
        assert one.true.sum() * 2 * LIMIT / CELLS == 1.0
    assert half[0] is not None
    assert exact[0] is not None
    eps = exact[0].true, half[0].predicted
    x = (np.arange(CELLS) + 0.5) * 2 * LIMIT / CELLS - LIMIT
    true, predicted = (np.sqrt((density * x**2).sum() * 2 * LIMIT / CELLS) for density in eps)
    np.testing.assert_allclose(predicted / true, 0.5, atol=0.01)
    np.testing.assert_allclose(half[0].error, true**2 / 4, rtol=0.01)


def test_a_level_beyond_the_end_of_the_schedule_is_left_out() -> None:
    loaded = load(process(20), lambda xt, t: xt)
    low = float(loaded.diffusion.schedule.log_snr[-1])
    near, far = noise_histograms(loaded, np.zeros((1, 1, 4, 4)), levels=(low - 0.4, low - 0.6))
    assert near is not None
    assert near.timestep == 19
    assert far is None
