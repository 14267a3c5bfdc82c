"""Statistics of features: Fréchet distance against its closed form, precision and recall, whitening."""

import numpy as np
import pytest

from core.statistics.frechet import frechet_distance, gaussian_distance
from core.statistics.kernel_distance import kernel_distance
from core.statistics.precision_recall import precision_recall
from core.statistics.whitening import Whitening


def test_the_distance_of_gaussians_has_its_closed_form_where_covariances_commute():
    first, second = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 9.0])
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    shift = turn @ np.array([2.0, 0.0, 1.0])
    found = gaussian_distance(
        np.zeros(3), turn @ np.diag(first) @ turn.T, shift, turn @ np.diag(second) @ turn.T
    )
    assert found == pytest.approx(5 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum())


def test_the_interval_of_the_frechet_distance_holds_a_shift_and_few_images_have_none():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2000, 3)), rng.normal((1, 0, 0), 1, (2000, 3))
    found = frechet_distance(x, y)
    assert found.low < 1 < found.high
    assert found.high - found.low < 0.5
    assert frechet_distance(x[:39], y).value is None


def test_the_kernel_distance_is_the_double_sum_over_pairs():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 1

    def mean(first, second, skip):
        values = [
            (a @ b / 3 + 1) ** 3
            for i, a in enumerate(first)
            for j, b in enumerate(second)
            if not (skip and i == j)
        ]
        return np.mean(values)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert kernel_distance(x, y).value == pytest.approx(expected)


def test_samples_in_one_of_two_clusters_have_precision_but_half_the_recall():
    rng = np.random.default_rng(3)
    real = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 50])
    precision, recall = precision_recall(rng.standard_normal((200, 2)), real)
    assert precision.value > 0.9
    assert recall.value == pytest.approx(0.5, abs=0.05)
    assert precision_recall(real[:5], real)[0].value is None


def test_whitened_features_have_unit_spread_and_outliers_are_drawn_in():
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((800, 5)) @ rng.standard_normal((5, 40)) + 3
    rows += 0.01 * rng.standard_normal(rows.shape)
    white = Whitening.from_rows(rows)(rows)
    assert white.shape == (800, 40)
    assert white.std(0)[:5] == pytest.approx(np.full(5, 0.8), abs=0.03)
    assert np.abs(Whitening.from_rows(rows)(rows[:1] + 1e6)).max() < 30


def test_distances_from_features_that_hardly_vary_are_bounded_and_those_of_others_keep_their_scale():
    rng = np.random.default_rng(6)
    varied = rng.standard_normal((80, 40)) * 0.2
    for unequal in (0, 2):  # all equal, or all but two
        same = np.full((80, 40), 0.3)
        same[:unequal] += 1e-3
        whiten = Whitening.from_rows(same)
        assert 0 < kernel_distance(whiten(varied), whiten(same)).value < 1000
        assert kernel_distance(whiten(same), whiten(same)).value == pytest.approx(0, abs=1e-3)
    ordinary = Whitening.from_rows(varied)
    np.testing.assert_allclose(ordinary.spread, varied.std(0) + 1e-3 * varied.std(0).mean(), rtol=1e-6)
    assert ordinary(varied).std() > 0.5
