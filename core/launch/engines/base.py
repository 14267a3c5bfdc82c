"""The contract of an engine.

An engine brings queued runs to workers: ``python -m core.training.worker RUN --requeue``. It knows jobs, and a run's
status holds the id of its job (`Status.job`). Everything else, such as progress, errors and ends, is in the run's
directory. The rules:

1. A run whose status names an engine is started by this engine only (`Status.engine`).
2. An engine may start a worker as often as it likes. A worker with ``--requeue`` goes on with its run unless it has
   finished, was removed or was stopped by the user, and only one worker at a time can have the run's lock.
3. A worker that an engine ends with SIGTERM, SIGUSR1 or SIGUSR2 writes a checkpoint, queues its run again and ends with
   `core.errors.EXIT_REQUEUE`. The engine then starts another.
4. A user's stop is the file `control` of a run that trains, and the state ``stopped`` of one that waits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from core.runs.directory import RunDirectory


class JobState(StrEnum):
    """State of a job in its engine. A job that has ended is unknown to its engine."""

    PENDING = "pending"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its engine sees it.

    Attributes:
        id: as `Engine.submit` returned it.
        state: pending or running.
        reason: the engine's word for why a pending job waits, such as ``Priority``; else empty.
    """

    id: str
    state: JobState
    reason: str = ""


class Engine(Protocol):
    """An engine that serves one runs folder. No method writes a run's status: `core.launch.engines.start` does."""

    name: str

    def submit(self, runs: Sequence[RunDirectory]) -> list[str]:
        """Have queued runs started.

        Args:
            runs: queued runs of this engine, all in its runs folder.

        Returns:
            The id of each run's job, in order; several runs may share one. Empty where the engine has no ids.

        Raises:
            UserError: the engine is not there, or refuses, with its own words in one line; nothing was submitted.
        """
        ...

    def states(self, ids: Iterable[str]) -> Mapping[str, Job]:
        """Look jobs up, all at once. One that is not in the result has ended, or was never there.

        Raises:
            UserError: the engine does not answer.
        """
        ...

    def stop(self, ids: Iterable[str]) -> None:
        """Take jobs that wait from the queue, and send the workers of those that run a SIGTERM.

        The caller has first marked each run as stopped by the user (rule 4). A job that has ended is no error. An
        engine that cannot signal its workers relies on the file `control`.

        Raises:
            UserError: the engine does not answer.
        """
        ...

    def requeue(self, ids: Iterable[str]) -> None:
        """End jobs that run, and start them again later, where the engine can.

        Raises:
            UserError: it cannot, or does not answer.
        """
        ...
