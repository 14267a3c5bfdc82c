"""Features of general images, and what is measured by them: real images are told from spoilt ones."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from core.evaluation.features import image_features, score
from core.evaluation.metrics.appearance import appearance_metrics
from core.evaluation.metrics.general import FeatureReference

Pixels = NDArray[np.uint8]
SIZE = 16
COUNT = 160


def blobs(count: int, seed: int) -> Pixels:
    """Draw coloured discs above a grey ground that is lighter at its top: an arrangement, edges and colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = rng.uniform(4, 12, (count, 2, 1, 1))
    radius = rng.uniform(2, 5, (count, 1, 1))
    inside = np.hypot(x - centre[:, 0], y - centre[:, 1]) < radius
    colour = rng.uniform((0.6, 0.2, 0.0), (1.0, 0.7, 0.3), (count, 3))[:, :, None, None]
    ground = np.broadcast_to(0.7 - 0.02 * y, (count, 1, SIZE, SIZE)) + rng.uniform(
        -0.1, 0.1, (count, 1, 1, 1)
    )
    return to_pixels(np.where(inside[:, None], colour, ground))


def to_pixels(images: NDArray[np.floating]) -> Pixels:
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def permute_blocks(images: Pixels) -> Pixels:
    half = SIZE // 2
    parts = images.reshape(len(images), 3, 2, half, 2, half)
    return np.ascontiguousarray(parts[:, :, ::-1, :, ::-1]).reshape(images.shape)


def spoil(how: str, images: Pixels) -> Pixels:
    unit = images / 255
    rng = np.random.default_rng(0)
    spoilt: dict[str, Callable[[], Pixels]] = {
        "blurred": lambda: to_pixels(ndimage.gaussian_filter(unit, (0, 0, 0.8, 0.8))),
        "washed": lambda: to_pixels(0.5 + 0.85 * (unit - 0.5)),
        "blocks permuted": lambda: permute_blocks(images),
        "upside down": lambda: images[:, :, ::-1].copy(),
        "channels turned": lambda: images[:, [1, 2, 0]],
        "noisy": lambda: to_pixels(unit + 0.04 * rng.standard_normal(unit.shape)),
        "few": lambda: images[rng.integers(0, 10, len(images))],
    }
    return spoilt[how]()


@pytest.fixture(scope="module")
def reference() -> FeatureReference:
    return FeatureReference(blobs(COUNT, 1), blobs(240, 2))


@pytest.fixture(scope="module")
def real(reference: FeatureReference) -> dict[str, object]:
    return dict(reference.evaluate(blobs(COUNT, 3)))


def test_real_images_are_at_distance_0_within_the_interval(real):
    assert real["kid"].low < 0 < real["kid"].high
    assert real["feature_coverage"].value > 0.9


@pytest.mark.parametrize(
    "how", ["blurred", "washed", "blocks permuted", "upside down", "channels turned", "noisy", "few"]
)
def test_spoilt_images_are_worse_than_real_ones_by_each_measure_with_a_direction(reference, real, how):
    spoilt = reference.evaluate(spoil(how, blobs(COUNT, 3)))
    assert spoilt["kid"].low > max(0.0, real["kid"].value)
    assert spoilt["frechet"].value > real["frechet"].value
    assert spoilt["feature_coverage"].value <= real["feature_coverage"].value


def test_a_score_of_files_is_the_same_in_bytes_and_in_floats(real):
    samples, held = blobs(60, 3), blobs(60, 1)
    found = score(samples, held)
    assert found.low < 0.02
    assert score(samples / 255, held / np.float32(255)).value == pytest.approx(found.value, abs=1e-4)
    assert score(spoil("washed", samples), held, blobs(60, 2)).value > found.high


def test_features_do_not_depend_on_the_other_images_the_batch_or_torchs_seed():
    images = blobs(9, 5)
    torch.manual_seed(1)
    whole = image_features(images)
    torch.manual_seed(2)
    assert whole.shape == (9, 480)
    np.testing.assert_allclose(image_features(images[4:5])[0], whole[4], rtol=1e-5, atol=1e-6)
    assert image_features(images[:, :1]).shape == (9, 480)
    assert image_features(np.zeros((2, 1, 5, 7), np.uint8)).shape == (2, 160)


def test_appearance_says_in_which_way_images_differ():
    images = blobs(30, 6)
    real = appearance_metrics(images)
    grey = appearance_metrics(np.repeat(images.mean(1, keepdims=True), 3, axis=1) / 255)
    assert real["mean_red"].value == pytest.approx((images[:, 0] / 255).mean())
    assert real["saturation"].value > 0.05
    assert grey["saturation"].value == pytest.approx(0, abs=1e-9)
    assert grey["contrast"].value == pytest.approx(real["contrast"].value)
    blurred, washed = (appearance_metrics(spoil(how, images)) for how in ("blurred", "washed"))
    assert blurred["sharpness"].value < 0.8 * real["sharpness"].value
    assert washed["contrast"].value == pytest.approx(0.85 * real["contrast"].value, rel=0.01)
    assert set(appearance_metrics(images[:, :1])) == {"brightness", "contrast", "sharpness"}
