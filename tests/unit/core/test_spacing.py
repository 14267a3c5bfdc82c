"""Spacing of timesteps: their number, their order, and the coordinate in which they are even."""

import itertools
import math

import numpy as np
import pytest

from core.errors import UserError
from core.sampling_names import SPACINGS
from core.schedules import make_schedule
from core.spacing import inference_timesteps


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "sine", "x^10"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_as_many_descending_timesteps_are_chosen_as_there_are_steps(spacing, schedule, zero_terminal_snr):
    log_snr = make_schedule(schedule, timesteps=30, zero_terminal_snr=zero_terminal_snr).log_snr
    for begin in (0, 1, 2, 29):
        for steps in range(1, begin + 2):
            chosen = inference_timesteps(30, steps, begin, spacing=spacing, log_snr=log_snr)
            assert chosen[0] == begin
            assert len(chosen) == steps
            assert all(t > s >= 0 for t, s in itertools.pairwise(chosen))
    assert inference_timesteps(30, spacing=spacing, log_snr=log_snr) == list(range(29, -1, -1))


@pytest.mark.parametrize(
    ("spacing", "coordinate"),
    [
        ("logsnr", lambda rising: rising),
        ("karras", lambda rising: -np.exp(-rising / 7)),
        ("cosine", lambda rising: np.arcsin(np.sqrt(1 / (1 + np.exp(-2 * rising)))) ** (2 / 3)),
        ("decay", lambda rising: -np.log(0.03 + np.log(1 + np.exp(-2 * rising)))),
    ],
)
def test_steps_are_even_in_the_coordinate_of_their_spacing(spacing, coordinate):
    for name, first in (("linear", 0), ("cosine", 1)):
        log_snr = make_schedule(name).log_snr
        chosen = inference_timesteps(1000, 10, spacing=spacing, log_snr=log_snr)
        # The last step ends at timestep 0, next to the image. The step out of pure noise is left out.
        steps = np.diff(coordinate(0.5 * log_snr[[*chosen[first:], 0]]))
        np.testing.assert_allclose(steps, steps.mean(), rtol=0.05)
        assert 0.5 * log_snr[chosen[first]] >= -math.log(160)


def test_an_unknown_spacing_is_refused():
    with pytest.raises(
        UserError, match="unknown spacing 'sigma'; expected one of uniform, logsnr, karras, cosine, decay"
    ):
        inference_timesteps(10, spacing="sigma", log_snr=np.zeros(10))
    with pytest.raises(ValueError, match="spacing karras needs log_snr"):
        inference_timesteps(10, spacing="karras")


@pytest.mark.parametrize(("begin", "steps"), [(0, None), (0, 1), (9, 3), (23, 5)])
def test_timesteps_from_a_start_are_those_of_a_shorter_process(begin, steps):
    chosen = inference_timesteps(24, steps, begin)
    assert chosen[0] == begin
    assert chosen == inference_timesteps(begin + 1, steps)
