"""Follower of another host's runs: pulls them into the runs folder in a thread, and says how that goes."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.launch.pull import Puller

FOLLOW_SECONDS = 20.0
"""Seconds between two pulls. Each connects to the other host, which may limit the number of connections."""


@dataclass
class Follower:
    """Pulls until it is stopped; `run` is called in a thread, all else in any.

    Args:
        puller: the other host's folder and the one here.
        every: seconds between two pulls.
        monotonic: a monotonic clock in seconds.
    """

    puller: "Puller"
    every: float = FOLLOW_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    error: str = field(init=False, default="")
    """Reason why the last pull failed; empty after a success."""
    _pulled: float | None = field(init=False, default=None)
    _stopped: threading.Event = field(init=False, default_factory=threading.Event)

    @property
    def source(self) -> str:
        """The followed folder, as ``HOST:DIR``."""
        return self.puller.source

    @property
    def text(self) -> str:
        """State for the status line, for example ``from cluster:runs``; with the age of an old pull."""
        host = self.puller.rsync.source.host or self.source
        if self._pulled is None:
            return f"connecting to {host}" if not self.error else ""
        minutes = (self.monotonic() - self._pulled) / 60
        return f"from {host}" + (f", {minutes:.0f} min ago" if minutes >= 2 else "")

    @property
    def warning(self) -> str:
        """Warning for the status line; empty after a success."""
        return f"{self.puller.rsync.source.host or self.source} not reached" if self.error else ""

    def stop(self) -> None:
        """End `run` soon, and the pull that it is in at once."""
        self._stopped.set()
        self.puller.rsync.cancel()

    def run(self) -> Iterator[tuple[str, bool]]:
        """Pull until stopped.

        Yields:
            After each pull, a message for the user and whether it is a problem; mostly an empty message. A failure is
            told once, until a pull succeeds.
        """
        from core.launch.following import follow
        from core.launch.rsync import Interrupted

        try:
            for attempt in follow(self.puller, self.every, self._stopped.wait):
                self.error = attempt.error
                if attempt.result is None:
                    is_first = attempt.failures == 1
                    yield (
                        f"{attempt.error}; trying again, less and less often" if is_first else "",
                        True,
                    )
                    continue
                self._pulled = self.monotonic()
                if attempt.recovered:
                    yield f"{self.source}: reached again", False
                notes = attempt.result.notes
                more = f"\n... and {len(notes) - 3} more" if len(notes) > 3 else ""
                yield "\n".join(notes[:3]) + more, bool(notes)
        except Interrupted:
            return
