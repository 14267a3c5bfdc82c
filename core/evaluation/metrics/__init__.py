"""Metrics of samples and of the network behind them, one module a group; the types that they share."""

from collections.abc import Callable

from core.statistics.estimate import Estimate

Metrics = dict[str, Estimate]
"""Estimates by the names of `core.runs.METRICS`."""
Curves = dict[str, list[float | None]]
"""Several numbers each, by name; the x values are in the curve named ``NAME.x``."""
Progress = Callable[[int, int], None]
"""Called with the work done and the work in all."""
