"""Timer-driven playback, frame by frame, until the end or a pause."""

from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer


class Player:
    """Playback for a screen, on a timer that the screen owns.

    Args:
        owner: the screen.
        advance: shows the next frame, and calls `pause` at the last one.
    """

    def __init__(self, owner: MessagePump, advance: Callable[[], None]) -> None:
        self._owner = owner
        self._advance = advance
        self._timer: Timer | None = None

    @property
    def playing(self) -> bool:
        return self._timer is not None

    def play(self, interval: float) -> None:
        """Play with so many seconds between frames; change the interval if it plays already."""
        self.pause()
        self._timer = self._owner.set_interval(interval, self._next)

    def pause(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _next(self) -> None:
        if self._timer is not None:
            self._advance()
