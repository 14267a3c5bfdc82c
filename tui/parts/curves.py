"""The losses of runs, as series of the chart."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.runs.status import State
from tui.live import RunSnapshot
from tui.palette import series_style
from tui.widgets.loss_chart import Series


def series_of(
    runs: Sequence[RunSnapshot], labels: Mapping[str, str], variables: Mapping[str, str]
) -> list[Series]:
    """One series a run, in their order; those that came to a bad end are dashed."""
    return [
        Series(
            name=labels[run.id],
            color=series_style(index, variables).color,
            steps=run.steps,
            losses=run.losses,
            heldout=_heldout(run),
            dashed=run.state in (State.FAILED, State.CRASHED),
            marker=series_style(index).marker,
        )
        for index, run in enumerate(runs)
    ]


def _heldout(run: RunSnapshot) -> tuple[np.ndarray, np.ndarray] | None:
    measured = [record for record in run.epochs if record.heldout == record.heldout]
    if not measured:
        return None
    steps = np.array([record.step for record in measured], dtype=np.float64)
    return steps, np.array([record.heldout for record in measured], dtype=np.float64)
