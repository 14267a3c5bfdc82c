"""Following of another host's runs: pulls in a loop, which slows down while the host cannot be reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from core.errors import UserError
from core.launch.pull import Pulled, Puller

MAX_PAUSE: Final = 600.0
"""Seconds between two tries at most, while the host cannot be reached."""


@dataclass(frozen=True)
class Attempt:
    """One try to pull: its result, or an error with the number of failures in a row."""

    result: Pulled | None
    error: str = ""
    failures: int = 0
    recovered: bool = False
    """The try before this one failed."""


def follow(puller: Puller, every: float, wait: Callable[[float], bool]) -> Iterator[Attempt]:
    """Pull again and again, and yield each try. After failures the pause doubles, up to `MAX_PAUSE`.

    Args:
        puller: the source and the folder.
        every: seconds between the end of a pull and the next one.
        wait: waits for some seconds, and returns whether to end.

    Raises:
        core.launch.rsync.Interrupted: the pull was cancelled.
    """
    failures = 0
    while True:
        try:
            yield Attempt(puller.pull(), recovered=failures > 0)
            failures = 0
        except UserError as error:
            failures += 1
            yield Attempt(None, str(error), failures)
        if wait(min(every * 2.0 ** min(failures, 30), max(every, MAX_PAUSE))):
            return
