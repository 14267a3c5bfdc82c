"""Jobs of queued runs in other engines, looked up in a thread of their own, because a scheduler may answer slowly."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.runs.status import State, Status

if TYPE_CHECKING:
    from core.launch.engines.base import Job

    Jobs = dict[str, dict[str, Job] | None]
    LookUp = Callable[[Path, list[Status]], tuple[Jobs, str]]

INTERVAL = 5.0
"""Seconds between two questions, each of which asks for all runs."""


class JobWatch:
    """The latest answer about the jobs of runs. No method waits for one.

    Args:
        root: the runs folder.
        look_up: asks all engines; `core.launch.engines.job_notes.look_up_jobs` unless given.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        root: Path,
        look_up: "LookUp | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._look_up, self._monotonic = root, look_up, monotonic
        self._jobs: Jobs = {}
        self._asked = -1e18
        self._thread: threading.Thread | None = None

    def ask(self, statuses: Iterable[Status]) -> None:
        """Ask again if the latest answer is old, and if runs wait in other engines."""
        if self._monotonic() - self._asked < INTERVAL or (self._thread and self._thread.is_alive()):
            return
        waiting = [status for status in statuses if is_elsewhere(status)]
        if waiting:
            self._asked = self._monotonic()
            self._thread = threading.Thread(target=self._update, args=(waiting,), name="jobs", daemon=True)
            self._thread.start()

    def note(self, status: Status) -> str:
        """The job of a queued run and why it waits, as far as it is known; empty for a run of this machine's queue."""
        if not is_elsewhere(status):
            return ""
        from core.launch.engines.job_notes import job_note

        return job_note(status, self._jobs.get(status.engine))

    def _update(self, waiting: list[Status]) -> None:
        if self._look_up is None:
            from core.launch.engines.job_notes import look_up_jobs

            self._look_up = look_up_jobs
        self._jobs = self._look_up(self._root, waiting)[0]


def is_elsewhere(status: Status) -> bool:
    """Return whether a run waits in another queue than this machine's."""
    return status.state is State.QUEUED and status.engine != "local"
