"""What a run says of itself (`status.json`), and what a reader makes of it."""

from enum import StrEnum
from typing import Final

import msgspec

FORMAT_VERSION: Final = 1


class State(StrEnum):
    """Where a run stands. All but CRASHED are written by the run; CRASHED is inferred by the reader."""

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
        """Whether a process should be behind it."""
        return self in (State.STARTING, State.RUNNING, State.STOPPING)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens unless somebody resumes it."""
        return self in (State.STOPPED, State.FINISHED, State.FAILED, State.CRASHED)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One `status.json`, replaced as a whole by the run's one writer.

    `host`, `pid`, `pid_started` and `boot_id` together name a process beyond doubt; `RunDirectory.claim`
    fills them in from `ProcessIdentity.current`. `elapsed` counts seconds of training over all attempts;
    `threads` of a queued run are those that it had before, and shall have again, on a CPU.
    `heartbeat` is the wall clock of the last write; `images_per_second` is over the last few seconds of
    training.
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
    device: str = ""
    threads: int = 0
    message: str = ""
    """What the run is doing, in a few words, while it is starting (making data, compiling...)."""
    error: str = ""
    """Why it failed, in one line."""
