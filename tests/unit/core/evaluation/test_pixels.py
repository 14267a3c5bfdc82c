"""Distances between samples and data on pixels: MMD, sliced Wasserstein, density and coverage."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from core.statistics import two_sample
from core.statistics.density_coverage import density_coverage
from core.statistics.estimate import Estimate
from core.statistics.intervals import proportion
from core.statistics.nearest import squared_distances
from tests.support.estimates import bounds, holds, minus_distance


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def jackknife_error(value: float, *leaving_one: list[float]) -> float:
    """Half of a 95% interval, from values computed again without each member."""
    variance = sum((len(left) - 1) / len(left) * np.sum((left - np.mean(left)) ** 2) for left in leaving_one)
    return float(stats.norm.ppf(0.975) * np.sqrt(variance))


# MMD and energy distance


def test_squared_mmd_is_the_unbiased_average_over_pairs_with_its_jackknife(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(9, 2)), rng.normal(1, size=(13, 2))

    def by_hand(x: NDArray[Any], y: NDArray[Any]) -> float:
        n, m = len(x), len(y)
        inner_x = sum(-np.linalg.norm(x[i] - x[j]) for i in range(n) for j in range(n) if i != j)
        inner_y = sum(-np.linalg.norm(y[i] - y[j]) for i in range(m) for j in range(m) if i != j)
        across = sum(-np.linalg.norm(x[i] - y[j]) for i in range(n) for j in range(m))
        return float(inner_x / (n * (n - 1)) + inner_y / (m * (m - 1)) - 2 * across / (n * m))

    found = two_sample.squared_mmd(x, y, minus_distance)
    assert found.value == pytest.approx(by_hand(x, y))
    error = jackknife_error(
        by_hand(x, y),
        [by_hand(np.delete(x, i, 0), y) for i in range(len(x))],
        [by_hand(x, np.delete(y, j, 0)) for j in range(len(y))],
    )
    low, high = bounds(found)
    assert (high - low) / 2 == pytest.approx(error)


def test_in_one_dimension_it_is_the_energy_distance_of_scipy_but_for_its_bias(
    rng: np.random.Generator,
) -> None:
    x, y = rng.normal(size=(40, 1)), rng.normal(0.5, size=(70, 1))
    biased = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    bias = cdist(x, x).mean() / (len(x) - 1) + cdist(y, y).mean() / (len(y) - 1)
    assert two_sample.squared_mmd(x, y, minus_distance).value == pytest.approx(biased - bias)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_mmd_of_gaussians_is_that_of_the_closed_form(shift: float, rng: np.random.Generator) -> None:
    size, square = 20, 20.0
    overlap = (square / (square + 2)) ** (size / 2)
    truth = 2 * overlap * (1 - np.exp(-size * shift**2 / (2 * (square + 2))))

    def draw(count: int, mean: float) -> NDArray[np.float32]:
        return rng.normal(mean, size=(count, size)).astype(np.float32)

    def gaussian(x: Any, y: Any) -> Any:
        return np.exp(squared_distances(x, y) / (-2 * square))

    found = [two_sample.squared_mmd(draw(150, shift), draw(250, 0), gaussian) for _ in range(40)]
    assert np.mean([holds(one, truth) for one in found]) >= 0.85
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))


def test_squared_mmd_needs_two_of_each_and_an_interval_three(rng: np.random.Generator) -> None:
    many = rng.normal(size=(10, 2))
    assert two_sample.squared_mmd(many[:1], many, minus_distance) == Estimate(None)
    assert two_sample.squared_mmd(many, many[:0], minus_distance) == Estimate(None)
    two = two_sample.squared_mmd(many[:2], many, minus_distance)
    assert two.value is not None
    assert two.low is None
    bounds(two_sample.squared_mmd(many[:3], many, minus_distance))


# Sliced Wasserstein


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 6), (5, 3)])
def test_sliced_wasserstein_of_two_points_is_their_distance_by_root_d(
    n: int, m: int, rng: np.random.Generator
) -> None:
    shift = rng.normal(size=16).astype(np.float32)
    x = np.zeros((n, 16), np.float32)
    y = np.tile(shift, (m, 1))
    found = two_sample.sliced_wasserstein(x, y, rng=rng)
    assert found.value == pytest.approx(np.linalg.norm(shift) / 4, rel=1e-5)


@pytest.mark.parametrize("m", [1000, 1499])
def test_in_one_dimension_it_is_wasserstein_2_of_gaussians(m: int, rng: np.random.Generator) -> None:
    x = rng.normal(0, 1, (1000, 1)).astype(np.float32)
    y = rng.normal(1, 2, (m, 1)).astype(np.float32)
    found = two_sample.sliced_wasserstein(x, y, rng=rng)
    # (difference of means)^2 + (difference of deviations)^2
    assert holds(found, np.sqrt(2))
    low, high = bounds(found)
    assert high - low < 0.4


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_sliced_wasserstein_of_shifted_gaussians_is_their_shift_by_root_d_without_bias(
    shift: float, rng: np.random.Generator
) -> None:
    def draw(count: int, mean: float) -> NDArray[np.float32]:
        return rng.normal(mean, size=(count, 12)).astype(np.float32)

    found = [two_sample.sliced_wasserstein(draw(100, shift), draw(150, 0), rng=rng) for _ in range(20)]
    assert np.mean([holds(one, shift) for one in found]) >= 0.8
    squares = np.array([one.value for one in found], dtype=np.float64) ** 2
    assert squares.mean() == pytest.approx(shift**2, abs=0.015)


def test_fewer_directions_than_dimensions_estimate_the_same(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 64)).astype(np.float32)
    y = (1.5 * rng.normal(size=(300, 64))).astype(np.float32)
    whole = two_sample.sliced_wasserstein(x, y, rng=rng)
    some = two_sample.sliced_wasserstein(x, y, rng=rng, directions=16)
    # Standard deviations 1 and 1.5 in every direction.
    assert whole.value == pytest.approx(0.5, abs=0.03)
    assert some.value == pytest.approx(0.5, abs=0.05)


def test_sliced_wasserstein_of_nothing_is_undefined(rng: np.random.Generator) -> None:
    none, some = np.empty((0, 4), np.float32), np.ones((3, 4), np.float32)
    assert two_sample.sliced_wasserstein(none, some, rng=rng) == Estimate(None)
    assert two_sample.sliced_wasserstein(some, none, rng=rng) == Estimate(None)


# Density and coverage


def naive_density_coverage(samples: NDArray[Any], real: NDArray[Any], neighbours: int) -> tuple[float, float]:
    """Density and coverage as written in the paper, one pair after the other."""
    reach = [np.sort(np.linalg.norm(real - one, axis=1))[neighbours] for one in real]
    held = covered = 0
    for one, radius in zip(real, reach, strict=True):
        inside = [float(np.linalg.norm(one - sample)) < radius for sample in samples]
        held += sum(inside)
        covered += any(inside)
    return held / (neighbours * len(samples)), covered / len(real)


@pytest.mark.parametrize(("n", "m", "neighbours"), [(30, 25, 5), (12, 40, 3), (1, 9, 1)])
def test_density_and_coverage_are_those_of_the_paper(
    n: int, m: int, neighbours: int, rng: np.random.Generator
) -> None:
    samples = rng.normal(0.3, size=(n, 3)).astype(np.float32)
    real = rng.normal(size=(m, 3)).astype(np.float32)
    density, coverage = density_coverage(samples, real, neighbours)
    wanted_density, wanted_coverage = naive_density_coverage(samples, real, neighbours)
    assert density.value == pytest.approx(wanted_density)
    assert coverage.value == pytest.approx(wanted_coverage)


def test_their_intervals_are_those_of_leaving_out_each_image_in_turn(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(12, 2)).astype(np.float32)
    real = rng.normal(size=(40, 2)).astype(np.float32)
    found = density_coverage(samples, real, 3)
    left = [naive_density_coverage(np.delete(samples, i, 0), real, 3) for i in range(12)]
    left_real = [naive_density_coverage(samples, np.delete(real, j, 0), 3) for j in range(40)]
    low, high = bounds(found[0])
    error = jackknife_error(0, [one[0] for one in left], [one[0] for one in left_real])
    assert found[0].value is not None
    assert high - found[0].value == pytest.approx(error)
    assert low == pytest.approx(max(0, found[0].value - error))
    low, high = bounds(found[1])
    error = jackknife_error(0, [one[1] for one in left], [one[1] for one in left_real])
    assert found[1].value is not None
    assert error > 0.15
    wilson = proportion(round(40 * found[1].value), 40)
    assert low == pytest.approx(max(0, min(found[1].value - error, bounds(wilson)[0])))
    assert high == pytest.approx(min(1, max(found[1].value + error, bounds(wilson)[1])))


def test_equal_distributions_have_density_1_and_coverage_1_minus_2_to_the_minus_k(
    rng: np.random.Generator,
) -> None:
    count, neighbours = 300, 5
    found = [
        density_coverage(
            rng.normal(size=(count, 6)).astype(np.float32), rng.normal(size=(count, 6)).astype(np.float32)
        )
        for _ in range(30)
    ]
    # A ball is empty if its 5 nearest of all other images are real ones; any order is as likely as any other.
    order = np.arange(neighbours)
    empty = np.prod((count - 1 - order) / (2 * count - 1 - order))
    assert empty == pytest.approx(2**-neighbours, rel=0.05)
    for which, truth in enumerate((1.0, 1 - empty)):
        values = np.array([one[which].value for one in found])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
        assert np.mean([holds(one[which], truth) for one in found]) >= 0.8
        # The jackknife is not too short, and not far too long.
        lengths = [np.diff(bounds(one[which]))[0] / 3.92 for one in found]
        assert 0.8 < np.mean(lengths) / values.std() < 2.5


def test_samples_far_from_everything_cover_nothing_and_the_interval_says_how_sure_that_is(
    rng: np.random.Generator,
) -> None:
    real = rng.normal(size=(50, 4)).astype(np.float32)
    density, coverage = density_coverage(real + 100, real)
    assert density.value == 0
    assert coverage.value == 0
    assert 0 < bounds(coverage)[1] < 0.1


def test_neighbourhoods_need_k_and_two_more(rng: np.random.Generator) -> None:
    real = rng.normal(size=(7, 4)).astype(np.float32)
    assert density_coverage(real, real[:6]) == (Estimate(None), Estimate(None))
    assert density_coverage(real[:0], real) == (Estimate(None), Estimate(None))
    for one in density_coverage(real[:1], real):
        assert one.value is not None
