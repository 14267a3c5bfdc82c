"""What a chart of losses shows of one run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.widgets.charts.x_axis import Scale

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One run's losses.

    Args:
        name: what the legend calls it.
        color: of its lines.
        steps: ascending [n].
        losses: one a step [n]; NaN where it was not finite.
        heldout: steps and losses [m] of the held-out set; None when there are none.
        dashed: draw the line with gaps.
        marker: one cell that stands for the run; empty takes its place's.
        scale: where its steps lie on the x axis; None where the axis is of steps.
    """

    name: str
    color: str
    steps: Floats
    losses: Floats
    heldout: tuple[Floats, Floats] | None = None
    dashed: bool = False
    marker: str = ""
    scale: Scale | None = None

    def steps_to_x(self, steps: Floats) -> Floats:
        """Where steps lie on the x axis."""
        return steps if self.scale is None else self.scale.to_axis(steps)

    def x_to_steps(self, places: Floats) -> Floats:
        """The steps at places on the x axis."""
        return places if self.scale is None else self.scale.to_steps(places)


def is_same_series(before: Series, after: Series) -> bool:
    """Whether two series would be drawn in the same way; long arrays are not looked into."""
    return (
        before.steps is after.steps
        and before.losses is after.losses
        and _is_same(before.heldout, after.heldout)
        and _is_same(before.scale, after.scale)
        and (before.name, before.color, before.dashed, before.marker)
        == (after.name, after.color, after.dashed, after.marker)
    )


def _is_same(before: tuple[Floats, ...] | None, after: tuple[Floats, ...] | None) -> bool:
    if before is after:
        return True
    if before is None or after is None:
        return False
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
