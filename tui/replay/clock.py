"""The clock of a replay: it runs faster than others, stands still, and goes where one likes."""

import threading
import time
from collections.abc import Callable
from typing import Final

SPEEDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
TARGET_SECONDS: Final = 60.0
"""How long a replay takes at the speed that it begins with, or a little more."""


class ReplayClock:
    """Where a replay is, in seconds from its beginning; may be asked and told in any thread.

    Args:
        length: seconds of the whole; the clock stands still at its end.
        pace: seconds that only ever rise.
    """

    def __init__(self, length: float, *, pace: Callable[[], float] = time.monotonic) -> None:
        self.length = length
        self._monotonic = pace
        self._lock = threading.Lock()
        self._anchor_position = 0.0
        self._anchor_time = pace()
        self._playing = True
        self._speed = default_speed(length)

    @property
    def position(self) -> float:
        """Seconds from the beginning."""
        with self._lock:
            return self._position()

    @property
    def playing(self) -> bool:
        """Whether time goes on."""
        with self._lock:
            return self._playing and self._position() < self.length

    @property
    def at_end(self) -> bool:
        """Whether all has been played."""
        return self.position >= self.length

    @property
    def speed(self) -> int:
        """Seconds of the replay in one of ours; one of `SPEEDS`."""
        return self._speed

    def seek(self, position: float) -> None:
        """Go to a second; what is before the beginning or behind the end is the beginning or the end."""
        with self._lock:
            self._anchor(min(max(0.0, position), self.length))

    def pause(self) -> None:
        """Stand still."""
        with self._lock:
            self._anchor(self._position())
            self._playing = False

    def play(self) -> None:
        """Go on; from the beginning when at the end."""
        with self._lock:
            at = self._position()
            self._anchor(0.0 if at >= self.length else at)
            self._playing = True

    def change_speed(self, steps: int) -> None:
        """Take a speed so many places on in `SPEEDS`; a slower one where negative."""
        with self._lock:
            self._anchor(self._position())
            place = SPEEDS.index(self._speed) + steps
            self._speed = SPEEDS[min(max(0, place), len(SPEEDS) - 1)]

    def _anchor(self, position: float) -> None:
        self._anchor_position, self._anchor_time = position, self._monotonic()

    def _position(self) -> float:
        gone = (self._monotonic() - self._anchor_time) * self._speed if self._playing else 0.0
        return min(self._anchor_position + gone, self.length)


def default_speed(length: float) -> int:
    """The fastest speed at which the whole still takes a minute; the slowest for what is shorter than that.

    >>> usual_speed(1144.0), usual_speed(30.0), usual_speed(1e7)
    (10, 1, 1000)
    """
    return max((speed for speed in SPEEDS if length / speed >= TARGET_SECONDS), default=SPEEDS[0])
