"""A run's return to the queue, and the fence that keeps a worker from writing to a run that another one has taken."""

import contextlib
import time
from typing import Final

import msgspec

from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs.directory import RunDirectory
from core.runs.status import State, Status

_CHECK_SECONDS: Final = 0.5


class SupersededError(UserError):
    """Another worker has taken the run over, so this one must not write to it any more."""


def without_worker(status: Status, state: State, *, epochs: int, message: str = "", job: str = "") -> Status:
    """Return the status of the same training without a process.

    The number of CPU threads is kept, because with the same number the training resumes bit for bit. The engine is
    kept.

    Args:
        status: the status with a process.
        state: the new state.
        epochs: epochs to train in total.
        message: the reason why the run is queued again.
        job: id of the job that will go on with it in its engine.
    """
    return msgspec.structs.replace(
        status,
        state=state,
        epochs=epochs,
        heartbeat=time.time(),
        images_per_second=0.0,
        host="",
        pid=0,
        pid_started=0.0,
        boot_id="",
        lock=0,
        device="",
        threads=status.threads if status.device in ("cpu", "") else 0,
        message=message,
        error="",
        job=job,
    )


class Fence:
    """Check that a run still belongs to the worker that claimed it.

    A worker may outlive its lock: on a node that was cut off and came back, or where locks do not reach other hosts.
    Its token is the number of the attempt together with its process, as `RunDirectory.claim` wrote them, and the number
    of its lease if it has one.

    Args:
        run: the run.
        status: as claimed.
    """

    def __init__(self, run: RunDirectory, status: Status) -> None:
        self._run, self._token = run, _token(status)
        self._checked = 0.0

    def check(self, *, at_once: bool = True) -> None:
        """Raise if another worker has claimed the run since; a status that cannot be read proves nothing.

        Args:
            at_once: check now, instead of once in half a second.

        Raises:
            SupersededError: the run is another worker's.
        """
        # The wall clock also counts the time for which the machine was suspended.
        now = time.time()
        if not at_once and abs(now - self._checked) < _CHECK_SECONDS:
            return
        self._checked = now
        lease = self._run.lease
        with contextlib.suppress(OSError):
            if lease is not None and not lease.is_ours():
                raise SupersededError(
                    f"{sanitize(self._run.id)}: another worker has taken the run's lease over"
                )
        try:
            found = self._run.read_status()
        except UserError:
            return
        if _token(found) != self._token:
            raise SupersededError(
                f"{sanitize(self._run.id)}: attempt {found.attempt} has taken the run over; "
                f"attempt {self._token[0]} ends without writing"
            )


def _token(status: Status) -> tuple[int, str, int, float, str]:
    return status.attempt, status.host, status.pid, status.pid_started, status.boot_id
