"""Intervals against scipy, closed forms, and their coverage of 95%."""

import math

import numpy as np
import pytest
from scipy import stats

from core.statistics.estimate import Estimate
from core.statistics.intervals import mean, mean_proportion, median, proportion, wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (1, 1), (95, 100), (13, 2000)])
def test_a_share_has_wilsons_interval(successes: int, trials: int) -> None:
    found = proportion(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert found.value == successes / trials
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_a_share_of_nothing_is_undefined() -> None:
    assert proportion(0, 0) == Estimate(None)


def test_without_trials_wilsons_interval_is_everything() -> None:
    low, high = wilson([0, 3], [0, 3])
    assert (low[0], high[0]) == (0, 1)
    assert high[1] == 1


def test_the_mean_share_of_one_group_is_almost_its_share() -> None:
    found, expected = mean_proportion([70], [200]), proportion(70, 200)
    assert found.value == expected.value
    assert found.low == pytest.approx(expected.low, abs=1e-3)
    assert found.high == pytest.approx(expected.high, abs=1e-3)


def test_groups_weigh_alike_however_large() -> None:
    assert mean_proportion([1000, 0], [1000, 10]).value == 0.5


def test_a_missing_group_counts_as_nothing_but_may_be_anything() -> None:
    whole, missing = mean_proportion([50, 50], [100, 100]), mean_proportion([50, 0], [100, 0])
    assert missing.value == 0.25
    assert whole.value == 0.5
    assert missing.high is not None
    # Had the other group succeeded always, the mean would be three quarters.
    assert missing.high >= 0.75
    assert missing.low is not None
    assert missing.low > 0.15


def test_the_mean_share_of_empty_groups_may_be_anything() -> None:
    assert mean_proportion([0, 0], [0, 0]) == Estimate(0.0, 0.0, 1.0)
    assert mean_proportion([], []) == Estimate(None)


@pytest.mark.parametrize("shares", [[0.95] * 10, [0.5] * 10, [0.02] * 10, [0.05, 0.9, 0.5, 0.3, 0.7] * 2])
@pytest.mark.parametrize("size", [100, 900])
def test_intervals_of_mean_shares_hold_the_truth(shares: list[float], size: int) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        trials = rng.multinomial(size, [0.1] * 10)
        found = mean_proportion(rng.binomial(trials, shares), trials)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= np.mean(shares) <= found.high
    # Three standard errors of 400 trials at 0.95 are 0.033.
    assert held / 400 > 0.917


def test_a_mean_has_students_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, 25)
    found = mean(values)
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_a_mean_leaves_out_what_is_not_known() -> None:
    assert mean([1.0, math.nan, 3.0]) == mean([1.0, 3.0])


def test_means_of_one_number_and_of_none() -> None:
    assert mean([2.5]) == Estimate(2.5)
    assert mean([]) == Estimate(None)
    assert mean([math.nan]) == Estimate(None)


@pytest.mark.parametrize("count", [6, 7, 50, 501])
def test_a_median_has_the_interval_of_order_statistics(count: int) -> None:
    values = np.random.default_rng(count).exponential(1, count)
    found = median(values)
    expected = stats.quantile_test(values, q=float(np.median(values)), p=0.5).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == (np.median(values), expected.low, expected.high)


def test_a_median_of_few_numbers_has_no_interval() -> None:
    assert median([1.0, 2.0, math.nan, 9.0]) == Estimate(2.0)
    assert median([]) == Estimate(None)


def test_an_infinite_end_of_a_median_is_unknown() -> None:
    found = median([*range(20), *[math.inf] * 14])
    assert found.value == 16.5
    assert found.low is not None
    assert found.high is None
    assert median([1.0, math.inf, math.inf]) == Estimate(None)
