"""Error of the predicted noise by noise level, of held-out and of training images, beside the two ideal denoisers.

All denoisers get the same noised images, so differences between them are those of pairs. Neighbouring noise levels have
different noises, because errors of the noises would otherwise add up over the levels.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.diffusion.samplers.thresholding import threshold_x0
from core.evaluation.metrics import Curves, Metrics, Progress
from core.evaluation.preprocess import Images, to_x0
from core.runs.noise_errors import clear_ranges
from core.statistics.decoder_errors import DecoderErrors
from core.statistics.estimate import Estimate
from core.statistics.gaussian_sampling import MAX_DIMENSIONS
from core.statistics.ideal_denoiser import ideal_noise_errors
from core.statistics.intervals import NORMAL_95, finite_mean
from core.statistics.linear_denoiser import LinearDenoiser
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.predicted_bound import BoundParts, predicted_bound
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 256
"""Number of held-out images, and of training images, for which the errors are measured."""
LEVELS: Final = 28
"""Number of noise levels."""
IDEAL_IMAGES: Final = 4096
"""Number of training images that the ideal denoiser of the training set knows."""
_IDEAL_WORK: Final = MAX_IMAGES * 1024
"""Number of values of the images whose noise the ideal denoiser predicts, so that it takes seconds."""
NAMES: Final = ("network_bits", "step_bits", "variance_bits", "memorised_bits", "linear_log_snr")
_NOISES: Final = 4
"""Noises of an image; level k has noise k modulo 4."""
_LOWEST: Final = -14.0
_BATCH: Final = 64
_SMALLEST: Final = 1e-12

Numbers = NDArray[np.float64]


def noise_error_timesteps(log_snr: Numbers, count: int = LEVELS) -> NDArray[np.int64]:
    """Choose timesteps 0..T-1 that are about even in log SNR, both ends included, descending.

    Args:
        log_snr: [T], falling; timesteps below a log SNR of -14, where every denoiser predicts the mean, are left out.
        count: number of timesteps; fewer if there are fewer, and none for pure noise alone.
    """
    usable = np.flatnonzero(log_snr >= _LOWEST)
    if not len(usable):
        return usable
    even = np.linspace(log_snr[usable[-1]], log_snr[0], count)
    return np.unique(np.abs(log_snr[usable, None] - even).argmin(axis=0))[::-1]


def noise_error(
    loaded: LoadedModel,
    heldout: Images,
    train: NDArray[np.uint8],
    *,
    seed: int = 0,
    progress: Progress | None = None,
    denoiser: LinearDenoiser | None = None,
) -> tuple[Metrics, Curves]:
    """Measure the noise error of a run's network at its own timesteps.

    Args:
        loaded: the run, as of a checkpoint.
        heldout: [N, C, H, W], N >= 1, uint8 or float in [0, 1].
        train: uint8 [R, C, H, W], all training images; the first N are measured.
        seed: seed of the noises.
        progress: called with images passed through the network so far, and in all.
        denoiser: linear denoiser of `train`, where it is known; otherwise it is fitted.

    Returns:
        Metrics, and curves over the log SNR: ``noise_error`` of held-out images, ``.train`` of training images,
        ``.clipped`` of held-out images with the run's thresholding, as the bound has it, ``.linear`` of the linear
        denoiser and ``.ideal`` of the ideal denoiser of the training set on training images; and the differences
        ``.over_linear`` of network and linear denoiser, and ``.over_train`` of held-out and training images. Keys of
        `core.runs.noise_errors`. Metrics without values, and no curves, for a network that has diverged.

    Raises:
        UserError: images that the network cannot take.
    """
    schedule = loaded.diffusion.schedule
    timesteps = noise_error_timesteps(schedule.log_snr)
    levels = schedule.log_snr[timesteps]
    if not len(timesteps):
        return dict.fromkeys(NAMES, Estimate(None)), {}
    images = to_x0(loaded, heldout)
    known = to_x0(loaded, train[: len(heldout)])
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn((_NOISES, *images.shape), generator=generator, dtype=images.dtype)
    total = (len(images) + len(known)) * len(timesteps)

    def counted(done: int) -> None:
        if progress is not None:
            progress(done, total)

    raw, clipped, first = _network_errors(loaded, images, eps, timesteps, counted, 0)
    raw_train, clipped_train, _ = _network_errors(
        loaded, known, eps, timesteps, counted, len(images) * len(timesteps)
    )
    if not (np.isfinite(raw).all() and np.isfinite(raw_train).all()):
        return dict.fromkeys(NAMES, Estimate(None)), {}
    curves: Curves = {"noise_error.x": levels.tolist()}
    curves |= _curve("noise_error", raw) | _curve("noise_error.train", raw_train)
    curves |= _curve("noise_error.clipped", clipped)
    curves |= _difference("noise_error.over_train", raw, raw_train)
    x0, rows_known = _rows(images), _rows(known)
    if denoiser is None and x0.shape[1] <= MAX_DIMENSIONS:
        denoiser = LinearDenoiser.fit(train)
    linear, ideal = np.empty_like(raw), []
    chosen = slice(max(_IDEAL_WORK // x0.shape[1], 16))
    train_rows = train[:IDEAL_IMAGES].reshape(-1, x0.shape[1]) / 127.5 - 1
    for index in range(min(_NOISES, len(levels))):
        noise, at = _rows(eps[index]), slice(index, None, _NOISES)
        if denoiser is not None:
            linear[:, at] = denoiser.noise_errors(x0, noise, levels[at])
        ideal.append(
            ideal_noise_errors(train_rows, rows_known[chosen], noise[: len(known)][chosen], levels[at])
        )
    if denoiser is not None:
        curves |= _curve("noise_error.linear", linear) | _curve("noise_error.over_linear", raw - linear)
    means = np.empty(len(levels))
    for index, errors in enumerate(ideal):
        means[index::_NOISES] = errors.mean(axis=0)
    curves |= {"noise_error.ideal": np.maximum(means, _SMALLEST).tolist()}
    decoder = DecoderErrors.from_errors(float(levels[-1]), x0, first)
    mean_square = float(np.mean(x0**2))
    curves |= {
        "noise_error.mean_square": [mean_square],
        "decoder_error": decoder.error.tolist(),
        "decoder_error.extreme": decoder.extreme.tolist(),
        "decoder_error.inner": decoder.inner.tolist(),
    }
    metrics = _metrics(loaded, levels, clipped, clipped_train, mean_square)
    metrics["linear_log_snr"] = Estimate(None if denoiser is None else _beats_above(levels, raw, linear))
    return metrics, curves


def _network_errors(
    loaded: LoadedModel,
    x0: torch.Tensor,
    eps: torch.Tensor,
    timesteps: NDArray[np.int64],
    counted: Callable[[int], None],
    done: int,
) -> tuple[Numbers, Numbers, Numbers]:
    """Return the errors of each image at each timestep, without and with thresholding, and x0 predicted at the last."""
    diffusion, clip = loaded.diffusion, loaded.config.sample.clip
    snr = torch.from_numpy(diffusion.schedule.snr[timesteps].copy())
    found, first = [], []
    for images, noises in zip(
        torch.split(x0, _BATCH), torch.split(eps[:, : len(x0)], _BATCH, dim=1), strict=True
    ):
        squares = []
        for index, timestep in enumerate(timesteps.tolist()):
            noise = noises[index % _NOISES].to(images.device)
            t = torch.full((len(images),), timestep, dtype=torch.int64, device=images.device)
            xt = diffusion.q_sample(images, t, noise)
            with torch.no_grad():
                predicted = diffusion.predict_x0(loaded.model(xt, t), xt, t)
            thresholded = threshold_x0(predicted, clip)
            squares += [(images - each).square().flatten(1).mean(1) for each in (predicted, thresholded)]
            done += len(images)
            counted(done)
        found.append(torch.stack(squares, dim=1).cpu().double().view(len(images), -1, 2) * snr[:, None])
        first.append(_rows(thresholded))
    both = torch.cat(found).numpy()
    return both[..., 0], both[..., 1], np.concatenate(first)


def _metrics(
    loaded: LoadedModel, levels: Numbers, heldout: Numbers, train: Numbers, mean_square: float
) -> Metrics:
    """Compute the parts of the bound with intervals over images, to first order in the errors."""
    means = np.maximum(heldout.mean(axis=0), _SMALLEST)

    def parts(error: Numbers) -> BoundParts:
        curve = NoiseErrorCurve(levels, error, error, error)
        return predicted_bound(
            curve, loaded.diffusion.schedule, variance=loaded.diffusion.variance, mean_square=mean_square
        )

    found, names = parts(means), ("network", "steps", "variance")
    slopes = np.zeros((len(names), len(levels)))
    for index in range(len(levels)):
        step = 1e-4 * means[index]
        changed = parts(means + step * (np.arange(len(levels)) == index))
        slopes[:, index] = [(getattr(changed, name) - getattr(found, name)) / step for name in names]
    each = (heldout - means) @ slopes.T + [getattr(found, name) for name in names]
    differences = _estimated_difference(heldout @ slopes[0], train @ slopes[0])
    return dict(zip(NAMES[:4], [*(finite_mean(values) for values in each.T), differences], strict=True))


def _beats_above(levels: Numbers, raw: Numbers, linear: Numbers) -> float | None:
    """Return the highest log SNR at which the network is clearly worse than the linear denoiser; None if nowhere."""
    points = [finite_mean(column) for column in (raw - linear).T]
    values = np.array([point.value for point in points], dtype=np.float64)
    low = np.array([point.low for point in points], dtype=np.float64)
    ranges = clear_ranges(levels, values, low, linear.mean(axis=0))
    return ranges[-1][1] if ranges else None


def _curve(name: str, values: Numbers) -> Curves:
    points = [finite_mean(column) for column in values.T]
    return {
        name: [point.value for point in points],
        f"{name}.low": [point.low for point in points],
        f"{name}.high": [point.high for point in points],
    }


def _difference(name: str, one: Numbers, other: Numbers) -> Curves:
    points = [_estimated_difference(*columns) for columns in zip(one.T, other.T, strict=True)]
    return {
        name: [point.value for point in points],
        f"{name}.low": [point.low for point in points],
        f"{name}.high": [point.high for point in points],
    }


def _estimated_difference(one: Numbers, other: Numbers) -> Estimate:
    """Estimate the difference of the means of two independent groups, [N] and [M]."""
    value = float(one.mean() - other.mean())
    if min(len(one), len(other)) < 2:
        return Estimate(value)
    half = NORMAL_95 * float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return Estimate(value, value - half, value + half)


def _rows(images: torch.Tensor) -> Numbers:
    rows: Numbers = images.detach().cpu().double().flatten(1).numpy()
    return rows
