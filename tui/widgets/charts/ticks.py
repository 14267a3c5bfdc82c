"""Ticks of an axis: round positions and their labels."""

import math
from typing import Final

import numpy as np

_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_SUFFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def linear_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """At most `max_ticks` round numbers in [low, high], evenly spaced.

    >>> linear_ticks(0.0, 10.0, 6)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if max_ticks < 1 or not span > 0 or not math.isfinite(span):
        return []
    decade = 10.0 ** math.floor(math.log10(span / max_ticks))
    for step in [nice * decade * ten for ten in (1.0, 10.0, 100.0) for nice in _NICE]:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= max_ticks:
            return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """At most `max_ticks` round numbers in [low, high] that look evenly spaced on a logarithmic axis.

    >>> log_ticks(0.01, 1.0, 7)
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    >>> log_ticks(0.01, 1.0, 3)
    [0.01, 0.1, 1.0]
    """
    if max_ticks < 1 or not 0 < low < high or not math.isfinite(high):
        return []
    if high / low < 4:
        return linear_ticks(low, high, max_ticks)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= max_ticks:
            return ticks
    stride = -(-len(ticks) // max_ticks)
    return ticks[::stride]


def value_label(value: float) -> str:
    """Format a loss in three digits, in at most seven characters from 1e-9 to 1e9.

    >>> [value_label(v) for v in (1.0, 0.025, 0.00125, 0.000125, 1250.0)]
    ['1', '0.025', '0.00125', '1.25e-4', '1.25e3']
    """
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1000:
        return np.format_float_positional(float(f"{value:.3g}"), trim="-")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').removesuffix('.')}e{int(exponent)}"


def count_label(value: float) -> str:
    """Format a number of steps with a suffix for thousands, millions or billions.

    >>> [count_label(v) for v in (0, 250, 1500, 20000, 1250000)]
    ['0', '250', '1.5k', '20k', '1.25M']
    """
    for size, suffix in _SUFFIXES:
        if value >= size:
            return np.format_float_positional(float(f"{value / size:.3g}"), trim="-") + suffix
    return np.format_float_positional(value, precision=2, trim="-")
