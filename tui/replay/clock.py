"""Clock of a replay: runs at a chosen speed, pauses, and seeks."""

import threading
import time
from collections.abc import Callable
from typing import Final

SPEEDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
TARGET_SECONDS: Final = 60.0
"""Minimal duration of a replay at its initial speed, unless it is shorter in real time."""


class ReplayClock:
    """Position of a replay, in seconds from its beginning; safe to use from any thread.

    Args:
        length: seconds of the whole replay; the clock stops there.
        monotonic: source of real time in seconds, which never decreases.
    """

    def __init__(self, length: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.length = length
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._anchor_position = 0.0
        self._anchor_time = monotonic()
        self._playing = True
        self._speed = default_speed(length)

    @property
    def position(self) -> float:
        """Seconds from the beginning."""
        with self._lock:
            return self._position()

    @property
    def playing(self) -> bool:
        """True while the position advances."""
        with self._lock:
            return self._playing and self._position() < self.length

    @property
    def at_end(self) -> bool:
        """True if the whole replay has been played."""
        return self.position >= self.length

    @property
    def speed(self) -> int:
        """Seconds of the replay per second of real time; one of `SPEEDS`."""
        return self._speed

    def seek(self, position: float) -> None:
        """Move to a position, clamped to the replay."""
        with self._lock:
            self._anchor(min(max(0.0, position), self.length))

    def pause(self) -> None:
        """Stop advancing."""
        with self._lock:
            self._anchor(self._position())
            self._playing = False

    def play(self) -> None:
        """Advance; from the beginning when at the end."""
        with self._lock:
            at = self._position()
            self._anchor(0.0 if at >= self.length else at)
            self._playing = True

    def change_speed(self, steps: int) -> None:
        """Move by so many steps in `SPEEDS`; negative steps are slower."""
        with self._lock:
            self._anchor(self._position())
            index = SPEEDS.index(self._speed) + steps
            self._speed = SPEEDS[min(max(0, index), len(SPEEDS) - 1)]

    def _anchor(self, position: float) -> None:
        self._anchor_position, self._anchor_time = position, self._monotonic()

    def _position(self) -> float:
        elapsed = (self._monotonic() - self._anchor_time) * self._speed if self._playing else 0.0
        return min(self._anchor_position + elapsed, self.length)


def default_speed(length: float) -> int:
    """The fastest speed at which the replay takes at least a minute; the slowest for a shorter one.

    >>> usual_speed(1144.0), usual_speed(30.0), usual_speed(1e7)
    (10, 1, 1000)
    """
    return max((speed for speed in SPEEDS if length / speed >= TARGET_SECONDS), default=SPEEDS[0])
