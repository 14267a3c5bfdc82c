"""Noise errors of an evaluated run: its curves, the levels at which it fails or memorises, and its bound in parts."""

from typing import Final, Literal

import numpy as np

from core.runs.interventions import Interventions
from core.runs.results import Evaluation
from core.schedules import Schedule
from core.statistics.decoder_errors import DecoderErrors
from core.statistics.noise_error import Array, NoiseErrorCurve
from core.statistics.predicted_bound import BoundParts, BoundVariance, predicted_bound

NoiseErrorName = Literal["", "train", "clipped", "linear", "ideal"]
_Measured = Evaluation | Interventions
Range = tuple[float, float]
"""Lowest and highest log SNR of neighbouring noise levels."""

_CLEAR: Final = 3.3 / 1.96
"""A level counts where the difference is 3.3 standard errors from 0, because there are many levels."""


def noise_error_curve(evaluation: _Measured, name: NoiseErrorName = "") -> NoiseErrorCurve | None:
    """Return a curve of an evaluation; None if it was not measured.

    Args:
        evaluation: the evaluation.
        name: empty for the network's error on held-out images, ``train`` for that on training images, ``clipped`` for
            held-out images with the run's thresholding, as in the bound, ``linear`` for the linear denoiser and
            ``ideal`` for the ideal denoiser of the training set, which has no intervals.
    """
    key = "noise_error" + (f".{name}" if name else "")
    log_snr, error = _numbers(evaluation, "noise_error.x"), _numbers(evaluation, key)
    if log_snr is None or error is None or len(log_snr) != len(error) or not (error > 0).all():
        return None
    low, high = _numbers(evaluation, f"{key}.low"), _numbers(evaluation, f"{key}.high")
    usable = low is not None and high is not None and len(low) == len(high) == len(error)
    return NoiseErrorCurve(log_snr, error, *((low, high) if usable else (error, error)))  # type: ignore[arg-type]


def worse_than_linear(evaluation: _Measured) -> list[Range]:
    """Return the ranges of log SNR in which the network is clearly worse than the linear denoiser, rising."""
    return _ranges(evaluation, "noise_error.over_linear")


def memorised(evaluation: _Measured) -> list[Range]:
    """Return the ranges of log SNR in which training images have a clearly lower error than held-out ones, rising."""
    return _ranges(evaluation, "noise_error.over_train")


def bound_parts(evaluation: _Measured, schedule: Schedule, variance: BoundVariance) -> BoundParts | None:
    """Predict the bound of the run's network under any schedule; None if its noise errors were not measured.

    Args:
        evaluation: the evaluation.
        schedule: the run's own schedule, or another.
        variance: variance of the reverse process.
    """
    curve = noise_error_curve(evaluation, "clipped")
    mean_square = _numbers(evaluation, "noise_error.mean_square")
    if curve is None or mean_square is None or not len(mean_square):
        return None
    values = [_numbers(evaluation, f"decoder_error{key}") for key in ("", ".extreme", ".inner")]
    decoder = None
    if all(value is not None for value in values):
        errors = DecoderErrors(float(curve.log_snr[-1]), *values)  # type: ignore[arg-type]
        decoder = errors.bits(curve, schedule, variance)
    return predicted_bound(
        curve, schedule, variance=variance, mean_square=float(mean_square[0]), decoder=decoder
    )


def _ranges(evaluation: _Measured, name: str) -> list[Range]:
    levels, value, low = (_numbers(evaluation, key) for key in ("noise_error.x", name, f"{name}.low"))
    if levels is None or value is None or low is None or not len(levels) == len(value) == len(low):
        return []
    clear = value - _CLEAR * (value - low) > 0
    changes = np.flatnonzero(np.diff(np.concatenate([[False], clear, [False]]).astype(int)))
    return [
        (float(levels[start]), float(levels[stop - 1]))
        for start, stop in zip(changes[::2], changes[1::2], strict=True)
    ]


def _numbers(evaluation: _Measured, name: str) -> Array | None:
    values = evaluation.curves.get(name)
    if values is None or any(value is None for value in values):
        return None
    numbers = np.array(values, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None
