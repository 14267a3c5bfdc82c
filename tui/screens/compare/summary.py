"""What a comparison says of its runs in numbers and words, before any of it is on a screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from core.config import flatten
from core.runs.status import State
from tui.state.formatting import NOTHING, build_schedule, recent_loss, setting_text
from tui.state.snapshot import RunSnapshot


@dataclass(frozen=True, slots=True)
class Figures:
    """One run's line in the table: numbers are None where there are none yet, NaN where they are not finite.

    `train` and `heldout` are of the last whole epoch; `best` is the lowest held-out loss, `best_epoch` its
    epoch. `terminal` is one word on whether sampling starts where training has been.
    """

    state: State
    epoch: int
    epochs: int
    train: float | None
    heldout: float | None
    best: float | None
    best_epoch: int
    images_per_second: float | None
    terminal_alpha_bar: float | None
    terminal: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting in which runs differ: its dotted key, and each value with the places of its runs."""

    key: str
    values: tuple[tuple[str, tuple[int, ...]], ...]


def figures(run: RunSnapshot) -> Figures:
    """The numbers of one run as they stand."""
    last = run.epochs[-1] if run.epochs else None
    measured = [record for record in run.epochs if math.isfinite(record.heldout)]
    best = min(measured, key=lambda record: record.heldout, default=None)
    schedule = build_schedule(run.file.config.schedule)
    train = recent_loss(run)
    if last is not None and train is not None and math.isfinite(train):
        train = last.mean
    speed = run.status.images_per_second if run.state is State.RUNNING else 0.0
    if not speed and last is not None:
        speed = last.images_per_second
    return Figures(
        state=run.state,
        epoch=run.status.epoch,
        epochs=run.status.epochs,
        train=train,
        heldout=measured[-1].heldout if measured else None,
        best=best.heldout if best is not None else None,
        best_epoch=best.epoch if best is not None else 0,
        images_per_second=speed or None,
        terminal_alpha_bar=schedule.terminal_alpha_bar if schedule is not None else None,
        terminal=schedule.diagnosis().level if schedule is not None else NOTHING,
    )


def differences(runs: Sequence[RunSnapshot]) -> list[Difference]:
    """The settings whose values are not the same in all runs, in the order of the configuration."""
    tables = [flatten(msgspec.to_builtins(run.file.config.resolved())) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = []
    for key in keys:
        places: dict[str, list[int]] = {}
        for place, table in enumerate(tables):
            places.setdefault(setting_text(table.get(key)), []).append(place)
        if len(places) > 1:
            found.append(Difference(key, tuple((value, tuple(at)) for value, at in places.items())))
    return found


def cautions(runs: Sequence[RunSnapshot]) -> list[str]:
    """What a reader of the numbers should know before believing them, one sentence each."""
    said = []
    if len({run.file.config.diffusion.prediction_type for run in runs}) > 1:
        said.append("Losses of different prediction types are on different scales.")
    if len({run.dataset for run in runs}) > 1:
        said.append("Losses on different data are not comparable.")
    if len({_noise(run) for run in runs}) > 1:
        said.append("Losses under different schedules weigh noise differently: see the pictures.")
    if any(figures(run).terminal == "bad" for run in runs):
        said.append("Bad: sampling starts where training never was; abar_T is far from 0.")
    return said


def _noise(run: RunSnapshot) -> tuple[object, ...]:
    return msgspec.structs.astuple(run.file.config.schedule)
