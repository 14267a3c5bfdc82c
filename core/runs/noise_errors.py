"""Noise errors of an evaluated run: its curves, the levels at which it fails or memorises, and its bound in parts."""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from core.config.schema import ScheduleConfig
from core.errors import UserError
from core.runs.interventions import Interventions
from core.runs.results import Evaluation
from core.schedules import ALL_NAMES, Schedule, make_schedule
from core.statistics.decoder_errors import DecoderErrors
from core.statistics.noise_error import Array, NoiseErrorCurve
from core.statistics.predicted_bound import BOUND_VARIANCES, BoundParts, BoundVariance, predicted_bound

NoiseErrorName = Literal["", "train", "clipped", "linear", "ideal"]
_Measured = Evaluation | Interventions
Range = tuple[float, float]
"""Lowest and highest log SNR of neighbouring noise levels."""

_CLEAR: Final = 3.3 / 1.96
"""A level counts where the difference is 3.3 standard errors from 0, because there are many levels."""
_NOTABLE: Final = 0.01
"""The smallest difference that counts, as a share of the curve that is compared with."""


@dataclass(frozen=True)
class ScheduleBounds:
    """The predicted bound of a network under one schedule.

    Attributes:
        name: name of the schedule.
        own: True if the run was trained with it.
        parts: the bound by the variance of the reverse process, `BOUND_VARIANCES`.
        extrapolated: True if the schedule begins at a higher log SNR than any that was measured.
    """

    name: str
    own: bool
    parts: dict[BoundVariance, BoundParts]
    extrapolated: bool


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
    return _ranges(evaluation, "noise_error.over_linear", "linear")


def memorised(evaluation: _Measured) -> list[Range]:
    """Return the ranges of log SNR in which training images have a clearly lower error than held-out ones, rising."""
    return _ranges(evaluation, "noise_error.over_train", "train")


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


def schedule_bounds(evaluation: _Measured, own: ScheduleConfig) -> list[ScheduleBounds]:
    """Predict the bound under the run's own schedule, then under all built-in ones with its other settings.

    Empty if the noise errors were not measured, or if the run's file of betas is gone.
    """
    curve = noise_error_curve(evaluation, "clipped")
    names = [name for name in ALL_NAMES if name not in ("custom", own.name)]
    others = [msgspec.structs.replace(own, name=name, file=None) for name in names]
    found = []
    for config in (own, *others) if curve is not None else ():
        try:
            schedule = make_schedule(**msgspec.structs.asdict(config))
        except UserError:
            if config is own:
                return []
            continue  # one that cannot have these betas
        parts = {name: bound_parts(evaluation, schedule, name) for name in BOUND_VARIANCES}
        known = {name: one for name, one in parts.items() if one is not None}
        extrapolated = bool(schedule.log_snr[0] > curve.log_snr[-1] + 1e-9) if curve is not None else False
        found.append(ScheduleBounds(config.name, config is own, known, extrapolated))
    return found


def clear_ranges(log_snr: Array, difference: Array, low: Array, base: Array) -> list[Range]:
    """Return the ranges in which a difference is clear of noise, and more than a hundredth of what it is compared with.

    Args:
        log_snr: [n], rising.
        difference: [n].
        low: [n], lower ends of its 95% intervals.
        base: [n], the curve that was subtracted.
    """
    clear = (difference - _CLEAR * (difference - low) > 0) & (difference > _NOTABLE * base)
    changes = np.flatnonzero(np.diff(np.concatenate([[False], clear, [False]]).astype(int)))
    return [
        (float(log_snr[start]), float(log_snr[stop - 1]))
        for start, stop in zip(changes[::2], changes[1::2], strict=True)
    ]


def _ranges(evaluation: _Measured, name: str, base: NoiseErrorName) -> list[Range]:
    levels, value, low = (_numbers(evaluation, key) for key in ("noise_error.x", name, f"{name}.low"))
    curve = noise_error_curve(evaluation, base)
    if levels is None or value is None or low is None or curve is None:
        return []
    if not len(levels) == len(value) == len(low):
        return []
    return clear_ranges(levels, value, low, curve.error)


def _numbers(evaluation: _Measured, name: str) -> Array | None:
    values = evaluation.curves.get(name)
    if values is None or any(value is None for value in values):
        return None
    numbers = np.array(values, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None
