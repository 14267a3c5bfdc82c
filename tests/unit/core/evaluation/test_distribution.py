"""All metrics of the distributions of samples and of held-out images."""

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from core.data import DataRecipe, ImageSet, load_dataset
from core.errors import UserError
from core.evaluation.metrics.distribution import bandwidth, distribution_metrics, triangle_features
from core.runs import METRICS
from core.statistics import nearest, two_sample
from core.statistics.density_coverage import density_coverage
from core.statistics.estimate import Estimate
from tests.support.estimates import bounds, holds, minus_distance


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


TRIANGLE_KEYS = {"area_ks", "angle_ks", "centroid_distance", "orientation_ks"}


PIXEL_KEYS = {"density", "coverage", "mmd", "sliced_wasserstein"}


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    recipe = DataRecipe(name="little", size=16, antialias=True)
    return load_dataset(recipe, data_dir=tmp_path_factory.mktemp("data"), count=400, heldout=400)


# All together


def test_images_in_small_parts_give_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(37, 8)).astype(np.float32)
    y = rng.normal(size=(41, 8)).astype(np.float32)

    def measured() -> list[Estimate]:
        return [*density_coverage(x, y), two_sample.squared_mmd(x, y, minus_distance)]

    whole = measured()
    monkeypatch.setattr(nearest, "_CHUNK_SIZE", 100)
    for one, other in zip(measured(), whole, strict=True):
        assert msgspec.structs.astuple(one) == pytest.approx(msgspec.structs.astuple(other), rel=1e-5)


def test_training_images_are_distributed_as_held_out_ones(little: ImageSet) -> None:
    found = distribution_metrics(
        little.train,
        little.heldout,
        little.train_vertices,
        little.heldout_vertices,
        rng=np.random.default_rng(0),
    )
    assert set(found) == TRIANGLE_KEYS | PIXEL_KEYS
    assert set(found) <= set(METRICS)
    # A few images that are neighbours of many make density vary more than its interval in some draws.
    assert found.pop("density").value == pytest.approx(1, abs=0.4)
    for name, truth in {**dict.fromkeys(found, 0.0), "coverage": 1 - 2**-5}.items():
        assert holds(found[name], truth), name
    assert msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Estimate]) == found
    assert all(type(bound) is float for one in found.values() for bound in msgspec.structs.astuple(one))


def test_small_triangles_differ_in_area_and_pixels(little: ImageSet) -> None:
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


def test_noisy_images_are_in_no_neighbourhood(little: ImageSet, rng: np.random.Generator) -> None:
    noisy = np.clip(little.train / 255 + rng.normal(0, 0.3, little.train.shape), 0, 1)
    found = distribution_metrics(noisy, little.heldout, None, None, rng=rng)
    assert set(found) == PIXEL_KEYS
    assert bounds(found["density"])[1] < 0.5
    assert bounds(found["coverage"])[1] < 0.5
    assert bounds(found["mmd"])[0] > 0
    assert bounds(found["sliced_wasserstein"])[0] > 0


def test_many_blank_images_on_both_sides_count_as_they_should(
    little: ImageSet, rng: np.random.Generator
) -> None:
    samples, heldout = np.array(little.train), np.array(little.heldout)
    samples[:100] = heldout[:100] = 0
    found = distribution_metrics(samples, heldout, None, None, rng=rng)
    assert found["density"].value == pytest.approx(1, abs=0.4)
    assert found["coverage"].value == pytest.approx(1 - 2**-5, abs=0.05)


def test_more_samples_than_held_out_images_or_fewer_do_not_change_what_coverage_means(
    little: ImageSet,
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


def test_floats_and_bytes_are_the_same_images_and_one_seed_gives_one_answer(
    little: ImageSet,
) -> None:
    def measured(images: NDArray[Any], drawn_before: int) -> dict[str, Estimate]:
        rng = np.random.default_rng(7)
        rng.random(drawn_before)
        return distribution_metrics(
            images, little.heldout, little.train_vertices, little.heldout_vertices, rng=rng
        )

    whole = measured(little.train, 0)
    assert measured(little.train / 255 + 0.001 * (little.train == 0), 5) == whole


def test_the_bandwidth_is_the_median_distance_and_never_0(rng: np.random.Generator) -> None:
    rows = rng.random((30, 5), np.float32)
    assert bandwidth(rows) == pytest.approx(np.median(cdist(rows, rows)[np.triu_indices(30, 1)]), rel=1e-4)
    assert bandwidth(np.ones((4, 5), np.float32)) == 1
    assert bandwidth(rows[:1]) == 1


@pytest.mark.parametrize(("samples", "heldout"), [(0, 20), (1, 20), (20, 0), (20, 1), (1, 1)])
def test_too_few_images_leave_numbers_undefined_without_a_warning(
    samples: int, heldout: int, little: ImageSet, rng: np.random.Generator
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


def test_images_that_cannot_be_compared_are_refused_in_one_line(
    little: ImageSet, rng: np.random.Generator
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
    with pytest.raises(UserError, match=r"expected images \[N, C, H, W\], got an array \[10, 256\]"):
        distribution_metrics(real.reshape(10, -1), real, None, None, rng=rng)
