"""The bound predicted from a noise error curve, against closed forms."""

import math

import numpy as np
import pytest

from core.schedules import Schedule, make_schedule
from core.statistics.linear_denoiser import linear_noise_error
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.predicted_bound import middle_terms, predicted_bound

VARIANCES = np.array([0.1, 0.1])


def _curve() -> NoiseErrorCurve:
    levels = np.linspace(-12, 12, 1001)
    error = linear_noise_error(VARIANCES, levels)
    return NoiseErrorCurve(levels, error, error, error)


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize(
    ("name", "timesteps"), [("linear", 300), ("x^10", 50), ("cosine", 20), ("linear", 1)]
)
def test_the_best_variance_makes_the_bound_of_a_gaussian_exact(
    name: str, timesteps: int, zero_terminal_snr: bool
) -> None:
    schedule = make_schedule(name, timesteps=timesteps, zero_terminal_snr=zero_terminal_snr and timesteps > 1)
    e = float(VARIANCES[0])
    parts = predicted_bound(_curve(), schedule, variance="optimal", mean_square=e)
    # The reverse steps are exact, so the bound is I(x_0; x_1) plus the divergence of x_T from N(0, I).
    last = schedule.terminal_alpha_bar * e + float(schedule.one_minus_alphas_cumprod[-1])
    exact = 0.5 * (math.log(1 + schedule.snr[0] * e) + last - 1 - math.log(last)) / math.log(2)
    assert parts.prior + parts.middle == pytest.approx(exact, rel=1e-4)


def test_the_network_part_is_the_mutual_information_of_the_first_and_the_last_timestep() -> None:
    schedule = make_schedule("linear", timesteps=300)
    information = 0.5 * np.log2(1 + schedule.snr * float(VARIANCES[0]))
    assert predicted_bound(_curve(), schedule).network == pytest.approx(
        information[0] - information[-1], rel=1e-4
    )


def test_more_steps_leave_the_network_part_and_cost_less() -> None:
    fine = make_schedule("cosine", timesteps=1000)
    levels = fine.alphas_cumprod[[*range(0, 999, 37), 999]]
    coarse = Schedule("coarse", 1 - levels / np.append(1.0, levels[:-1]))
    parts = [predicted_bound(_curve(), schedule, variance="beta_tilde") for schedule in (fine, coarse)]
    assert parts[0].network == pytest.approx(parts[1].network, rel=1e-3)
    assert parts[0].variance == parts[1].variance == 0
    assert 0 < parts[0].steps < parts[1].steps


def test_the_best_variance_costs_least_in_every_term() -> None:
    schedule = make_schedule("sigmoid", timesteps=100)
    best = middle_terms(_curve(), schedule, "optimal")
    for variance in ("beta", "beta_tilde"):
        assert (best <= middle_terms(_curve(), schedule, variance) + 1e-15).all()
