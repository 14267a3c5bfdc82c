"""At which noise levels a training looks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.testing import assert_close

from core.schedules import Schedule, make_schedule
from core.training.timestep_sampler import TimestepSampler, timestep_cdf

CPU = torch.device("cpu")
SCHEDULES = ("linear", "sine", "x^1.5", "x^10", "cosine", "sigmoid")


def source(name: str = "linear", levels: str = "cosine", *, timesteps: int = 1000, stratified: bool = False):
    return TimestepSampler(
        make_schedule(name, timesteps=timesteps), levels, stratified=stratified, device=CPU
    )


def test_stratified_uniform_timesteps_fall_one_into_each_stratum():
    t = source(levels="uniform", timesteps=20, stratified=True).sample(20, torch.Generator().manual_seed(0))
    assert (t.sort().values == torch.arange(20)).all()


def test_uniform_timesteps_are_torch_s_own_so_that_old_runs_go_on_as_they_began():
    drawn = source(levels="uniform").sample(50, torch.Generator().manual_seed(3))
    assert_close(drawn, torch.randint(1000, (50,), generator=torch.Generator().manual_seed(3)))


def test_under_the_cosine_schedule_its_own_levels_are_uniform_timesteps():
    weights = timestep_cdf(make_schedule("cosine"))
    assert_allclose(weights, np.arange(1, 1001) / 1000, atol=0.01)


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_has_the_density_of_a_hyperbolic_secant_under_every_schedule(name):
    schedule = make_schedule(name)
    t = source(name, stratified=True).sample(20_000, torch.Generator().manual_seed(0))
    log_snr = torch.from_numpy(schedule.log_snr.copy())

    def below(level: float) -> float:
        """The integral of sech(x / 2) / (2 pi) up to a level, by another formula than the code's."""
        return 0.5 + float(np.arctan(np.tanh(level / 4))) * 2 / np.pi

    top, bottom = below(schedule.log_snr[0]), below(schedule.log_snr[-1])
    for level in (4.0, 2.0, 1.0):
        expected = 0.95 * (top - below(level)) / (top - bottom) + 0.05 * float(
            (schedule.log_snr > level).mean()
        )
        assert float((log_snr[t] > level).double().mean()) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_no_timestep_is_left_out(name, stratified):
    t = source(name, timesteps=50, stratified=stratified).sample(40_000, torch.Generator().manual_seed(0))
    assert set(t.tolist()) == set(range(50))


def test_pure_noise_at_the_end_is_looked_at_too():
    schedule = make_schedule("linear", timesteps=100).rescaled_to_zero_terminal_snr()
    weights = timestep_cdf(schedule)
    assert np.isfinite(weights).all()
    assert np.diff(weights).min() > 0
    assert weights[-1] == 1


def test_a_single_timestep_is_drawn_always():
    schedule = Schedule("one", np.array([0.3]))
    t = TimestepSampler(schedule, "cosine", stratified=True, device=CPU).sample(
        9, torch.Generator().manual_seed(0)
    )
    assert t.tolist() == [0] * 9


@pytest.mark.parametrize("levels", ["uniform", "cosine"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_timesteps_that_are_spread_are_what_is_drawn_without_the_chance(name, levels):
    spread = source(name, levels).evenly_spaced(500)
    assert (spread.diff() >= 0).all()
    drawn = source(name, levels).sample(40_000, torch.Generator().manual_seed(0))
    shares = [torch.bincount(t, minlength=1000).cumsum(0) / len(t) for t in (spread, drawn)]
    assert_close(shares[0], shares[1], rtol=0, atol=0.015)


def test_uniform_timesteps_that_are_spread_are_each_of_them_in_turn():
    assert source(levels="uniform").evenly_spaced(1000).tolist() == list(range(1000))
    assert source(levels="uniform").evenly_spaced(10).tolist() == list(range(50, 1000, 100))
