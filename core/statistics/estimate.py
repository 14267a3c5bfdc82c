"""Measured value with its interval."""

import msgspec


class Estimate(msgspec.Struct, frozen=True):
    """A measured value and its 95% confidence interval; None where a value is undefined or a bound unknown."""

    value: float | None
    low: float | None = None
    high: float | None = None
