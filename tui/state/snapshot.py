"""Immutable snapshots of runs, as the reader thread posts them."""

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
    """One run as it was at one moment.

    `steps` and `losses` are read-only float64 arrays [n] of the whole history; a loss that was not finite is
    NaN. `state` is what a reader makes of `status`: a live state without its process is `crashed`. `sheets`
    and `strips` are (epoch, path) in ascending order; `pass_rate` is the balanced pass rate last measured, from
    0 to 1. `version` grows whenever anything of this run changed.
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
    """What a person should know of a live run: that it has not shown a sign of life for long."""
    pass_rate: float | None = None

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def label(self) -> str:
        """The name of the run's schedule, which is what tells the runs of a comparison apart."""
        return sanitize(self.file.config.schedule.name)

    @property
    def dataset(self) -> str:
        return sanitize(self.file.config.data.dataset)

    @property
    def data_title(self) -> str:
        """The dataset without the folders that lead to it."""
        return sanitize(self.file.config.data.title)

    @property
    def group(self) -> str:
        return self.file.group


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All runs of a runs folder, oldest first, at `taken_at` (seconds since the epoch).

    `unread` is how many of them have not been read yet; they follow in the next snapshots.
    """

    runs: tuple[RunSnapshot, ...] = ()
    problems: tuple[RunProblem, ...] = ()
    taken_at: float = 0.0
    runner_alive: bool = False
    unread: int = 0

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, the one whose oldest run is newest last."""
        return tuple(dict.fromkeys(run.group for run in self.runs))

    @property
    def pending(self) -> tuple[RunSnapshot, ...]:
        """The runs that are live or queued."""
        return tuple(run for run in self.runs if not run.state.is_ended)

    def runs_in_group(self, group: str | None) -> tuple[RunSnapshot, ...]:
        """The runs of one group, oldest first; all runs for None."""
        return self.runs if group is None else tuple(run for run in self.runs if run.group == group)

    def find(self, run_id: str) -> RunSnapshot | None:
        return next((run for run in self.runs if run.id == run_id), None)
