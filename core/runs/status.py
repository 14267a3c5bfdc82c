"""State and status of a run (`status.json`)."""

from enum import StrEnum
from typing import Final

import msgspec

from core.config.trained_with import TrainedWith

FORMAT_VERSION: Final = 1


class State(StrEnum):
    """State of a run. All states but CRASHED are written by the run; CRASHED is inferred by the reader."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"

    @property
    def is_live(self) -> bool:
        """True if a process should be running."""
        return self in (State.STARTING, State.RUNNING, State.STOPPING)

    @property
    def is_ended(self) -> bool:
        """True if nothing more happens unless the run is resumed."""
        return self in (State.STOPPED, State.FINISHED, State.FAILED, State.CRASHED)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A run's `status.json`, which its only writer replaces as a whole.

    `host`, `pid`, `pid_started` and `boot_id` together identify a process uniquely; `RunDirectory.claim` takes them
    from `ProcessIdentity.current`. `elapsed` counts seconds of training over all attempts. `threads` of a queued run
    is the number that it had before, and gets again on a CPU. `heartbeat` is the wall clock of the last write.
    `images_per_second` is measured over the last few seconds of training. `lock` is the inode of the lock file that the
    worker holds, because a copy of the folder has another one; 0 if unknown.
    """

    format_version: int = FORMAT_VERSION
    state: State = State.QUEUED
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float = 0.0
    elapsed: float = 0.0
    heartbeat: float = 0.0
    attempt: int = 0
    host: str = ""
    pid: int = 0
    pid_started: float = 0.0
    boot_id: str = ""
    lock: int = 0
    device: str = ""
    threads: int = 0
    message: str = ""
    """Current work of a run that is starting, in a few words (making data, compiling...); of a queued run, the reason
    why it is queued again."""
    error: str = ""
    """Reason of the failure, in one line; of a finished run, the reason why it could not be resumed."""
    trained_with: TrainedWith | None = None
    """Images, betas and settings that the run started with; None before its first start, and for older runs."""
    finished_epochs: int = 0
    """Epochs with which the run last finished; 0 if it has never finished."""
    finished_train_epochs: int = 0
    """`train.epochs` with which the run last finished, which is more if a budget ended it; 0 if unknown."""
    ended_by: str = ""
    """Setting that ended a finished run before its epochs, as ``key = value``; empty if none did."""
    ending: str = ""
    """Reason why a finished run ended before its epochs, in a few words."""
    engine: str = "local"
    """Engine that starts the run while it is queued (`core.launch.engines`). No other does."""
    job: str = ""
    """Id of the run's job in its engine, as in ``4711_12``; empty if it has none."""
