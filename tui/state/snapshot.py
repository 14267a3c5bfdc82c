"""Immutable snapshots of runs, posted by the reader thread."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files.sanitize import sanitize
from core.runs.directory import RunDirectory, RunFile
from core.runs.metrics import EpochRecord
from core.runs.status import State, Status
from core.runs.store import RunProblem


@dataclass(frozen=True, slots=True, eq=False)
class RunSnapshot:
    """One run at one moment.

    Attributes:
        state: the state derived from `status`: a live state whose process is gone is `crashed`.
        steps, losses: the whole history, read-only float64 arrays [n]; a loss that was not finite is NaN.
        sheets, strips: (epoch, path) in ascending order.
        version: increases with every change of this run.
        warning: a message that a live run has not updated its heartbeat for long; else empty.
        crash_reason: the reason in the log of a crashed run; empty if it left none.
        pass_rate: the latest balanced pass rate, from 0 to 1; None if there is none.
        queue: the job of a run that waits in another engine's queue, and why it waits; else empty.
        replayed_epoch: the epoch that a replay has reached, while the run's files are of later epochs too; None for a
            run as it is now.
    """

    run: RunDirectory
    file: RunFile
    status: Status
    state: State
    steps: NDArray[np.float64]
    losses: NDArray[np.float64]
    epochs: tuple[EpochRecord, ...] = ()
    sheets: tuple[tuple[int, Path], ...] = ()
    strips: tuple[tuple[int, Path], ...] = ()
    version: int = 0
    warning: str = ""
    pass_rate: float | None = None
    crash_reason: str = ""
    queue: str = ""
    replayed_epoch: int | None = None

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def label(self) -> str:
        """The name of the run's schedule, which usually distinguishes the runs of a comparison."""
        return sanitize(self.file.config.schedule.name)

    @property
    def dataset(self) -> str:
        return sanitize(self.file.config.data.dataset)

    @property
    def data_title(self) -> str:
        """The dataset's name without its parent folders."""
        return sanitize(self.file.config.data.title)

    @property
    def group(self) -> str:
        return self.file.group

    def is_shown_at(self, epoch: int) -> bool:
        """Return whether what was computed at an epoch is shown: always, except what a replay has not reached yet."""
        return self.replayed_epoch is None or epoch <= self.replayed_epoch


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All runs of a runs folder, oldest first, at `taken_at` (seconds since the epoch).

    `unread` is the number of runs that have not been read yet and follow in later snapshots.
    """

    runs: tuple[RunSnapshot, ...] = ()
    problems: tuple[RunProblem, ...] = ()
    taken_at: float = 0.0
    runner_alive: bool = False
    unread: int = 0

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in the order of their oldest runs."""
        return tuple(dict.fromkeys(run.group for run in self.runs))

    @property
    def pending(self) -> tuple[RunSnapshot, ...]:
        """The live and queued runs."""
        return tuple(run for run in self.runs if not run.state.is_ended)

    def runs_in_group(self, group: str | None) -> tuple[RunSnapshot, ...]:
        """The runs of one group, oldest first; all runs for None."""
        return self.runs if group is None else tuple(run for run in self.runs if run.group == group)

    def find(self, run_id: str) -> RunSnapshot | None:
        return next((run for run in self.runs if run.id == run_id), None)
