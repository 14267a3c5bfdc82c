"""Images noised and denoised: the trajectory against the sampler by hand, the metrics on cases with a known answer."""

import itertools
import math

import cv2
import numpy as np
import pytest
import torch

from core.data import DataRecipe
from core.data.triangles import render
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, run_sampler
from core.errors import UserError
from core.evaluation.metrics.denoising import denoise, psnr, reconstruct, scaled_steps, timestep_from_strength
from core.evaluation.metrics.reconstruction import iou, reconstruction, vertex_error
from core.runs import METRICS
from core.statistics.estimate import Estimate
from tests.support.networks import load, process

CORNERS = np.array(
    [[[4, 5], [28, 9], [12, 27]], [[3, 20], [29, 29], [20, 3]], [[6, 6], [6, 26], [26, 6]]], dtype=np.float64
)
TRIANGLES = render(DataRecipe(name="smooth", antialias=True), CORNERS / 32)
NOTHING = np.zeros((1, 1, 32, 32), np.uint8)
SLIVER = np.array([[[4.0, 4.0], [4.0, 4.01], [4.01, 4.0]]])
NAMES = ["reconstruction_psnr", "reconstruction_iou", "reconstruction_vertex"]


def scaled(images):
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1.0)


def knowing(images, timesteps=20, **sample):
    """A run that predicts these images from any input."""
    x0 = scaled(images)
    return load(
        process(timesteps, prediction_type="sample"), lambda xt, t: x0, size=images.shape[-1], **sample
    )


def shrinking(xt, t):
    """Any smooth function of both."""
    return torch.tanh(1.3 * xt) - 0.01 * t.view(-1, 1, 1, 1)


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 0.7)])
@pytest.mark.parametrize("t", [0, 7, 19])
def test_an_image_is_noised_and_then_denoised_by_the_runs_own_sampler(sampler, eta, t):
    loaded = load(
        process(prediction_type="sample"), shrinking, size=32, sampler=sampler, eta=eta, clip="static"
    )
    generator = torch.Generator().manual_seed(4)
    states = list(denoise(loaded, scaled(TRIANGLES), t, generator=generator))
    assert [state.timestep for state in states] == [*range(t, -1, -1), -1]

    abar = loaded.diffusion.schedule.alphas_cumprod[t]
    by_hand = torch.Generator().manual_seed(4)
    eps = torch.randn(3, 1, 32, 32, generator=by_hand)
    noised = math.sqrt(abar) * scaled(TRIANGLES) + math.sqrt(1 - abar) * eps
    torch.testing.assert_close(states[0].xt, noised)
    *_, last = run_sampler(
        sampler,
        shrinking,
        loaded.diffusion,
        noised,
        SamplerOptions(start=t, eta=eta, clip="static"),
        generator=by_hand,
    )
    torch.testing.assert_close(states[-1].xt, last.xt)
    images = reconstruct(loaded, TRIANGLES, t, seed=4)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, (last.xt.clamp(-1, 1).numpy() + 1) / 2, atol=1e-6)


def test_another_sampler_or_number_of_steps_may_be_asked_for():
    loaded = load(process(prediction_type="sample"), shrinking, size=32, sampler="ddpm", steps=10)
    own = reconstruct(loaded, TRIANGLES, 9)
    assert np.array_equal(own, reconstruct(loaded, TRIANGLES, 9, steps=5))
    for change in ({"steps": 6}, {"seed": 1}):
        assert np.abs(own - reconstruct(loaded, TRIANGLES, 9, **change)).max() > 1e-3
    other = load(process(prediction_type="sample"), shrinking, size=32, sampler="ddim", steps=10)
    assert np.abs(own - reconstruct(other, TRIANGLES, 9)).max() > 1e-3
    generator = torch.Generator().manual_seed(0)
    assert len(list(denoise(loaded, scaled(TRIANGLES), 9, generator=generator))) == 6


@pytest.mark.parametrize(
    ("whole", "t", "timesteps", "calls"),
    [
        (None, 0, 1, 1),
        (None, 149, 300, 150),
        (50, 299, 300, 50),
        (50, 149, 300, 25),
        (50, 0, 300, 1),
        (7, 3, 8, 4),
    ],
)
def test_a_shorter_trajectory_makes_its_share_of_the_steps(whole, t, timesteps, calls):
    assert scaled_steps(whole, t, timesteps) == calls


def test_every_share_of_the_steps_is_a_valid_number_of_steps():
    for timesteps, whole in itertools.product((1, 2, 8, 13), (None, 1, 2, 5, 8, 13)):
        if whole is None or whole <= timesteps:
            for t in range(timesteps):
                assert 1 <= scaled_steps(whole, t, timesteps) <= t + 1


@pytest.mark.parametrize(
    ("strength", "timesteps", "t"), [(1.0, 20, 19), (0.5, 20, 9), (1e-9, 20, 0), (1.0, 1, 0), (0.5, 1, 0)]
)
def test_a_strength_is_a_share_of_the_timesteps(strength, timesteps, t):
    assert timestep_from_strength(strength, timesteps) == t


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(UserError, match=f"expected a strength above 0 and at most 1, got {strength}"):
        timestep_from_strength(strength, 20)


@pytest.mark.parametrize("t", [-1, 20])
def test_a_timestep_out_of_range_is_refused(t):
    with pytest.raises(UserError, match=f"expected a timestep from 0 to 19 to noise to, got {t}"):
        reconstruct(knowing(TRIANGLES), TRIANGLES, t)


def test_more_steps_than_are_left_are_refused():
    with pytest.raises(UserError, match="expected from 1 to 5 sampling steps"):
        reconstruct(knowing(TRIANGLES), TRIANGLES, 4, steps=6)


def test_the_noise_is_the_same_for_each_timestep_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    noises = []
    for t in (3, 17):
        loaded = load(process(prediction_type="sample"), shrinking, size=32)
        generator = torch.Generator().manual_seed(1)
        first = next(denoise(loaded, scaled(TRIANGLES), t, generator=generator)).xt
        alpha_t, sigma_t = loaded.diffusion.alpha_sigma(t)
        noises.append((first - alpha_t * scaled(TRIANGLES)) / sigma_t)
    torch.testing.assert_close(*noises, rtol=1e-4, atol=1e-4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("timesteps", [1, 20])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_that_knows_the_images_brings_them_back(sampler, timesteps):
    metrics, curves = reconstruction(knowing(TRIANGLES, timesteps, sampler=sampler), TRIANGLES, CORNERS)
    assert list(metrics) == NAMES
    assert set(metrics) <= set(METRICS)
    # Single precision comes back to within a rounding error, which is nothing beside that of 256 levels.
    assert metrics["reconstruction_psnr"].value == pytest.approx(10 * math.log10(12 * 255**2), abs=1e-6)
    assert metrics["reconstruction_iou"].value == 1.0
    assert metrics["reconstruction_vertex"].value < 0.05
    floor, *rest = curves["reconstruction_vertex"]
    np.testing.assert_allclose(rest, floor, atol=1e-3)


def test_curves_run_over_the_timesteps_from_1_to_T_with_the_metrics_in_their_middle():
    loaded = load(process(prediction_type="sample"), shrinking, size=32)
    metrics, curves = reconstruction(loaded, TRIANGLES, CORNERS)
    expected = [2, 5, 8, 10, 12, 15, 18, 20]  # eighths of 20, halves rounded to even
    for name in NAMES:
        begin = [0] if name == "reconstruction_vertex" else []
        assert curves[f"{name}.x"] == begin + expected
        assert {len(curves[f"{name}{end}"]) for end in ("", ".low", ".high")} == {len(begin) + 8}
        middle = curves[f"{name}.x"].index(10)
        at = Estimate(*(curves[f"{name}{end}"][middle] for end in ("", ".low", ".high")))
        assert metrics[name] == at
    errors = psnr(TRIANGLES / 255, reconstruct(loaded, TRIANGLES, 9).astype(np.float64))
    assert metrics["reconstruction_psnr"].value == pytest.approx(errors.mean())


def test_one_timestep_is_visited_once():
    _, curves = reconstruction(knowing(TRIANGLES, 1), TRIANGLES, CORNERS)
    assert curves["reconstruction_psnr.x"] == [1.0]
    assert curves["reconstruction_vertex.x"] == [0.0, 1.0]


def test_more_noise_leaves_less_of_the_image():
    diffusion = process(prediction_type="sample")
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy()).float()

    def best_linear(xt, t):
        a = abar[t].view(-1, 1, 1, 1)
        return a.sqrt() * xt  # of pixels with mean 0 and variance 1

    _, curves = reconstruction(load(diffusion, best_linear, size=32), TRIANGLES, CORNERS)
    for name in ("reconstruction_psnr", "reconstruction_iou"):
        assert np.all(np.diff(curves[name])[:4] < 0), name


def test_images_of_other_things_have_only_a_psnr():
    metrics, curves = reconstruction(knowing(TRIANGLES), TRIANGLES)
    assert list(metrics) == ["reconstruction_psnr"]
    assert set(curves) == {f"reconstruction_psnr{end}" for end in ("", ".x", ".low", ".high")}


def test_triangles_in_colour_are_measured_by_their_brightest_channel():
    colour = np.concatenate([TRIANGLES, np.zeros_like(TRIANGLES), TRIANGLES], axis=1)
    x0 = scaled(colour)
    loaded = load(process(prediction_type="sample"), lambda xt, t: x0, size=32, channels=3)
    metrics, _ = reconstruction(loaded, colour, CORNERS, strengths=(0.5,))
    grey, _ = reconstruction(knowing(TRIANGLES), TRIANGLES, CORNERS, strengths=(0.5,))
    assert metrics["reconstruction_iou"].value == 1.0
    assert metrics["reconstruction_vertex"].value == pytest.approx(
        grey["reconstruction_vertex"].value, abs=1e-6
    )


def test_a_run_that_makes_nothing_of_triangles_loses_their_corners():
    loaded = load(
        process(prediction_type="sample"), lambda xt, t: torch.full_like(xt, -1), size=32, clip="static"
    )
    metrics, curves = reconstruction(loaded, TRIANGLES, CORNERS, strengths=(0.5, 1.0))
    assert metrics["reconstruction_iou"].value == 0.0
    assert metrics["reconstruction_vertex"] == Estimate(None)
    assert curves["reconstruction_vertex"][1:] == [None, None]
    assert curves["reconstruction_vertex"][0] is not None


def test_a_run_that_has_diverged_has_no_psnr():
    loaded = load(process(prediction_type="sample"), lambda xt, t: xt * math.nan, size=32)
    metrics, _ = reconstruction(loaded, TRIANGLES, CORNERS, strengths=(0.5,))
    assert metrics["reconstruction_psnr"] == Estimate(None)
    assert metrics["reconstruction_vertex"] == Estimate(None)
    assert metrics["reconstruction_iou"].value == 0.0


def test_an_empty_image_is_measured_by_psnr_alone():
    metrics, _ = reconstruction(knowing(NOTHING), NOTHING, SLIVER, strengths=(0.5,))
    assert metrics["reconstruction_psnr"].value == pytest.approx(58.9, abs=0.1)
    assert metrics["reconstruction_iou"] == Estimate(None)
    assert metrics["reconstruction_vertex"] == Estimate(None)


def test_progress_is_counted_in_images_through_the_network():
    heard = []
    reconstruction(
        knowing(TRIANGLES, steps=10),
        TRIANGLES,
        strengths=(0.5, 1.0),
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(done, 45) for done in range(3, 46, 3)]


def test_images_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"\[N, 1, 32, 32\], got \[2, 1, 8, 8\]"):
        reconstruction(knowing(TRIANGLES), np.zeros((2, 1, 8, 8), np.uint8))


def test_psnr_agrees_with_opencv_and_ends_at_the_error_of_rounding():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 4, 3, 8, 8)).astype(np.uint8)
    expected = [cv2.PSNR(one, other) for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(psnr(first / 255, second / 255), expected, rtol=1e-6)
    np.testing.assert_allclose(psnr(first / 255, first / 255), 10 * math.log10(12 * 255**2))


def test_overlap_is_that_of_two_squares_whatever_the_haze():
    first, second = np.zeros((2, 1, 1, 10, 10))
    first[..., 0:4, 0:4] = 1.0
    second[..., 2:6, 0:4] = 1.0
    assert iou(first, second).tolist() == [8 / 24]
    for haze in (0.01, 0.2, 0.6):
        np.testing.assert_array_equal(iou(first, haze + (1 - haze) * second), [8 / 24])
    grey = first + 0.49 * second
    assert iou(first, grey.clip(0, 1)).tolist() == [1.0]


def test_overlap_of_nothing_with_nothing_is_undefined():
    empty = np.zeros((1, 1, 4, 4))
    spot = empty.copy()
    spot[0, 0, 1, 1] = 1.0
    assert np.isnan(iou(empty, empty)).all()
    assert iou(spot, empty).tolist() == [0.0]
    assert iou(empty, spot).tolist() == [0.0]


def test_corners_are_matched_in_whatever_order_they_come():
    images = TRIANGLES / 255
    exact = vertex_error(images, CORNERS)
    assert exact.max() < 0.05
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(vertex_error(images, CORNERS[:, order]), exact, rtol=1e-9)


def test_corners_moved_by_a_known_distance_have_that_error():
    away = vertex_error(TRIANGLES / 255, CORNERS + np.array([3.0, 4.0]))
    np.testing.assert_allclose(away, 5.0, atol=0.05)
    assert vertex_error(NOTHING / 255, SLIVER).tolist() == [math.inf]
