"""Playing: something goes on by itself, frame by frame, until its end or until it is paused."""

from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer


class Player:
    """Plays for a screen, with a timer of the screen's own.

    Args:
        owner: the screen.
        advance: shows the next frame, and pauses at the last.
    """

    def __init__(self, owner: MessagePump, advance: Callable[[], None]) -> None:
        self._owner = owner
        self._advance = advance
        self._timer: Timer | None = None

    @property
    def playing(self) -> bool:
        return self._timer is not None

    def play(self, frame: float) -> None:
        """Play, with a frame every so many seconds; another pace where it plays already."""
        self.pause()
        self._timer = self._owner.set_interval(frame, self._next)

    def pause(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _next(self) -> None:
        if self._timer is not None:
            self._advance()
