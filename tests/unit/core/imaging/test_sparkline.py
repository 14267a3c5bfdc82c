"""A series as one line of text: safe with NaN, infinities, zeros, and any length."""

import math

import numpy as np
import pytest

from core.imaging.sparkline import BARS, sparkline


def test_bars_grow_with_the_values() -> None:
    assert sparkline(range(8), 8, log=False) == BARS
    assert sparkline([2.0**k for k in range(8)], 8) == BARS
    assert sparkline([2.0**k for k in range(8)], 8, log=False) == "▁▁▁▁▂▃▄█"


def test_an_empty_series_or_no_room_draws_nothing() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([1, 2], 0) == ""
    assert sparkline([1, 2], -3) == ""


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("value", [3.0, 0.0, -2.0, 1e-300, 1e308])
def test_a_constant_series_is_a_line_in_the_middle(value: float, log: bool) -> None:
    assert sparkline([value] * 5, 9, log=log) == "▄▄▄▄▄"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_dot_and_does_not_affect_others(bad: float) -> None:
    assert sparkline([4, bad, 1], 5) == "█·▁"
    assert sparkline([bad, bad], 5) == "··"
    assert sparkline([bad], 5, log=False) == "·"


def test_a_bucket_with_a_nan_in_it_is_a_dot() -> None:
    series = np.ones(100)
    series[55] = math.nan
    assert sparkline(series, 10) == "▄▄▄▄▄·▄▄▄▄"


def test_values_without_a_logarithm_lie_lowest() -> None:
    assert sparkline([0, 1, 100, -5], 4) == "▁▁█▁"
    assert sparkline([-1, 0], 4) == "▄▄"


def test_longer_series_become_means_of_equal_shares() -> None:
    assert sparkline([0, 2, 7, 7], 2, log=False) == "▁█"
    assert len(sparkline(np.arange(1000.0), 7)) == 7
    assert sparkline(np.repeat(np.arange(8.0), 125_000), 8, log=False) == BARS


def test_a_width_that_does_not_divide_the_length_uses_every_value() -> None:
    for length in range(1, 40):
        for width in range(1, 12):
            text = sparkline(np.arange(1.0, length + 1), width)
            assert len(text) == min(length, width)
            assert list(text) == sorted(text)


def test_huge_numbers_do_not_overflow() -> None:
    assert sparkline([-1.7e308, 0, 1.7e308], 3, log=False) == "▁▅█"
    assert sparkline([1.7e308] * 4 + [1e308] * 4, 2, log=False) == "█▁"
