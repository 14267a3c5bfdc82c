"""Decimation of many points to a few columns."""

import warnings

import numpy as np
import pytest

from core.runs import minmax_buckets

NAN = float("nan")


def slowly(
    x: np.ndarray, y: np.ndarray, columns: int, first: float, last: float, log_x: bool
) -> list[tuple[float, float, float]]:
    """The same by definition: each point into the column that its x falls into."""
    edges = np.geomspace(first, last, columns + 1) if log_x else np.linspace(first, last, columns + 1)
    edges[0], edges[-1] = first, last
    parts: list[list[float]] = [[] for _ in range(columns)]
    for a, b in zip(x, y, strict=True):
        if first <= a <= last and np.isfinite(b):
            parts[min(columns - 1, int(np.searchsorted(edges, a, side="right")) - 1)].append(b)
    return [(min(p), max(p), float(np.mean(p))) if p else (NAN, NAN, NAN) for p in parts]


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("columns", [1, 7, 80, 500])
@pytest.mark.parametrize("sorted_x", [True, False])
@pytest.mark.parametrize("damage", [False, True])
def test_buckets_match_their_definition(log_x: bool, columns: int, sorted_x: bool, damage: bool) -> None:
    rng = np.random.default_rng(columns)
    x = rng.uniform(0.5, 100.0, 300)
    if sorted_x:
        x.sort()
    y = rng.lognormal(size=300)
    if damage:
        y[rng.integers(0, 300, 60)] = rng.choice([np.nan, np.inf, -np.inf], 60)
    for first, last in ((float(x.min()), float(x.max())), (10.0, 50.0), (0.1, 1000.0)):
        result = minmax_buckets(x, y, columns, x_range=(first, last), log_x=log_x)
        expected = np.array(slowly(x, y, columns, first, last, log_x)).T
        np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_the_range_is_that_of_the_points_unless_given() -> None:
    x, y = [10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_array_equal(minmax_buckets(x, y, 2), minmax_buckets(x, y, 2, x_range=(10.0, 40.0)))


def test_the_greatest_x_falls_into_the_last_column() -> None:
    lo, hi, mean = minmax_buckets([0.0, 1.0, 2.0], [5.0, 6.0, 7.0], 2)
    assert (lo.tolist(), hi.tolist(), mean.tolist()) == ([5.0, 6.0], [5.0, 7.0], [5.0, 6.5])


def test_columns_without_points_or_with_none_that_is_finite_are_nan() -> None:
    lo, hi, mean = minmax_buckets([0.0, 1.0, 9.0], [1.0, NAN, 3.0], 3, x_range=(0.0, 9.0))
    assert lo[0] == hi[0] == mean[0] == 1.0
    assert np.isnan([lo[1], hi[1], mean[1]]).all()
    assert lo[2] == 3.0
    for part in minmax_buckets([1.0, 2.0], [NAN, np.inf], 4):
        assert np.isnan(part).all()


@pytest.mark.parametrize("x", [[], [NAN], [np.inf, np.inf]])
def test_no_points_are_no_error(x: list[float]) -> None:
    for part in minmax_buckets(x, [1.0] * len(x), 5):
        assert part.shape == (5,)
        assert np.isnan(part).all()


@pytest.mark.parametrize("log_x", [False, True])
def test_one_point_and_points_of_one_x_are_kept(log_x: bool) -> None:
    for x, y in (([3.0], [1.0]), ([3.0, 3.0], [1.0, 2.0])):
        lo, hi, _ = minmax_buckets(x, y, 4, log_x=log_x)
        assert np.nanmin(lo) == 1.0
        assert np.nanmax(hi) == y[-1]


def test_values_outside_a_log_axis_are_left_out() -> None:
    lo, hi, _ = minmax_buckets([-5.0, 0.0, 1.0, 100.0], [9.0, 9.0, 1.0, 2.0], 2, log_x=True)
    assert (lo.tolist(), hi.tolist()) == ([1.0, 2.0], [1.0, 2.0])
    for part in minmax_buckets([-5.0, 0.0], [9.0, 9.0], 2, log_x=True):
        assert np.isnan(part).all()
    for part in minmax_buckets([1.0, 2.0], [9.0, 9.0], 2, x_range=(0.0, 2.0), log_x=True):
        assert np.isnan(part).all()


@pytest.mark.parametrize("x_range", [(5.0, 1.0), (NAN, 1.0), (0.0, np.inf), (50.0, 60.0), (-2.0, -1.0)])
def test_a_range_without_points_gives_nan(x_range: tuple[float, float]) -> None:
    for part in minmax_buckets([1.0, 2.0], [1.0, 2.0], 3, x_range=x_range):
        assert np.isnan(part).all()


def test_inputs_are_left_alone_and_no_warning_is_given() -> None:
    x, y = np.array([2.0, 1.0, NAN]), np.array([1.0, np.inf, -np.inf])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minmax_buckets(x, y, 3)
    np.testing.assert_array_equal(x, [2.0, 1.0, NAN])
    np.testing.assert_array_equal(y, [1.0, np.inf, -np.inf])
    x.flags.writeable = y.flags.writeable = False
    minmax_buckets(x, y, 3)
    assert minmax_buckets([1.0, 1.0], [1.7e308, 1.7e308], 1)[2].tolist() == [np.inf]


def test_a_single_spike_among_a_million_survives() -> None:
    y = np.full(1_000_000, 0.5)
    y[654_321] = 7.0
    _, hi, _ = minmax_buckets(np.arange(1_000_000.0), y, 160)
    assert np.nanmax(hi) == 7.0
    assert int(np.nanargmax(hi)) == 654_321 * 160 // 999_999
