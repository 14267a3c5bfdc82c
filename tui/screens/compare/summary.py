"""Metrics, differing settings and cautions of compared runs, independent of the screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from core.config import flatten
from core.runs.status import State
from tui.state.formatting import NOTHING, build_schedule, recent_loss, setting_text
from tui.state.snapshot import RunSnapshot


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """Metrics of one run: None where there is none yet, NaN where it is not finite.

    Attributes:
        loss: training loss, by `recent_loss`.
        heldout: held-out loss of the last whole epoch.
        best: lowest held-out loss.
        best_epoch: the epoch of `best`.
        terminal: level of the schedule's diagnosis, in one word: does sampling start where training has been?
    """

    state: State
    epoch: int
    epochs: int
    loss: float | None
    heldout: float | None
    best: float | None
    best_epoch: int
    images_per_second: float | None
    terminal_alpha_bar: float | None
    terminal: str


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A setting in which runs differ: its dotted key, and each value with the indices of its runs."""

    key: str
    values: tuple[tuple[str, tuple[int, ...]], ...]


def run_metrics(run: RunSnapshot) -> RunMetrics:
    """Return the metrics of a run as they are now."""
    last = run.epochs[-1] if run.epochs else None
    measured = [record for record in run.epochs if math.isfinite(record.heldout)]
    best = min(measured, key=lambda record: record.heldout, default=None)
    schedule = build_schedule(run.file.config.schedule)
    speed = run.status.images_per_second if run.state is State.RUNNING else 0.0
    if not speed and last is not None:
        speed = last.images_per_second
    return RunMetrics(
        state=run.state,
        epoch=run.status.epoch,
        epochs=run.status.epochs,
        loss=recent_loss(run),
        heldout=measured[-1].heldout if measured else None,
        best=best.heldout if best is not None else None,
        best_epoch=best.epoch if best is not None else 0,
        images_per_second=speed or None,
        terminal_alpha_bar=schedule.terminal_alpha_bar if schedule is not None else None,
        terminal=schedule.diagnosis().level if schedule is not None else NOTHING,
    )


def setting_differences(runs: Sequence[RunSnapshot]) -> list[SettingDifference]:
    """Return the settings whose values are not the same in all runs, in the order of the configuration."""
    tables = [flatten(msgspec.to_builtins(run.file.config.resolved())) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = []
    for key in keys:
        values: dict[str, list[int]] = {}
        for index, table in enumerate(tables):
            values.setdefault(setting_text(table.get(key)), []).append(index)
        if len(values) > 1:
            found.append(SettingDifference(key, tuple((text, tuple(at)) for text, at in values.items())))
    return found


def cautions(runs: Sequence[RunSnapshot]) -> list[str]:
    """Return reasons not to compare the losses of these runs, one sentence each."""
    found = []
    if len({run.file.config.diffusion.prediction_type for run in runs}) > 1:
        found.append("Losses of different prediction types are on different scales.")
    if len({run.dataset for run in runs}) > 1:
        found.append("Losses on different data are not comparable.")
    if len({_schedule_key(run) for run in runs}) > 1:
        found.append("Losses under different schedules weigh noise differently: see the images.")
    if any(run_metrics(run).terminal == "bad" for run in runs):
        found.append("Bad: sampling starts where training never was; abar_T is far from 0.")
    return found


def _schedule_key(run: RunSnapshot) -> tuple[object, ...]:
    return msgspec.structs.astuple(run.file.config.schedule)
