"""Levels in even steps of a coordinate that is known by its density over the log SNR."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

Array = NDArray[np.float64]

_POINTS: Final = 4001
"""Points at which a density is summed."""


@dataclass(frozen=True)
class Ends:
    """The log SNRs between which levels are proposed.

    Attributes:
        noisy: the level at which sampling starts.
        clean: the level from which the last step reaches the image, and which is not evaluated.

    Raises:
        UserError: not both are finite, or they do not rise.
    """

    noisy: float
    clean: float

    def __post_init__(self) -> None:
        if not -np.inf < self.noisy < self.clean < np.inf:
            raise UserError(
                f"expected a log SNR at the start below that at the end, got {self.noisy:g} and {self.clean:g}"
            )

    def grid(self, points: int = _POINTS) -> Array:
        """Return [points] log SNRs in even steps, rising, both ends included."""
        return np.linspace(self.noisy, self.clean, points)


def refine(levels: Array, steps: int) -> Array:
    """Interpolate levels, [n + 1], to the [steps + 1] levels of more steps, both ends included."""
    refined: Array = np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, len(levels)), levels)
    return refined


def even_steps(density: Callable[[Array], Array], ends: Ends, steps: int) -> Array:
    """Place levels so that the integral of a density over the log SNR is the same in each step.

    Args:
        density: of a rising array of log SNRs; not negative anywhere, and not zero everywhere.
        ends: the ends.
        steps: K.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    grid = ends.grid()
    values = density(grid)
    # A part without any density would have no inverse.
    values = np.maximum(values, 1e-12 * values.max())
    coordinate = np.append(0.0, np.cumsum(np.diff(grid) * (values[1:] + values[:-1]) / 2))
    levels: Array = np.interp(np.linspace(0.0, coordinate[-1], steps + 1), coordinate, grid)
    levels[0], levels[-1] = ends.noisy, ends.clean
    return levels
