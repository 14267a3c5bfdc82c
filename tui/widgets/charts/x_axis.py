"""The x axis of loss charts: its unit (steps, epochs or seconds of training) and its visible span."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tui.widgets.charts.ticks import value_label

Floats = NDArray[np.float64]

UNITS: Final = ("steps", "epochs", "time")
MAX_ZOOM: Final = 10_000.0
_TIME_UNITS: Final = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
_MIN_UNITS: Final = 3.0
"""Length of an axis in a unit of time from which this unit is used."""


class Scale(NamedTuple):
    """A piecewise linear map from a run's steps to another axis, through pairs [n], n >= 2, that both rise."""

    steps: Floats
    values: Floats

    def to_axis(self, steps: Floats) -> Floats:
        """Convert steps to the axis; beyond the last pair with the slope of the last segment."""
        return _extrapolate(steps, self.steps, self.values)

    def to_steps(self, values: Floats) -> Floats:
        """Convert positions on the axis to steps, rounded so that the position of a step is not just short of it."""
        return np.round(_extrapolate(values, self.values, self.steps), 6)


def scale_from_pairs(pairs: Iterable[tuple[float, float]]) -> Scale | None:
    """The scale through (step, position) pairs, without those that do not rise; None if fewer than two are left.

    >>> scale_from_pairs([(0, 0.0), (40, 1.0), (40, 2.0), (80, 2.0)]).to_axis(np.array([20.0, 120.0])).tolist()
    [0.5, 3.0]
    """
    kept: list[tuple[float, float]] = []
    for step, value in pairs:
        if math.isfinite(step + value) and (not kept or (step > kept[-1][0] and value > kept[-1][1])):
            kept.append((step, value))
    if len(kept) < 2:
        return None
    steps, values = np.array(kept, dtype=np.float64).T
    return Scale(steps, values)


class Span(NamedTuple):
    """The visible part of the axis."""

    low: float
    high: float


def zoomed(span: Span, whole: Span, factor: float, at: float, *, log: bool) -> Span:
    """Zoom a span around a position, which stays at the same column of the screen.

    Args:
        span: the visible span.
        whole: the whole axis; nothing beyond it is shown.
        factor: above 1 to zoom in, below 1 to zoom out.
        at: the position.
        log: the axis is logarithmic, so both spans are above 0.

    >>> zoomed(Span(0, 100), Span(0, 100), 2.0, 50, log=False)
    Span(low=25.0, high=75.0)
    """
    low, high, first, last, centre = _to_scale((*span, *whole, at), log=log)
    centre = min(max(centre, low), high)
    width = max((high - low) / factor, (last - first) / MAX_ZOOM)
    share = (centre - low) / (high - low) if high > low else 0.5
    return _clamp_span(centre - share * width, width, first, last, log=log)


def panned(span: Span, whole: Span, share: float, *, log: bool) -> Span:
    """Move a span by a share of its own width, at most to the end of the axis.

    >>> panned(Span(0, 20), Span(0, 100), 0.5, log=False), panned(Span(70, 90), Span(0, 100), 9, log=False)
    (Span(low=10.0, high=30.0), Span(low=80.0, high=100.0))
    """
    low, high, first, last = _to_scale((*span, *whole), log=log)
    return _clamp_span(low + share * (high - low), high - low, first, last, log=log)


def time_unit(longest: float) -> tuple[float, str]:
    """The unit of time for an axis that ends after `longest` seconds: its length in seconds, and its name."""
    return next(one for one in reversed(_TIME_UNITS) if longest >= _MIN_UNITS * one[0] or one[0] == 1.0)


def x_text(value: float, unit: str) -> str:
    """Format a position on the axis.

    >>> [x_text(1234.4, "steps"), x_text(3.25, "epochs"), x_text(192.0, "time")]
    ['step 1,234', 'epoch 3.25', '3 min 12 s']
    """
    if unit == "steps":
        return f"step {round(value):,}"
    if unit == "epochs":
        return f"epoch {value:.2f}"
    if value < 60.0:
        return f"{value_label(value)} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _extrapolate(x: Floats, xs: Floats, ys: Floats) -> Floats:
    inside: Floats = np.interp(x, xs, ys)
    slope = (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])
    return np.where(x > xs[-1], ys[-1] + (x - xs[-1]) * slope, inside)


def _to_scale(values: Iterable[float], *, log: bool) -> list[float]:
    return [math.log(value) if log else float(value) for value in values]


def _clamp_span(low: float, width: float, first: float, last: float, *, log: bool) -> Span:
    width = min(width, last - first)
    low = min(max(low, first), last - width)
    if log:
        return Span(math.exp(low), math.exp(low + width))
    return Span(low, low + width)
