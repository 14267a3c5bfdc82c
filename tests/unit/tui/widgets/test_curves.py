"""Curves from losses: exact buckets, lines through them, ticks, and the sparkline."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from core.imaging.sparkline import sparkline
from core.runs.decimate import minmax_buckets
from tui.widgets.charts.binning import (
    column_edges,
    connected,
    dashed,
    envelope,
    interpolate_gaps,
    interpolate_points,
    smoothed,
)
from tui.widgets.charts.canvas import GUTTER, label_margin, place_labels
from tui.widgets.charts.decimation import BLOCK, BucketedSeries
from tui.widgets.charts.sparkline import loss_sparkline
from tui.widgets.charts.ticks import linear_ticks, log_ticks, value_label


def brute_force(
    x: NDArray[np.float64], y: NDArray[np.float64], edges: NDArray[np.float64]
) -> list[list[float]]:
    """The expected buckets, one column at a time: low, high, mean, finite, total."""
    rows = []
    for column, (left, right) in enumerate(itertools.pairwise(edges)):
        inside = (x >= left) & ((x < right) | ((column == len(edges) - 2) & (x == right)))
        good = y[inside][np.isfinite(y[inside])]
        values = [good.min(), good.max(), good.mean()] if len(good) else [np.nan] * 3
        rows.append([*values, len(good), int(inside.sum())])
    return rows


@pytest.mark.parametrize("length", [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17, 20_000])
@pytest.mark.parametrize("log", [False, True])
def test_buckets_are_exact_however_the_series_came_to_be(length: int, log: bool) -> None:
    rng = np.random.default_rng(length)
    x, y = np.arange(1.0, length + 1), rng.exponential(size=length)
    y[rng.random(length) < 0.05] = np.nan
    y[rng.random(length) < 0.01] = np.inf
    series = BucketedSeries()
    for part in (length // 3, length // 2, length):
        series.update(x[:part], y[:part])
    for columns_wanted in (1, 7, 150):
        edges = column_edges(1.0, float(max(length, 2)), columns_wanted, log=log)
        np.testing.assert_allclose(
            np.stack(series.buckets(edges), axis=1), brute_force(x, y, edges), rtol=1e-12
        )


def test_buckets_agree_with_those_of_the_run_reader() -> None:
    x, y = np.arange(1.0, 5001), np.random.default_rng(1).exponential(size=5000)
    series = BucketedSeries()
    series.update(x, y)
    ours = series.buckets(np.linspace(1, 5000, 81))
    low, high, mean = minmax_buckets(x, y, 80)
    np.testing.assert_array_equal(ours.low, low)
    np.testing.assert_array_equal(ours.high, high)
    np.testing.assert_allclose(ours.mean, mean)


def test_a_series_that_was_replaced_is_processed_again() -> None:
    series, edges = BucketedSeries(), np.array([0.0, 5000.0])
    x = np.arange(1.0, 4001)
    series.update(x, np.ones(4000))
    series.update(x, np.full(4000, 2.0))
    assert series.buckets(edges).mean.tolist() == [2.0]
    series.update(x[:300], np.full(300, 3.0))
    assert series.buckets(edges).mean.tolist() == [3.0]
    series.update(x, np.concatenate([np.full(300, 3.0), np.full(3700, 4.0)]))
    assert series.buckets(edges).high.tolist() == [4.0]
    with pytest.raises(ValueError, match="as many x as y"):
        series.update(x, np.ones(3))


# Curves


def buckets_of(y: Iterable[float], columns_wanted: int) -> tuple[BucketedSeries, NDArray[np.float64]]:
    values = np.array(list(y), dtype=np.float64)
    series = BucketedSeries()
    series.update(np.arange(1.0, len(values) + 1), values)
    return series, column_edges(1.0, float(len(values)), columns_wanted, log=False)


def test_smoothing_leaves_a_constant_alone_and_gives_each_step_the_same_weight() -> None:
    series, edges = buckets_of([3.0] * 1000, 120)
    for level in range(4):
        np.testing.assert_allclose(smoothed(series.buckets(edges), level), 3.0)
    rng = np.random.default_rng(0)
    series, edges = buckets_of(rng.exponential(size=12_000), 120)
    middle = smoothed(series.buckets(edges), 3)[60]
    half = int(120 / 8 / 2)
    inside = (series.x >= edges[60 - half]) & (series.x < edges[60 + half + 1])
    assert middle == pytest.approx(series.y[inside].mean())


def test_gaps_without_steps_are_bridged_and_losses_that_were_not_finite_are_not() -> None:
    values = np.array([np.nan, 1.0, np.nan, 3.0, np.nan, np.nan, 6.0, np.nan])
    broken = np.zeros(8, dtype=np.bool_)
    np.testing.assert_allclose(interpolate_gaps(values, broken), [np.nan, 1, 2, 3, 4, 5, 6, np.nan])
    broken[4] = True
    np.testing.assert_allclose(interpolate_gaps(values, broken), [np.nan, 1, 2, 3, np.nan, np.nan, 6, np.nan])
    np.testing.assert_array_equal(interpolate_gaps(np.full(3, np.nan), broken[:3]), np.full(3, np.nan))


def test_a_connected_line_has_no_holes_between_neighbours() -> None:
    line = connected(np.array([0.0, 10.0, np.nan, 5.0]))
    assert line.low[1] <= line.high[0]
    assert np.isnan(line.low[2])
    assert (line.low[3], line.high[3]) == (5.0, 5.0)
    band = envelope(np.array([0.0, 8.0]), np.array([1.0, 9.0]))
    assert band.low[1] <= band.high[0]


def test_points_become_a_line_from_the_first_to_the_last() -> None:
    edges = np.linspace(0, 100, 101)
    line = interpolate_points(np.array([20.0, 60.0]), np.array([1.0, 3.0]), edges, log_x=False)
    known = np.flatnonzero(np.isfinite(line))
    assert (known[0], known[-1]) == (19, 60)
    assert line[40] == pytest.approx(2.0, abs=0.05)
    assert np.isnan(interpolate_points(np.array([]), np.array([]), edges, log_x=False)).all()
    alone = interpolate_points(np.array([50.0]), np.array([2.0]), edges, log_x=True)
    assert set(alone[np.isfinite(alone)]) == {2.0}


def test_a_pattern_keeps_the_last_column_that_is_drawn() -> None:
    dotted = dashed(connected(np.array([1.0] * 8 + [np.nan])), (1, 3))
    assert np.flatnonzero(np.isfinite(dotted.low)).tolist() == [0, 3, 6, 7]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0213, 0.0267), (-3.0, 12_345.0), (1e-9, 3e-9)])
@pytest.mark.parametrize("most", [1, 2, 5, 12])
def test_ticks_are_round_few_and_inside(low: float, high: float, most: int) -> None:
    ticks = linear_ticks(low, high, most)
    assert len(ticks) <= most
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)
    assert np.allclose(np.diff(ticks), np.diff(ticks)[:1])
    if low > 0:
        assert len(log_ticks(low, high, most)) <= most


def test_an_axis_without_extent_has_no_ticks() -> None:
    assert linear_ticks(1.0, 1.0, 5) == []
    assert linear_ticks(0.0, float("inf"), 5) == []
    assert log_ticks(0.0, 1.0, 5) == []
    assert len(log_ticks(1e-30, 1e30, 6)) <= 6


@pytest.mark.parametrize("value", [1e-12, 0.00123, 0.5, 1.0, 999.9, 1e5, -0.25, 1e300])
def test_a_tick_says_its_value_in_three_digits_and_seldom_needs_more_than_seven_characters(
    value: float,
) -> None:
    assert float(value_label(value)) == pytest.approx(value, rel=0.005)
    assert len(value_label(value)) < GUTTER or not 1e-9 < abs(value) < 1e9


def test_labels_stand_at_their_ends_side_by_side_and_never_on_each_other() -> None:
    assert place_labels([(3, 40)] * 4, 12, 46) == [(3, 40), (3, 41), (3, 42), (3, 43)]
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, count = int(rng.integers(1, 20)), int(rng.integers(1, 36))
        wanted = [(int(row), 40) for row in rng.integers(0, height, count)]
        cells = place_labels(wanted, height, 40 + label_margin(count, 80) - 2)
        placed = [cell for cell in cells if cell is not None]
        assert len(set(placed)) == len(placed) == min(count, height * min(count, 6))
        assert all(0 <= row < height and 40 <= column < 46 for row, column in placed)


# Sparkline


def test_a_short_history_is_the_sparkline_itself() -> None:
    losses = np.array([1.0, 0.5, 0.2, 0.1])
    assert loss_sparkline(losses, 10) == sparkline(losses, 10)
    assert loss_sparkline(np.array([]), 10) == ""


def test_a_trend_tells_what_happens_after_the_first_fall() -> None:
    x = np.arange(1, 4001)
    falling = 0.03 + np.exp(-x / 40) + 0.02 * np.exp(-x / 1500)
    rising = falling + np.where(x > 3000, 0.02, 0.0)
    for losses in (falling, rising):
        assert len(set(sparkline(losses, 16)[2:])) <= 3
        assert len(set(loss_sparkline(losses, 16)[2:])) >= 5
    assert loss_sparkline(rising, 16)[-1] > loss_sparkline(rising, 16)[10]
    assert list(loss_sparkline(falling, 16)) == sorted(loss_sparkline(falling, 16), reverse=True)


def test_a_trend_falls_and_shows_that_the_last_loss_was_not_a_number() -> None:
    losses = np.exp(-np.linspace(0, 5, 1_000_000))
    text = loss_sparkline(losses, 20)
    assert len(text) == 20
    assert list(text) == sorted(text, reverse=True)
    losses[-1] = np.nan
    assert loss_sparkline(losses, 20)[-1] == "·"
    assert "·" not in loss_sparkline(losses, 20)[:-1]
