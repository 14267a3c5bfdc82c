"""Series: the losses of one run as a loss chart takes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.widgets.charts.x_axis import Scale

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One run's losses.

    Args:
        name: its name in the legend.
        color: the colour of its lines.
        steps: ascending [n].
        losses: one per step [n]; NaN if not finite.
        heldout: steps and losses [m] of the held-out set; None if there are none.
        dashed: draw the line with gaps.
        marker: one cell that identifies the run; empty takes the one of its index.
        scale: from its steps to the x axis; None if the axis shows steps.
        recent: the number of last losses in whose mean a smoothed line ends; 0 for no such end.
    """

    name: str
    color: str
    steps: Floats
    losses: Floats
    heldout: tuple[Floats, Floats] | None = None
    dashed: bool = False
    marker: str = ""
    scale: Scale | None = None
    recent: int = 0

    def steps_to_x(self, steps: Floats) -> Floats:
        """Convert steps to x."""
        return steps if self.scale is None else self.scale.to_axis(steps)

    def x_to_steps(self, x: Floats) -> Floats:
        """Convert x to steps."""
        return x if self.scale is None else self.scale.to_steps(x)


def is_same_series(before: Series, after: Series) -> bool:
    """Return whether two series would be drawn alike; long arrays are compared by identity only."""
    return (
        before.steps is after.steps
        and before.losses is after.losses
        and _is_same(before.heldout, after.heldout)
        and _is_same(before.scale, after.scale)
        and (before.name, before.color, before.dashed, before.marker, before.recent)
        == (after.name, after.color, after.dashed, after.marker, after.recent)
    )


def _is_same(before: tuple[Floats, ...] | None, after: tuple[Floats, ...] | None) -> bool:
    if before is after:
        return True
    if before is None or after is None:
        return False
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
