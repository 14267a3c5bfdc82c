"""Distances between the triangles of samples and data: features, Kolmogorov-Smirnov and Kuiper."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from core.evaluation.metrics.distribution import triangle_features
from core.statistics import two_sample
from core.statistics.estimate import Estimate
from tests.support.estimates import bounds, holds


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# Triangles


def test_features_of_triangles_that_one_can_reckon_by_hand() -> None:
    right = [[0, 0], [4, 0], [0, 3]]
    equilateral = [[0, 0], [2, 0], [1, np.sqrt(3)]]
    found = triangle_features(np.array([right, equilateral], dtype=np.float64))
    np.testing.assert_allclose(found.area, [6, np.sqrt(3)])
    np.testing.assert_allclose(found.smallest_angle, [np.degrees(np.arctan(3 / 4)), 60])
    np.testing.assert_allclose(found.centroid, [[4 / 3, 1], [1, 1 / np.sqrt(3)]])
    # From (4, 0) to (0, 3).
    np.testing.assert_allclose(found.orientation[0], 180 - np.degrees(np.arctan(3 / 4)))


def test_the_order_of_corners_and_a_half_turn_change_no_feature(rng: np.random.Generator) -> None:
    corners = rng.uniform(0, 32, (50, 3, 2))
    first = triangle_features(corners)
    for other in (corners[:, [1, 2, 0]], corners[:, [0, 2, 1]]):
        again = triangle_features(other)
        for name in ("area", "smallest_angle", "centroid", "orientation"):
            np.testing.assert_allclose(getattr(again, name), getattr(first, name), atol=1e-9)
    np.testing.assert_allclose(triangle_features(-corners).orientation, first.orientation, atol=1e-9)


def test_a_direction_that_is_a_hair_below_0_is_still_below_180() -> None:
    nearly_level = np.array([[[0, 1e-17], [5, 0], [2, 1]]])
    assert 0 <= triangle_features(nearly_level).orientation[0] < 180


def test_triangles_that_were_not_found_are_left_out_and_flat_ones_have_no_angle() -> None:
    vertices = np.array([[[0, 0], [1, 0], [0, 1]], [[np.nan] * 2] * 3, [[2, 2], [2, 2], [2, 2]]])
    found = triangle_features(vertices)
    np.testing.assert_allclose(found.area, [0.5, 0])
    np.testing.assert_allclose(found.smallest_angle, [45, 0])


def test_vertices_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected vertices \[N, 3, 2\], got \[4, 2\]"):
        triangle_features(np.zeros((4, 2)))


# Kolmogorov-Smirnov and Kuiper


@pytest.mark.parametrize(("n", "m"), [(1, 2), (1, 7), (40, 40), (33, 80)])
@pytest.mark.parametrize("decimals", [1, 9])
def test_kolmogorov_smirnov_is_that_of_scipy_with_ties_or_without(
    n: int, m: int, decimals: int, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=n).round(decimals), rng.normal(0.3, size=m).round(decimals)
    ours = two_sample.kolmogorov_smirnov(x, y, rng=rng, resamples=50)
    theirs = stats.ks_2samp(x, y, method="asymp")
    bounds(ours)
    assert ours.value == pytest.approx(theirs.statistic)


@pytest.mark.parametrize("decimals", [1, 9])
def test_kuiper_is_that_of_brute_force_wherever_the_circle_is_cut(
    decimals: int, rng: np.random.Generator
) -> None:
    x, y = rng.uniform(0, 180, 40).round(decimals), rng.uniform(30, 120, 60).round(decimals)
    gaps = [np.mean(x <= at) - np.mean(y <= at) for at in np.concatenate([x, y])]
    for cut in (0, 17, 100):
        found = two_sample.kuiper((x + cut) % 180, (y + cut) % 180, rng=rng, resamples=20)
        assert found.value == pytest.approx(max(*gaps, 0) - min(*gaps, 0))


@pytest.mark.parametrize("distance", [two_sample.kolmogorov_smirnov, two_sample.kuiper])
@pytest.mark.parametrize("truth", [0.0, 0.1, 0.4])
def test_intervals_of_distribution_distances_hold_the_truth_at_0_too(
    distance: Any, truth: float, rng: np.random.Generator
) -> None:
    # Uniform on [0, 1 - truth] against uniform on [0, 1]: both distances are the truth.
    trials = [
        holds(distance(rng.uniform(0, 1 - truth, 150), rng.uniform(size=300), rng=rng, resamples=150), truth)
        for _ in range(40)
    ]
    assert np.mean(trials) >= 0.85


def test_the_distance_of_nothing_is_undefined(rng: np.random.Generator) -> None:
    for distance in (two_sample.kolmogorov_smirnov, two_sample.kuiper):
        assert distance(np.empty(0), np.ones(3), rng=rng) == Estimate(None)
        assert distance(np.ones(3), np.empty(0), rng=rng) == Estimate(None)
