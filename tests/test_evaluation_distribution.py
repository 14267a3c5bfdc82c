"""Two-sample distances against closed forms, brute force and scipy; and whether their intervals hold."""

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from core.data import DataRecipe, PictureSet, load_dataset
from core.errors import UserError
from core.evaluation import distances, twosample
from core.evaluation.distances import squared_distances
from core.evaluation.distribution import (
    bandwidth,
    distribution_metrics,
    distribution_p_values,
    triangle_features,
)
from core.evaluation.intervals import proportion
from core.evaluation.neighbours import density_coverage
from core.runs import METRICS, Estimate

TRIANGLE_KEYS = {"area_ks", "angle_ks", "centroid_distance", "orientation_ks"}
PIXEL_KEYS = {"density", "coverage", "mmd", "sliced_wasserstein"}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> PictureSet:
    recipe = DataRecipe(name="little", size=16, antialias=True)
    return load_dataset(recipe, data_dir=tmp_path_factory.mktemp("data"), count=400, heldout=400)


def minus_distance(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    return -cdist(x, y)


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.low, estimate.high


def holds(estimate: Estimate, truth: float) -> bool:
    low, high = bounds(estimate)
    return low <= truth <= high


def jackknife_error(value: float, *leaving_one: list[float]) -> float:
    """Half of a 95% interval, from values that were computed anew without each member."""
    variance = sum((len(left) - 1) / len(left) * np.sum((left - np.mean(left)) ** 2) for left in leaving_one)
    return float(stats.norm.ppf(0.975) * np.sqrt(variance))


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
    ours = twosample.kolmogorov_smirnov(x, y, rng=rng, resamples=50)
    theirs = stats.ks_2samp(x, y, method="asymp")
    bounds(ours)
    assert ours.value == pytest.approx(theirs.statistic)
    assert twosample.kolmogorov_smirnov_p_value(ours.value or 0, n, m) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("decimals", [1, 9])
def test_kuiper_is_that_of_brute_force_wherever_the_circle_is_cut(
    decimals: int, rng: np.random.Generator
) -> None:
    x, y = rng.uniform(0, 180, 40).round(decimals), rng.uniform(30, 120, 60).round(decimals)
    gaps = [np.mean(x <= at) - np.mean(y <= at) for at in np.concatenate([x, y])]
    for cut in (0, 17, 100):
        found = twosample.kuiper((x + cut) % 180, (y + cut) % 180, rng=rng, resamples=20)
        assert found.value == pytest.approx(max(*gaps, 0) - min(*gaps, 0))


@pytest.mark.parametrize(("critical", "p_value"), [(1.620, 0.10), (1.747, 0.05), (2.001, 0.01)])
def test_p_values_of_kuiper_are_those_of_the_table_of_stephens(critical: float, p_value: float) -> None:
    n, m = 1000, 2000
    root = np.sqrt(n * m / (n + m))
    found = twosample.kuiper_p_value(critical / (root + 0.155 + 0.24 / root), n, m)
    assert found == pytest.approx(p_value, rel=0.01)


def test_the_p_value_of_kuiper_falls_from_1_to_0_without_a_jump() -> None:
    found = [twosample.kuiper_p_value(distance, 100, 100) for distance in np.linspace(0, 1, 500)]
    assert found[0] == 1
    assert found[-1] < 1e-9
    steps = np.diff(found)
    assert (steps <= 1e-9).all()
    assert steps.min() > -0.05


@pytest.mark.parametrize("distance", [twosample.kolmogorov_smirnov, twosample.kuiper])
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
    for distance in (twosample.kolmogorov_smirnov, twosample.kuiper):
        assert distance(np.empty(0), np.ones(3), rng=rng) == Estimate(None)
        assert distance(np.ones(3), np.empty(0), rng=rng) == Estimate(None)


# MMD and energy distance


def test_discrepancy_is_the_unbiased_average_over_pairs_with_its_jackknife(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(9, 2)), rng.normal(1, size=(13, 2))

    def by_hand(x: NDArray[Any], y: NDArray[Any]) -> float:
        n, m = len(x), len(y)
        inner_x = sum(-np.linalg.norm(x[i] - x[j]) for i in range(n) for j in range(n) if i != j)
        inner_y = sum(-np.linalg.norm(y[i] - y[j]) for i in range(m) for j in range(m) if i != j)
        across = sum(-np.linalg.norm(x[i] - y[j]) for i in range(n) for j in range(m))
        return float(inner_x / (n * (n - 1)) + inner_y / (m * (m - 1)) - 2 * across / (n * m))

    found = twosample.discrepancy(x, y, minus_distance)
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
    assert twosample.discrepancy(x, y, minus_distance).value == pytest.approx(biased - bias)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_mmd_of_gaussians_is_that_of_the_closed_form(shift: float, rng: np.random.Generator) -> None:
    size, square = 20, 20.0
    overlap = (square / (square + 2)) ** (size / 2)
    truth = 2 * overlap * (1 - np.exp(-size * shift**2 / (2 * (square + 2))))

    def draw(count: int, mean: float) -> NDArray[np.float32]:
        return rng.normal(mean, size=(count, size)).astype(np.float32)

    def gaussian(x: Any, y: Any) -> Any:
        return np.exp(squared_distances(x, y) / (-2 * square))

    found = [twosample.discrepancy(draw(150, shift), draw(250, 0), gaussian) for _ in range(40)]
    assert np.mean([holds(one, truth) for one in found]) >= 0.85
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))


def test_a_discrepancy_needs_two_of_each_and_an_interval_three(rng: np.random.Generator) -> None:
    many = rng.normal(size=(10, 2))
    assert twosample.discrepancy(many[:1], many, minus_distance) == Estimate(None)
    assert twosample.discrepancy(many, many[:0], minus_distance) == Estimate(None)
    two = twosample.discrepancy(many[:2], many, minus_distance)
    assert two.value is not None
    assert two.low is None
    bounds(twosample.discrepancy(many[:3], many, minus_distance))


def test_permutations_tell_a_shift_but_not_two_halves_of_one_sample(rng: np.random.Generator) -> None:
    def p_value(shift: float) -> float:
        x, y = rng.normal(shift, size=(40, 2)), rng.normal(size=(60, 2))
        return twosample.permutation_p_value(x, y, minus_distance, rng=rng, permutations=99)

    assert p_value(2) == 0.01
    equal = [p_value(0) for _ in range(60)]
    # Uniform from 0.01 to 1, so that a share of 0.2 are below 0.2: 0.2 +- 3 * 0.05.
    assert 0.04 < np.mean(np.array(equal) <= 0.2) < 0.36
    same = np.ones((5, 2))
    assert twosample.permutation_p_value(same, same, minus_distance, rng=rng, permutations=19) == 1


# Sliced Wasserstein


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 6), (5, 3)])
def test_sliced_wasserstein_of_two_points_is_their_distance_by_root_d(
    n: int, m: int, rng: np.random.Generator
) -> None:
    shift = rng.normal(size=16).astype(np.float32)
    x = np.zeros((n, 16), np.float32)
    y = np.tile(shift, (m, 1))
    found = twosample.sliced_wasserstein(x, y, rng=rng)
    assert found.value == pytest.approx(np.linalg.norm(shift) / 4, rel=1e-5)


@pytest.mark.parametrize("m", [1000, 1499])
def test_in_one_dimension_it_is_wasserstein_2_of_gaussians(m: int, rng: np.random.Generator) -> None:
    x = rng.normal(0, 1, (1000, 1)).astype(np.float32)
    y = rng.normal(1, 2, (m, 1)).astype(np.float32)
    found = twosample.sliced_wasserstein(x, y, rng=rng)
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

    found = [twosample.sliced_wasserstein(draw(100, shift), draw(150, 0), rng=rng) for _ in range(20)]
    assert np.mean([holds(one, shift) for one in found]) >= 0.8
    squares = np.array([one.value for one in found], dtype=np.float64) ** 2
    assert squares.mean() == pytest.approx(shift**2, abs=0.015)


def test_fewer_directions_than_dimensions_estimate_the_same(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 64)).astype(np.float32)
    y = (1.5 * rng.normal(size=(300, 64))).astype(np.float32)
    whole = twosample.sliced_wasserstein(x, y, rng=rng)
    some = twosample.sliced_wasserstein(x, y, rng=rng, directions=16)
    # Standard deviations 1 and 1.5 in every direction.
    assert whole.value == pytest.approx(0.5, abs=0.03)
    assert some.value == pytest.approx(0.5, abs=0.05)


def test_sliced_wasserstein_of_nothing_is_undefined(rng: np.random.Generator) -> None:
    none, some = np.empty((0, 4), np.float32), np.ones((3, 4), np.float32)
    assert twosample.sliced_wasserstein(none, some, rng=rng) == Estimate(None)
    assert twosample.sliced_wasserstein(some, none, rng=rng) == Estimate(None)


# Density and coverage


def naive_density_coverage(samples: NDArray[Any], real: NDArray[Any], neighbours: int) -> tuple[float, float]:
    """As written in the paper, one pair after the other."""
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


def test_their_intervals_are_those_of_leaving_out_each_picture_in_turn(rng: np.random.Generator) -> None:
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
    # A ball is empty if its 5 nearest of all other pictures are real ones; any order is as likely as any other.
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


# All together


def test_pictures_in_small_parts_give_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(37, 8)).astype(np.float32)
    y = rng.normal(size=(41, 8)).astype(np.float32)

    def measured() -> list[Estimate]:
        return [*density_coverage(x, y), twosample.discrepancy(x, y, minus_distance)]

    whole = measured()
    monkeypatch.setattr(distances, "_CHUNK_NUMBERS", 100)
    for one, other in zip(measured(), whole, strict=True):
        assert msgspec.structs.astuple(one) == pytest.approx(msgspec.structs.astuple(other), rel=1e-5)


def test_training_pictures_are_distributed_as_held_out_ones(little: PictureSet) -> None:
    found = distribution_metrics(
        little.train,
        little.heldout,
        little.train_vertices,
        little.heldout_vertices,
        rng=np.random.default_rng(0),
    )
    assert set(found) == TRIANGLE_KEYS | PIXEL_KEYS
    assert set(found) <= set(METRICS)
    # A few pictures that are everybody's neighbours make density vary more than its interval in some draws.
    assert found.pop("density").value == pytest.approx(1, abs=0.4)
    for name, truth in {**dict.fromkeys(found, 0.0), "coverage": 1 - 2**-5}.items():
        assert holds(found[name], truth), name
    assert msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Estimate]) == found
    assert all(type(bound) is float for one in found.values() for bound in msgspec.structs.astuple(one))


def test_small_triangles_differ_in_area_and_pixels(little: PictureSet) -> None:
    assert little.train_vertices is not None
    area = triangle_features(little.train_vertices).area
    small = area < np.median(area)
    found = distribution_metrics(
        little.train[small],
        little.heldout,
        little.train_vertices[small],
        little.heldout_vertices,
        rng=np.random.default_rng(0),
    )
    assert found["area_ks"].value == pytest.approx(0.5, abs=0.1)
    assert bounds(found["area_ks"])[0] > 0.3
    assert bounds(found["mmd"])[0] > 0
    assert bounds(found["sliced_wasserstein"])[0] > 0
    assert bounds(found["coverage"])[1] < 1 - 2**-5


def test_noisy_pictures_are_in_no_neighbourhood(little: PictureSet, rng: np.random.Generator) -> None:
    noisy = np.clip(little.train / 255 + rng.normal(0, 0.3, little.train.shape), 0, 1)
    found = distribution_metrics(noisy, little.heldout, None, None, rng=rng)
    assert set(found) == PIXEL_KEYS
    assert bounds(found["density"])[1] < 0.5
    assert bounds(found["coverage"])[1] < 0.5
    assert bounds(found["mmd"])[0] > 0
    assert bounds(found["sliced_wasserstein"])[0] > 0


def test_many_blank_pictures_on_both_sides_count_as_they_should(
    little: PictureSet, rng: np.random.Generator
) -> None:
    samples, heldout = np.array(little.train), np.array(little.heldout)
    samples[:100] = heldout[:100] = 0
    found = distribution_metrics(samples, heldout, None, None, rng=rng)
    assert found["density"].value == pytest.approx(1, abs=0.4)
    assert found["coverage"].value == pytest.approx(1 - 2**-5, abs=0.05)


def test_more_samples_than_held_out_pictures_or_fewer_do_not_change_what_coverage_means(
    little: PictureSet,
) -> None:
    for samples, heldout in ((400, 100), (100, 400)):
        found = distribution_metrics(
            little.train[:samples],
            little.heldout[:heldout],
            None,
            None,
            rng=np.random.default_rng(3),
        )
        assert holds(found["coverage"], 1 - 2**-5)


def test_floats_and_bytes_are_the_same_pictures_and_one_seed_gives_one_answer(
    little: PictureSet,
) -> None:
    def measured(pictures: NDArray[Any], drawn_before: int) -> dict[str, Estimate]:
        rng = np.random.default_rng(7)
        rng.random(drawn_before)
        return distribution_metrics(
            pictures, little.heldout, little.train_vertices, little.heldout_vertices, rng=rng
        )

    whole = measured(little.train, 0)
    assert measured(little.train / 255 + 0.001 * (little.train == 0), 5) == whole


def test_the_bandwidth_is_the_median_distance_and_never_0(rng: np.random.Generator) -> None:
    rows = rng.random((30, 5), np.float32)
    assert bandwidth(rows) == pytest.approx(np.median(cdist(rows, rows)[np.triu_indices(30, 1)]), rel=1e-4)
    assert bandwidth(np.ones((4, 5), np.float32)) == 1
    assert bandwidth(rows[:1]) == 1


@pytest.mark.parametrize(("samples", "heldout"), [(0, 20), (1, 20), (20, 0), (20, 1), (1, 1)])
def test_too_few_pictures_leave_numbers_undefined_without_a_warning(
    samples: int, heldout: int, little: PictureSet, rng: np.random.Generator
) -> None:
    nothing = np.full((samples, 3, 2), np.nan, np.float32)
    assert little.heldout_vertices is not None
    found = distribution_metrics(
        little.train[:samples],
        little.heldout[:heldout],
        nothing,
        little.heldout_vertices[:heldout],
        rng=rng,
    )
    assert set(found) == TRIANGLE_KEYS | PIXEL_KEYS
    for name in TRIANGLE_KEYS:
        assert found[name] == Estimate(None)
    assert found["mmd"] == Estimate(None)


def test_pictures_that_cannot_be_compared_are_refused_in_one_line(
    little: PictureSet, rng: np.random.Generator
) -> None:
    real = little.heldout[:10]
    broken = real / 255
    broken[3, 0, 1, 1] = np.nan
    with pytest.raises(UserError, match="numbers from 0 to 1, got others, or NaN"):
        distribution_metrics(broken, real, None, None, rng=rng)
    with pytest.raises(UserError, match="numbers from 0 to 1"):
        distribution_metrics(real * 2.0, real, None, None, rng=rng)
    with pytest.raises(UserError, match=r"shape of the data, \[1, 16, 16\], got \[1, 16, 8\]"):
        distribution_metrics(real[..., :8], real, None, None, rng=rng)
    with pytest.raises(UserError, match=r"expected pictures \[N, C, H, W\], got an array \[10, 256\]"):
        distribution_metrics(real.reshape(10, -1), real, None, None, rng=rng)


def test_p_values_are_those_of_scipy_and_tell_turned_and_moved_triangles(
    little: PictureSet, rng: np.random.Generator
) -> None:
    ours, theirs = little.train_vertices, little.heldout_vertices
    assert ours is not None
    assert theirs is not None
    equal = distribution_p_values(ours, theirs, rng=rng)
    assert set(equal) == TRIANGLE_KEYS
    assert min(equal.values()) > 0.01
    areas = triangle_features(ours).area, triangle_features(theirs).area
    assert equal["area_ks"] == pytest.approx(stats.ks_2samp(*areas, method="asymp").pvalue)
    level = ours * np.array([1, 0.3], np.float32) + np.array([0, 10], np.float32)
    moved = distribution_p_values(level, theirs, rng=rng)
    assert max(moved.values()) < 0.01
    assert distribution_p_values(ours[:0], theirs, rng=rng) == {}
