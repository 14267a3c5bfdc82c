"""Conversion of runs to series of the loss chart."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from core.runs.status import State
from tui.settings.series_colors import series_style
from tui.state.formatting import recent_step_count
from tui.state.snapshot import RunSnapshot
from tui.widgets.charts.series import Series
from tui.widgets.charts.x_axis import UNITS, Scale, scale_from_pairs

NO_LOSSES: Final = np.empty(0)


def loss_series(
    runs: Sequence[RunSnapshot],
    labels: Mapping[str, str],
    variables: Mapping[str, str],
    *,
    unit: str = UNITS[0],
    places: Mapping[str, int] | None = None,
) -> list[Series]:
    """One series per run, in their order; failed and crashed runs are dashed.

    Args:
        runs: the runs.
        labels: the label of each run, by id.
        variables: the variables of the theme.
        places: the index of each run among those shown, by id, which selects its colour; in order unless given.
        unit: unit of the x axis, one of `UNITS`; a run without a known scale has no losses.
    """
    scales = {run.id: None if unit == UNITS[0] else unit_scale(run, unit) for run in runs}
    lost = {run.id for run in runs if unit != UNITS[0] and scales[run.id] is None}
    return [
        Series(
            name=labels[run.id],
            color=series_style(at, variables).color,
            steps=NO_LOSSES if run.id in lost else run.steps,
            losses=NO_LOSSES if run.id in lost else run.losses,
            heldout=None if run.id in lost else _heldout(run),
            dashed=run.state in (State.FAILED, State.CRASHED),
            marker=series_style(at).marker,
            scale=scales[run.id],
            recent=recent_step_count(run),
        )
        for at, run in ((index if places is None else places[run.id], run) for index, run in enumerate(runs))
    ]


def unit_scale(run: RunSnapshot, unit: str) -> Scale | None:
    """The scale from a run's steps to epochs, or to seconds of training; None if it is not known yet."""
    pairs = [(0.0, 0.0)]
    if unit == "epochs":
        pairs += [(record.step, float(record.epoch)) for record in run.epochs]
        pairs += [(run.status.steps, float(run.status.epochs))] if not run.epochs else []
    else:
        pairs += [(record.step, record.elapsed) for record in run.epochs]
        pairs += [(run.status.step, run.status.elapsed)]
    return scale_from_pairs(pairs)


def epoch_to_x(runs: Sequence[RunSnapshot], epoch: int, unit: str) -> float | None:
    """The x at the end of an epoch, in the first run that has completed this epoch."""
    for run in runs:
        for record, x in zip(run.epochs, _epoch_ends(run, unit), strict=False):
            if record.epoch == epoch:
                return x
    return None


def x_to_epoch(runs: Sequence[RunSnapshot], x: float, unit: str) -> int | None:
    """The epoch that ends nearest to x, in the run with the most epochs."""
    furthest = max(runs, key=lambda run: len(run.epochs), default=None)
    if furthest is None:
        return None
    ends = _epoch_ends(furthest, unit)
    return (
        min(zip(furthest.epochs, ends, strict=False), key=lambda one: abs(one[1] - x))[0].epoch
        if ends
        else None
    )


def _epoch_ends(run: RunSnapshot, unit: str) -> list[float]:
    """The x at the end of each epoch of a run; empty if the scale is not known."""
    steps = np.array([record.step for record in run.epochs], dtype=np.float64)
    scale = None if unit == UNITS[0] else unit_scale(run, unit)
    if scale is None:
        return steps.tolist() if unit == UNITS[0] else []
    ends: list[float] = scale.to_axis(steps).tolist()
    return ends


def _heldout(run: RunSnapshot) -> tuple[np.ndarray, np.ndarray] | None:
    measured = [record for record in run.epochs if record.heldout == record.heldout]
    if not measured:
        return None
    steps = np.array([record.step for record in measured], dtype=np.float64)
    return steps, np.array([record.heldout for record in measured], dtype=np.float64)
