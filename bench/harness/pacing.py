"""Bound on the work that is queued on a device, so that a trial ends when its time is over.

A GPU accepts many operations before it has computed the first. A loop that only looks at the clock queues minutes of
work within a second. A `Pacer` therefore marks the queue with events, and waits for an earlier mark before more steps
are queued. Two windows of steps are in the queue at most, so the device never waits for the host.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import torch

WINDOW_SECONDS: Final = 0.1
"""Longest time of a window of several steps, once it is known how long they take."""

Wait = Callable[[], object]
"""Waits until the device has done everything that was queued before the mark."""


class Pacer:
    """Paces a loop that queues steps on a device; starts with a window of one step, because their time is unknown.

    At most two windows are in the queue: 0.2 s, or two steps if these take longer.

    Args:
        device: the device; a CPU and Metal have nothing in the queue after a step.
        clock: a monotonic clock in seconds.
        mark: marks the end of the device's queue, and returns the wait for it; an event unless given.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        clock: Callable[[], float] = time.perf_counter,
        mark: Callable[[], Wait] | None = None,
    ) -> None:
        self._clock, self._mark = clock, mark or (lambda: mark_queue(device))
        self._window, self._queued = 1, 0
        self._pending: deque[Wait] = deque()
        self._since = 0.0

    def step(self) -> None:
        """Count a step that was queued, and wait if the queue is full."""
        if not self._queued and not self._pending:
            self._since = self._clock()
        self._queued += 1
        if self._queued < self._window:
            return
        self._pending.append(self._mark())
        self._queued = 0
        if len(self._pending) < 2:
            return
        self._pending.popleft()()
        now = self._clock()
        passed, self._since = now - self._since, now
        if passed < WINDOW_SECONDS / 2:
            self._window *= 2
        elif passed > WINDOW_SECONDS:
            self._window = max(1, self._window // 2)

    def drain(self) -> None:
        """Wait until the device has done all steps."""
        self._pending.clear()
        self._queued = 0
        self._mark()()


def mark_queue(device: torch.device) -> Wait:
    """Mark the end of a device's queue, and return the wait for it."""
    if device.type == "cuda":
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        return event.synchronize
    if device.type == "mps":
        torch.mps.synchronize()
    return lambda: None
