"""Recording of a run: its losses, epochs, images and states, each with its time."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs.directory import RunDirectory, RunFile
from core.runs.metrics import EpochRecord, MetricsTail
from core.runs.results import read_evaluations
from core.runs.status import State, Status
from core.runs.store import RunInfo, RunStore
from tui.state.crash_reason import CrashLog
from tui.state.snapshot import RunSnapshot

Seconds = NDArray[np.float64]

MAX_SECONDS: Final = 10 * 365 * 86400.0
"""Longest plausible training; a longer time is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A run that has ended, with the times of all that it recorded.

    Times are seconds of training, ascending, except `queued`, `started` and `ended`, which are on the wall clock. The
    time of a single step is not recorded, only the number of steps at the end of each epoch. In between, steps are
    spread evenly.

    Attributes:
        run, file, status, state: the run as it is now.
        queued, started, ended: times at which it was queued, began to train, and ended.
        steps, losses, step_seconds: number, loss and time of each step [n].
        epochs, epoch_seconds: record and time of the end of each epoch.
        sheets, sheet_seconds, strips, strip_seconds: paths and times of the images.
        pass_rates: epoch and balanced pass rate, from 0 to 1, of each evaluation, in the order of evaluation.
        crash_reason: the reason in the log of a crashed run; empty if it left none.
    """

    run: RunDirectory
    file: RunFile
    status: Status
    state: State
    queued: float
    started: float
    ended: float
    steps: Seconds
    losses: Seconds
    step_seconds: Seconds
    epochs: tuple[EpochRecord, ...]
    epoch_seconds: Seconds
    sheets: tuple[tuple[int, Path], ...]
    sheet_seconds: Seconds
    strips: tuple[tuple[int, Path], ...]
    strip_seconds: Seconds
    pass_rates: tuple[tuple[int, float], ...] = ()
    crash_reason: str = ""

    def at(self, now: float) -> RunSnapshot:
        """The run as it was at a time of the wall clock."""
        if now >= self.ended:
            return replace(
                self._snapshot(self.status, self.state, math.inf),
                replayed_epoch=None,
                pass_rate=self.pass_rates[-1][1] if self.pass_rates else None,
                crash_reason=self.crash_reason,
            )
        if now < self.started:
            status = Status(epochs=self.status.epochs, threads=self.status.threads, heartbeat=self.queued)
            return self._snapshot(status, State.QUEUED, -math.inf)
        elapsed = now - self.started
        step = _count_until(self.step_seconds, elapsed)
        epoch = _count_until(self.epoch_seconds, elapsed)
        rates = self.epochs[min(epoch, len(self.epochs) - 1) :][:1]
        status = msgspec.structs.replace(
            self.status,
            state=State.RUNNING,
            epoch=self.epochs[epoch - 1].epoch if epoch else 0,
            step=int(self.steps[step - 1]) if step else 0,
            images_per_second=rates[0].images_per_second if rates else 0.0,
            elapsed=elapsed,
            heartbeat=now,
            message="",
            error="",
        )
        return self._snapshot(status, State.RUNNING, elapsed)

    def _snapshot(self, status: Status, state: State, elapsed: float) -> RunSnapshot:
        step = _count_until(self.step_seconds, elapsed)
        return RunSnapshot(
            self.run,
            self.file,
            status,
            state,
            self.steps[:step],
            self.losses[:step],
            self.epochs[: _count_until(self.epoch_seconds, elapsed)],
            self.sheets[: _count_until(self.sheet_seconds, elapsed)],
            self.strips[: _count_until(self.strip_seconds, elapsed)],
            pass_rate=next(
                (rate for epoch, rate in reversed(self.pass_rates) if epoch <= status.epoch), None
            ),
            replayed_epoch=status.epoch,
        )


def read_recording(info: RunInfo) -> Recording:
    """Read all that a run recorded.

    Raises:
        UserError: it has not ended yet.
    """
    run, status = info.directory, info.status
    if not info.state.is_ended:
        raise UserError(f"{info.id}: is {info.state}; a replay shows runs that have ended")
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    epochs = tuple(tail.epochs)
    ends = _ascending([record.elapsed for record in epochs])
    total = max([_clamped(status.elapsed), _clamped(tail.last_elapsed), *ends.tolist()[-1:]])
    step_ends = [0.0, *(float(record.step) for record in epochs)]
    step_times = [0.0, *ends]
    last = float(tail.steps[-1]) if len(tail.steps) else 0.0
    if last > step_ends[-1]:
        step_ends.append(last)
        step_times.append(max(step_times[-1], _clamped(tail.last_elapsed)))
    queued = _queued_at(info)
    # Pauses between attempts are not recorded, so the run is assumed to have trained without any up to its end.
    ended = status.heartbeat
    if not (math.isfinite(ended) and total <= ended - queued <= MAX_SECONDS):
        ended = queued + total
    times = {record.epoch: float(end) for record, end in zip(epochs, ends, strict=True)}
    sheets, strips = tuple(run.sample_sheets()), tuple(run.reverse_strips())
    return Recording(
        run=run,
        file=info.file,
        status=status,
        state=info.state,
        queued=queued,
        started=ended - total,
        ended=ended,
        steps=tail.steps,
        losses=tail.losses,
        step_seconds=np.interp(tail.steps, np.maximum.accumulate(step_ends), step_times),
        epochs=epochs,
        epoch_seconds=ends,
        sheets=sheets,
        sheet_seconds=_image_seconds(sheets, times, total, ended - total),
        strips=strips,
        strip_seconds=_image_seconds(strips, times, total, ended - total),
        pass_rates=_pass_rates(run),
        crash_reason=CrashLog(run.log).reason() if info.state is State.CRASHED else "",
    )


def find_recordings(root: Path, selectors: Sequence[str]) -> list[Recording]:
    """Find and read the runs to play back, oldest first, each once.

    Args:
        root: the runs folder.
        selectors: a group each, or anything that `RunStore.find` takes.

    Raises:
        UserError: none or several match, one has not ended or cannot be read, or none has losses.
    """
    store = RunStore(root)
    groups: dict[str, list[RunInfo]] = {}
    for info in store.infos():
        groups.setdefault(info.file.group, []).append(info)
    chosen: list[RunInfo] = []
    for selector in selectors:
        chosen += groups[selector] if selector in groups else [store.info(store.find(selector))]
    once = {info.directory.path.resolve(): info for info in chosen}
    recordings = [read_recording(info) for info in once.values()]
    if not any(len(recording.steps) for recording in recordings):
        names = ", ".join(sanitize(recording.run.id) for recording in recordings[:3])
        raise UserError(f"{names}: no losses were recorded, so there is nothing to replay")
    return sorted(recordings, key=lambda recording: (recording.queued, recording.run.id))


def _queued_at(info: RunInfo) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(info.file.created).timestamp()
    except ValueError as error:
        raise UserError(
            f"{info.id}: its run.toml says it was created {sanitize(info.file.created)!r}; expected a date"
        ) from error


def _pass_rates(run: RunDirectory) -> tuple[tuple[int, float], ...]:
    """Epoch and balanced pass rate of each evaluation; none where they cannot be read."""
    try:
        evaluations = read_evaluations(run)
    except UserError:
        return ()
    rates = ((one.epoch, one.metrics.get("balanced_pass_rate")) for one in evaluations)
    return tuple((epoch, rate.value) for epoch, rate in rates if rate is not None and rate.value is not None)


def _image_seconds(
    images: Sequence[tuple[int, Path]], times: dict[int, float], total: float, started: float
) -> Seconds:
    """Times at which images were written, in seconds of training.

    Sampling takes a while after the end of an epoch, and the file's modification time is the time of its end. Where
    that time is impossible because files were copied, the image is dated to the end of the epoch.
    """
    found: list[float] = []
    known = sorted(times)
    for epoch, path in images:
        earliest = times.get(epoch, total if epoch else 0.0)
        following = bisect_right(known, epoch)
        latest = times[known[following]] if following < len(known) else total
        try:
            drawn = path.stat().st_mtime - started
        except OSError:
            drawn = earliest
        found.append(drawn if earliest <= drawn <= latest else earliest)
    return _ascending(found)


def _ascending(seconds: Sequence[float]) -> Seconds:
    return np.maximum.accumulate(np.array([_clamped(one) for one in seconds], dtype=np.float64))


def _clamped(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_SECONDS) if math.isfinite(seconds) else 0.0


def _count_until(seconds: Seconds, elapsed: float) -> int:
    """Number of times that are not later than another."""
    return int(np.searchsorted(seconds, elapsed, side="right"))
