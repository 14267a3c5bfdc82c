"""Checks of estimates, and the kernel of the energy distance, for tests of distances."""

from typing import Any

from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from core.statistics.estimate import Estimate


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.low, estimate.high


def holds(estimate: Estimate, truth: float) -> bool:
    low, high = bounds(estimate)
    return low <= truth <= high


def minus_distance(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    return -cdist(x, y)
