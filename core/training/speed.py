"""Speed of a training over its last seconds."""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 5.0


class SpeedMeter:
    """Steps a second, measured over the last `WINDOW_SECONDS` and at least two measurements."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()  # times and steps

    def measure(self, now: float, step: int) -> float | None:
        """Add a measurement and return the speed; None if no time has passed since the first one.

        Args:
            now: seconds.
            step: steps that are done.
        """
        self._recent.append((now, step))
        while now - self._recent[0][0] > WINDOW_SECONDS and len(self._recent) > 2:
            self._recent.popleft()
        since, first = self._recent[0]
        return (step - first) / (now - since) if now > since else None

    def clear(self) -> None:
        """Forget the measurements, because other work than training follows."""
        self._recent.clear()
