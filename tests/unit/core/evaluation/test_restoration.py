"""Baselines and measures of restoration, on cases with a known answer."""

import numpy as np
import pytest
import torch

from core.diffusion.restoration.operators import AveragePool, Identity, Mask
from core.errors import UserError
from core.evaluation.metrics.restoration import restoration
from core.evaluation.metrics.ssim import ssim
from core.evaluation.restoration.baselines import (
    bicubic,
    biharmonic_fill,
    nearest_fill,
    total_variation,
    wiener,
)
from core.evaluation.restoration.restore import check_method, matching_timestep, network_calls, restore
from core.evaluation.restoration.tasks import TASKS
from core.runs import METRICS, Evaluation
from core.runs.restoration import ANSWER, GAIN, MEAN, restoration_rows
from core.statistics.noise_level import estimate_noise
from tests.support.networks import load, process

RNG = np.random.default_rng(0)
KNOWN = np.ones((16, 16), dtype=bool)
KNOWN[5:9, 6:11] = False


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.3])
def test_noise_is_estimated_beside_edges(sigma):
    images = np.zeros((3, 1, 32, 32))
    images[..., 5:20, 8:30] = 1.0
    noisy = images + sigma * RNG.standard_normal(images.shape)
    np.testing.assert_allclose(estimate_noise(noisy), sigma, rtol=0.2)
    np.testing.assert_array_equal(estimate_noise(images), 0.0)


def test_similarity_of_flat_images_is_that_of_their_luminance():
    first, second = np.full((1, 1, 16, 16), 0.3), np.full((1, 1, 16, 16), 0.7)
    expected = (2 * 0.3 * 0.7 + 1e-4) / (0.3**2 + 0.7**2 + 1e-4)
    assert ssim(first, second) == pytest.approx([expected])
    image = RNG.random((2, 3, 16, 16))
    assert ssim(image, image) == pytest.approx([1.0, 1.0])
    assert ssim(image, 1.0 - image).max() < 0.0


def test_similarity_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    first, second = RNG.random((2, 20, 20))
    expected = metrics.structural_similarity(
        first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert ssim(first[None, None], second[None, None]) == pytest.approx([expected], abs=1e-6)


def test_a_hole_in_a_plane_is_filled_by_the_plane():
    plane = np.add.outer(0.02 * np.arange(16), 0.03 * np.arange(16))[None, None]
    found = biharmonic_fill(np.where(KNOWN, plane, 7.0), KNOWN)
    np.testing.assert_allclose(found, plane, atol=1e-8)


def test_the_nearest_known_pixel_fills_a_hole():
    image = RNG.random((2, 1, 16, 16))
    found = nearest_fill(image, KNOWN)
    np.testing.assert_array_equal(found[..., KNOWN], image[..., KNOWN])
    np.testing.assert_array_equal(found[..., 5, 7], image[..., 4, 7])


def test_total_variation_is_lowered_without_changing_the_mean():
    image = RNG.random((2, 1, 16, 16))
    found = total_variation(image, 0.2)

    def variation(u):
        return np.abs(np.diff(u, axis=2)).sum() + np.abs(np.diff(u, axis=3)).sum()

    assert variation(found) < 0.3 * variation(image)
    np.testing.assert_allclose(found.mean(axis=(2, 3)), image.mean(axis=(2, 3)))
    np.testing.assert_allclose(total_variation(image, 1e-6), image, atol=1e-4)


def test_bicubic_keeps_flat_images():
    np.testing.assert_allclose(bicubic(np.full((2, 3, 4, 4), 0.4), 2), np.full((2, 3, 8, 8), 0.4))


def test_wiener_is_the_conditional_mean_of_a_gaussian():
    factor = RNG.standard_normal((4, 4)) / 10
    x = (0.5 + RNG.standard_normal((20_000, 4)) @ factor.T).reshape(-1, 1, 2, 2)
    mu, S = x.reshape(-1, 4).mean(axis=0), np.cov(x.reshape(-1, 4).T, bias=True)
    y = np.array([0.6, 0.4]).reshape(1, 1, 1, 2)
    A = np.eye(4)[:2]
    found = wiener(y, x, lambda images: images[:, :, :1], 0.05)
    expected = mu + S @ A.T @ np.linalg.solve(A @ S @ A.T + 0.05**2 * np.eye(2), y.ravel() - A @ mu)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-10)


def test_a_run_that_knows_the_images_beats_every_baseline():
    images = np.zeros((3, 1, 16, 16), np.uint8)
    for index in range(3):
        images[index, 0, 3 : 8 + index, 5:13] = 255
    x0 = torch.from_numpy(images / 127.5 - 1.0).float()

    def knowing(xt, t):
        return x0.repeat_interleave(2, dim=0) + 0.0 * xt

    loaded = load(process(20, prediction_type="sample"), knowing, size=16)
    calls = []
    metrics, curves = restoration(
        loaded,
        images,
        np.tile(images, (5, 1, 1, 1)),
        triangles=True,
        answers=2,
        calls=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert list(metrics) == [f"restore_{task.name}" for task in TASKS]
    assert metrics.keys() <= METRICS.keys()
    assert calls[-1][0] == calls[-1][1]
    assert min(metrics[name].value for name in metrics) > 35
    evaluation = Evaluation(created="", dataset="d", count=1, heldout=1, metrics=metrics, curves=curves)
    rows = restoration_rows(evaluation)
    assert {row.task for row in rows} == {task.name for task in TASKS}
    assert {MEAN, ANSWER, GAIN, "Wiener"} <= {row.method for row in rows if row.task == "box"}
    assert next(row for row in rows if row.method == MEAN).iou.value == 1.0


def test_denoising_starts_at_the_level_of_the_noise():
    loaded = load(process(20, prediction_type="sample"), lambda xt, t: 0.0 * xt)
    t = matching_timestep(loaded, 0.8)
    ratios = [np.divide(*loaded.diffusion.alpha_sigma(step)[::-1]) for step in range(20)]
    assert t == int(np.argmin(np.abs(np.log(ratios) - np.log(0.8))))
    y = torch.randn((2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    states = list(
        restore(loaded, y, Identity(), sigma_y=0.8, calls=3, generator=torch.Generator().manual_seed(1))
    )
    torch.testing.assert_close(states[0].xt, loaded.diffusion.alpha_sigma(t)[0] * y)
    assert [state.timestep for state in states][::3] == [t, -1]
    assert network_calls(loaded, "denoise", 3, 0.8) == 3
    assert network_calls(loaded, "repaint", 50, 0.0) == 46


@pytest.mark.parametrize(
    ("method", "operator", "sigma", "text"),
    [
        ("repaint", AveragePool(2), 0.0, "missing pixels only"),
        ("denoise", AveragePool(2), 0.1, "removes noise only"),
        ("ddnm", Mask(torch.ones(1, 1, 2, 2)), 0.1, "free of noise; expected pigdm"),
    ],
)
def test_methods_that_do_not_fit_are_refused(method, operator, sigma, text):
    with pytest.raises(UserError, match=text):
        check_method(method, operator, sigma)
