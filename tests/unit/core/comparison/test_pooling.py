"""Estimates pooled over seeds, and differences beyond noise, against closed forms and scipy."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from core.comparison.pooling import Score, differences, holm, pool
from core.statistics.estimate import Estimate
from core.statistics.student_t import quantile, two_sided_p

Z = stats.norm.ppf(0.975)


def share(successes: int, trials: int) -> Estimate:
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def test_one_run_alone_keeps_its_own_interval():
    (score,) = pool([[Estimate(0.5, 0.4, 0.7)]])
    assert score == Score(Estimate(0.5, 0.4, 0.7), pytest.approx(0.1 / Z), pytest.approx(0.2 / Z), math.inf)


def test_a_run_without_interval_has_no_error():
    (score,) = pool([[Estimate(0.5)]])
    assert score == Score(Estimate(0.5), None, None, math.inf)
    (score,) = pool([[Estimate(0.5, 0.4, None)]])
    assert score is not None
    assert (score.error_below, score.error_above) == (pytest.approx(0.1 / Z), None)


def test_runs_without_a_value_are_passed_over():
    assert pool([[], [Estimate(None)], [Estimate(math.nan)], [Estimate(math.inf)]]) == [None] * 4
    (score,) = pool([[Estimate(None), Estimate(3.0, 2.0, 4.0)]])
    assert score is not None
    assert score.estimate == Estimate(3.0, 2.0, 4.0)


def test_seeds_of_one_group_give_students_interval():
    values = [1.0, 1.4, 1.1]
    (score,) = pool([[Estimate(value) for value in values]])
    assert score is not None
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert score.estimate.value == pytest.approx(np.mean(values))
    assert (score.estimate.low, score.estimate.high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert score.df == 2


def test_groups_without_image_noise_have_the_pooled_error_of_a_one_way_analysis():
    groups = [[1.0, 2.0], [5.0, 5.5, 6.2], [9.0]]
    scores = pool([[Estimate(value) for value in group] for group in groups])
    squares = sum(((np.array(group) - np.mean(group)) ** 2).sum() for group in groups)
    for group, score in zip(groups, scores, strict=True):
        assert score is not None
        half = stats.t.ppf(0.975, 3) * math.sqrt(squares / 3 / len(group))
        assert score.estimate.high == pytest.approx(np.mean(group) + half)
        assert score.estimate.low == pytest.approx(np.mean(group) - half)


def test_seeds_closer_than_their_images_noise_allows_leave_the_noise_of_the_images():
    (score,) = pool([[Estimate(1.0, 0.0, 2.0), Estimate(1.01, 0.01, 2.01)]])
    assert score is not None
    assert score.error_above == pytest.approx(1 / Z / math.sqrt(2))


def test_the_noise_of_images_is_not_counted_twice():
    within, spread = 0.3, 1.0
    pair = [Estimate(v, v - Z * within, v + Z * within) for v in (0.0, spread)]
    (score,) = pool([pair])
    assert score is not None
    assert score.error_above == pytest.approx(math.sqrt(spread**2 / 2 / 2))


def test_intervals_of_shares_stay_shares():
    (score,) = pool([[Estimate(0.9), Estimate(1.0)]], share=True)
    assert score is not None
    assert score.estimate.high == 1.0
    assert score.estimate.low == pytest.approx(0.95 - 12.7062 * 0.05, rel=1e-5)
    assert score.error_above == pytest.approx(0.05)


def test_pooled_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        truth = [0.0, 1.0, 2.0, 3.0, 4.0]
        groups = []
        for mean in truth:
            values = mean + rng.normal(0, 0.2, 2) + rng.normal(0, 0.1, 2)
            groups.append([Estimate(v, v - 0.196, v + 0.196) for v in values.tolist()])
        for mean, score in zip(truth, pool(groups), strict=True):
            assert score is not None
            assert score.estimate.low is not None
            assert score.estimate.high is not None
            held += score.estimate.low <= mean <= score.estimate.high
    assert 0.93 <= held / 1500 <= 0.985


def score_of(estimate: Estimate) -> Score:
    (score,) = pool([[estimate]])
    assert score is not None
    return score


def difference(one: Score, other: Score) -> tuple[Estimate, float] | None:
    (found,) = differences([one, other], np.array([0]), np.array([1])).tolist()
    return None if math.isnan(found[3]) else (Estimate(*found[:3]), found[3])


def test_the_difference_of_two_shares_is_newcombes():
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80.
    found = difference(score_of(share(56, 70)), score_of(share(48, 80)))
    assert found is not None
    estimate, p = found
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low == pytest.approx(0.0524, abs=5e-5)
    assert estimate.high == pytest.approx(0.3339, abs=5e-5)
    assert 0.005 < p < 0.05


def test_a_difference_turned_round_is_the_same_but_for_its_sign():
    one, other = score_of(Estimate(2.0, 1.0, 2.5)), score_of(Estimate(1.0, 0.9, 1.8))
    there, back = difference(one, other), difference(other, one)
    assert there is not None
    assert back is not None
    assert there[1] == pytest.approx(back[1])
    assert back[0] == Estimate(
        pytest.approx(-1.0), pytest.approx(-there[0].high), pytest.approx(-there[0].low)
    )


def test_the_p_of_two_groups_of_seeds_is_students():
    one, other = [1.0, 1.2, 1.5], [2.0, 2.6, 2.2]
    first, second = pool([[Estimate(v) for v in one], [Estimate(v) for v in other]])
    assert first is not None
    assert second is not None
    found = difference(first, second)
    expected = stats.ttest_ind(one, other)
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found[1] == pytest.approx(expected.pvalue)
    assert (found[0].low, found[0].high) == (pytest.approx(interval.low), pytest.approx(interval.high))


@pytest.mark.parametrize("other", [Estimate(1.0), Estimate(1.0, None, 2.0)])
def test_a_difference_from_what_has_no_error_is_unknown(other):
    assert difference(score_of(other), score_of(Estimate(0.0, -1.0, 1.0))) is None
    assert difference(score_of(Estimate(0.0, -1.0, 1.0)), score_of(other)) is None


def test_values_without_any_noise_cannot_be_told_apart():
    assert difference(score_of(Estimate(1.0, 1.0, 1.0)), score_of(Estimate(0.0, 0.0, 0.0))) is None


def test_holm_gives_the_numbers_of_r():
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_of_many_is_the_maximum_of_what_smaller_p_values_are_corrected_to():
    rng = np.random.default_rng(3)
    for power in (0.1, 1, 3, 30):
        p = np.round(rng.random(200) ** power, 4)  # rounded, so that some are equal
        ordered = sorted(p)
        expected = [
            min(1.0, max((200 - rank) * other for rank, other in enumerate(ordered) if other <= one))
            for one in p
        ]
        assert holm(p).tolist() == expected


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 15, 30, 101, 5000, math.inf])
def test_the_distributions_are_those_of_scipy(df: float) -> None:
    known = stats.norm if math.isinf(df) else stats.t(df)
    for statistic in (0.0, 0.01, 0.3, -1.0, 1.96, 3.0, -8.0, 37.0, math.inf):
        assert two_sided_p(statistic, df) == pytest.approx(
            2 * known.sf(abs(statistic)), rel=1e-10, abs=1e-300
        )
    for confidence in (0.01, 0.5, 0.9, 0.95, 0.999):
        assert quantile(confidence, df) == pytest.approx(known.ppf(0.5 + confidence / 2), rel=1e-9)


def test_a_comparison_does_not_wait_for_scipy() -> None:
    program = "import core.comparison.compare, core.cli.compare_text, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"scipy", "torch"} & set(done.stdout.split())
