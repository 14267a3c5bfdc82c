"""Nearest training images against brute force, and the test that distinguishes copies, bad samples and new ones."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from core.data import DataRecipe, ImageSet, load_dataset
from core.errors import UserError
from core.evaluation.metrics.novelty import CopyReference, CopyTest, copy_test, mann_whitney
from core.runs import METRICS
from core.statistics import nearest as nearest_module
from core.statistics.estimate import Estimate
from core.statistics.nearest import as_rows, nearest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    recipe = DataRecipe(name="little", size=16, antialias=True)
    return load_dataset(recipe, data_dir=tmp_path_factory.mktemp("data"), count=1500, heldout=1000)


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def length(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= value(estimate) <= estimate.high
    return estimate.high - estimate.low


# Nearest images


@pytest.mark.parametrize("chunk", [1 << 22, 50])
@pytest.mark.parametrize("size", [5, 60])
def test_the_nearest_rows_are_those_of_brute_force(
    chunk: int, size: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("core.statistics.nearest._CHUNK_SIZE", chunk)
    rows, reference = rng.random((23, 7), np.float32), rng.random((size, 7), np.float32)
    index, distance = nearest(rows, reference, 3)
    all_distances = cdist(rows.astype(np.float64), reference.astype(np.float64))
    np.testing.assert_array_equal(index, np.argsort(all_distances, axis=1)[:, :3])
    np.testing.assert_allclose(distance, np.sort(all_distances, axis=1)[:, :3], rtol=1e-12)


def test_an_image_is_at_no_distance_from_its_twin_and_the_first_of_two_twins_is_taken(
    rng: np.random.Generator,
) -> None:
    reference = as_rows(rng.random((50, 3, 4, 4)))
    reference[20] = reference[10]
    index, distance = nearest(reference, reference, 2)
    wanted = np.arange(50)
    wanted[20] = 10
    np.testing.assert_array_equal(index[:, 0], wanted)
    assert (distance[:, 0] == 0).all()
    np.testing.assert_array_equal(index[[10, 20], 1], 20)
    assert (distance[[10, 20], 1] == 0).all()


def test_there_are_no_more_neighbours_than_images() -> None:
    index, distance = nearest(np.ones((2, 4), np.float32), np.zeros((1, 4), np.float32), 5)
    np.testing.assert_array_equal(index, [[0], [0]])
    np.testing.assert_array_equal(distance, [[2], [2]])
    with pytest.raises(ValueError, match="expected a reference of rows like"):
        nearest(np.ones((2, 4), np.float32), np.zeros((0, 4), np.float32))


# z


@pytest.mark.parametrize("decimals", [1, 9])
def test_z_is_that_of_scipy_with_ties_or_without(decimals: int, rng: np.random.Generator) -> None:
    x, y = rng.normal(-0.3, size=35).round(decimals), rng.normal(size=58).round(decimals)
    found = mann_whitney(x, y)
    p_value = stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic").pvalue
    assert 2 * stats.norm.cdf(-abs(value(found))) == pytest.approx(p_value)
    assert value(found) < 0
    assert value(mann_whitney(y, x)) == pytest.approx(-value(found))


def test_z_of_equals_is_standard_normal_and_its_interval_holds_0(rng: np.random.Generator) -> None:
    found = [
        mann_whitney(rng.gamma(2, size=60).round(1), rng.gamma(2, size=120).round(1)) for _ in range(300)
    ]
    values = np.array([value(one) for one in found])
    assert abs(values.mean()) < 0.25
    assert 0.85 < values.std() < 1.15
    assert np.mean([one.low < 0 < one.high for one in found if one.low and one.high]) > 0.9


def test_the_interval_of_z_is_as_long_as_that_of_a_bootstrap(rng: np.random.Generator) -> None:
    x, y = rng.normal(-0.8, size=80), rng.normal(size=160)
    resampled = [value(mann_whitney(rng.choice(x, 80), rng.choice(y, 160))) for _ in range(400)]
    assert length(mann_whitney(x, y)) / 3.92 == pytest.approx(np.std(resampled), rel=0.15)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_z_of_nothing_is_undefined(n: int, m: int) -> None:
    assert mann_whitney(np.ones(n), np.ones(m)) == Estimate(None)


def test_z_is_0_where_all_are_tied_and_as_uncertain_as_it_can_be_for_one_image() -> None:
    normal = 2 * stats.norm.ppf(0.975)
    for n, m in ((30, 20), (1, 1)):
        tied = mann_whitney(np.zeros(n), np.zeros(m))
        assert value(tied) == 0
        assert length(tied) == pytest.approx(normal)
    one = mann_whitney(np.zeros(1), np.arange(1.0, 6))
    assert value(one) == pytest.approx(-2.5 / np.sqrt(5 * 7 / 12))
    assert length(one) == pytest.approx(normal)


# Images


def test_training_images_with_a_little_noise_are_copies(little: ImageSet, rng: np.random.Generator) -> None:
    noisy = np.clip(little.train[:200] / 255 + rng.normal(0, 0.01, little.train[:200].shape), 0, 1)
    found = copy_test(noisy, little.train, little.heldout)
    assert value(found.z) < -10
    # For images with hardly any ink, many training images are equally near.
    drawn = noisy.sum((1, 2, 3)) > 20
    np.testing.assert_array_equal(found.index[drawn], np.arange(200)[drawn])
    assert value(found.copies) > 0.5
    assert value(found.heldout_copies) < 0.02
    np.testing.assert_allclose(
        found.distance,
        np.sqrt(((as_rows(noisy) - as_rows(little.train)[found.index]) ** 2).sum(1)),
        rtol=1e-5,
    )


def test_a_tenth_of_copies_among_honest_samples_is_noticed(little: ImageSet) -> None:
    mixed = np.concatenate([little.train[:100], little.heldout[:400]])
    found = copy_test(mixed, little.train, little.heldout[400:])
    assert value(found.z) < -3
    assert value(found.copies) == pytest.approx(0.2, abs=0.03)


def test_held_out_images_are_no_copies_of_training_images(little: ImageSet) -> None:
    half = np.arange(len(little.heldout)) % 2 == 0
    found = copy_test(little.heldout[half], little.train, little.heldout[~half])
    assert abs(value(found.z)) < 3
    assert value(found.copies) < 0.02
    assert len(found.distance) == len(found.heldout_distance) == 500
    assert METRICS["copy_z"].better is None


@pytest.mark.parametrize("kind", ["blurred", "noisy", "averaged"])
def test_bad_samples_are_not_copies_but_unlike_held_out_images(
    kind: str, little: ImageSet, rng: np.random.Generator
) -> None:
    samples = little.heldout[:200] / 255
    if kind == "blurred":
        samples = gaussian_filter(samples, (0, 0, 1.5, 1.5))
    elif kind == "noisy":
        samples = np.clip(samples + rng.normal(0, 0.3, samples.shape), 0, 1)
    else:
        samples = (samples[:100] + samples[100:]) / 2
    found = copy_test(samples, little.train, little.heldout[200:])
    assert value(found.z) > 3
    assert value(found.copies) == 0


@pytest.mark.parametrize("kind", ["a little blurred", "hazy", "small"])
def test_honest_samples_that_are_nearer_to_everything_are_no_copies(kind: str, little: ImageSet) -> None:
    # For each kind, the plain distance to the nearest training image would be a false alarm.
    samples, rest = little.heldout[:400] / 255, little.heldout[400:]
    if kind == "a little blurred":
        samples = gaussian_filter(samples, (0, 0, 0.6, 0.6))
        plain_is_fooled = True
    elif kind == "hazy":
        samples = np.maximum(samples, 0.02)
        plain_is_fooled = False
    else:
        ink = samples.mean((1, 2, 3))
        samples = samples[ink < np.quantile(ink, 0.4)]
        plain_is_fooled = True
    found = copy_test(samples, little.train, rest)
    assert value(found.z) > -3
    assert (value(mann_whitney(found.distance, found.heldout_distance)) < -3) == plain_is_fooled


@pytest.mark.parametrize("blank", [0, 150, 350])
def test_more_or_fewer_blank_images_than_real_ones_have_are_no_copies(blank: int, little: ImageSet) -> None:
    train, heldout = np.array(little.train), np.array(little.heldout)
    train[:30] = heldout[:150] = 0
    samples = np.concatenate([np.zeros_like(heldout[:blank]), heldout[600:]])
    # A thousandth of grey is nothing on disk.
    found = copy_test(np.clip(samples / 255 + 0.001, 0, 1), train, heldout[:600])
    assert abs(value(found.z)) < 3
    assert (found.distance[:blank] == 0).all()
    assert value(found.copies) < 0.02


def test_a_sampler_of_nothing_but_blank_images_cannot_be_ranked(little: ImageSet) -> None:
    blank = np.zeros_like(little.heldout[:50])
    found = copy_test(blank, np.concatenate([little.train, blank[:1]]), little.heldout)
    assert found.z == Estimate(None)
    assert (found.distance == 0).all()


def test_the_held_out_images_themselves_are_not_called_unlike_themselves(little: ImageSet) -> None:
    found = copy_test(little.heldout / 255, little.train, little.heldout)
    assert abs(value(found.z)) < 3


def test_colour_images_and_a_single_training_image_are_compared_too(rng: np.random.Generator) -> None:
    train = rng.random((1, 3, 4, 4))
    found = copy_test(rng.random((6, 3, 4, 4)), train, rng.random((5, 3, 4, 4)))
    assert (found.index == 0).all()
    assert found.copies == found.heldout_copies == Estimate(None)
    length(found.z)


def test_a_reference_serves_several_samples_and_a_test_by_itself_is_the_same(little: ImageSet) -> None:
    reference = CopyReference(little.train[:100], little.heldout[:50])
    for samples in (little.heldout[50:80], little.train[:30]):
        once, again = copy_test(samples, little.train[:100], little.heldout[:50]), reference.test(samples)
        assert once.z == again.z
        assert once.copies == again.copies
        np.testing.assert_array_equal(once.index, again.index)


def test_no_samples_or_no_held_out_images_leave_z_undefined(little: ImageSet) -> None:
    def between(samples: NDArray[Any], heldout: NDArray[Any]) -> CopyTest:
        return copy_test(samples, little.train[:20], heldout)

    without = between(little.heldout[:0], little.heldout[:9])
    assert without.z == without.copies == Estimate(None)
    assert len(without.index) == 0
    assert value(without.heldout_copies) >= 0
    without = between(little.heldout[:9], little.heldout[:0])
    assert without.z == without.heldout_copies == Estimate(None)
    assert len(without.index) == 9
    # The only held-out image is ranked, and none is left to measure a distance to.
    assert between(little.heldout[:9], little.heldout[:1]).z == Estimate(None)
    length(between(little.heldout[5:6], little.heldout[:2]).z)


def test_images_that_cannot_be_compared_are_refused_in_one_line(little: ImageSet) -> None:
    train, heldout = little.train[:10], little.heldout[:10]
    with pytest.raises(
        UserError, match=r"expected samples of the shape of the training images, \[1, 16, 16\]"
    ):
        copy_test(heldout[..., :8], train, heldout)
    with pytest.raises(UserError, match="expected held-out images of the shape"):
        copy_test(heldout, train, heldout[..., :8])
    with pytest.raises(UserError, match="expected training images, got none"):
        copy_test(heldout, train[:0], heldout)
    with pytest.raises(UserError, match="numbers from 0 to 1"):
        copy_test(np.full(heldout.shape, np.nan), train, heldout)


def test_a_reference_of_bytes_in_blocks_has_the_nearest_of_one_of_floats(rng, monkeypatch):
    train = rng.integers(0, 9, (50, 12), dtype=np.uint8)
    rows = as_rows(rng.integers(0, 9, (20, 1, 3, 4), dtype=np.uint8))
    whole = nearest(rows, train / np.float32(255), 3)
    monkeypatch.setattr(nearest_module, "_CHUNK_SIZE", 12 * 7)
    for found, expected in zip(nearest(rows, train, 3), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
