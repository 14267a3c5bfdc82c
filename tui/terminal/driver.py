"""Terminal driver that writes only changed cells, within the connection's bandwidth.

Frames are coalesced, not queued. While output is pending, a new frame only updates the target buffer. Once there is
capacity the latest target is sent, so latency stays bounded on slow links. Images that change are sent in parts,
wherever the terminal is, because texts and curves must not wait behind them.
"""

import asyncio
import os
import re
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from textual.driver import Driver

from tui.terminal.screen_buffer import ScreenBuffer, is_mode
from tui.textual_ext.compat import (
    SYNC_END,
    SYNC_START,
    key_events,
    paused_input,
    queued_writes,
    reports_size_in_band,
)

if TYPE_CHECKING:
    from textual.drivers.linux_driver import LinuxDriver as _Base

    from tui.terminal.kitty.placements import Placements
else:
    _Base = object

REMOTE_RATE: Final = 200_000
LOCAL_RATE: Final = 3_000_000
"""Bytes a second, over SSH and else: a few full frames of noise, or all that a terminal draws in time."""
IMAGE_RATE: Final = 35_000
"""Bytes a second for images, of what texts leave: little over SSH, and enough for noise to dissolve."""
PIXEL_RATE: Final = 1_000_000
"""Likewise where the terminal draws images itself and is on this machine: such images are not sent in parts."""
IMAGE_RATE_RESERVE: Final = 100_000
"""Bytes that accumulate while little is sent, so that a screen that opens has its images at once."""
IMAGE_FRAME_SECONDS: Final = 0.1
"""Seconds between the parts of an image that is sent in parts."""
MAX_BACKLOG: Final = 4
"""Writes that may wait in Textual's own queue."""
RETRY_SECONDS: Final = 0.02
_MOUSE: Final = re.compile(r"\x1b\[<[-\d;]*[mM]")


def bandwidth_limit(environment: Mapping[str, str] = os.environ) -> int:
    """Bytes a second that the connection to the terminal may carry."""
    remote = any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION"))
    return REMOTE_RATE if remote else LOCAL_RATE


class DiffDriver(_Base):
    """Mixin for one of Textual's drivers, see `with_diffing`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.screen_buffer = ScreenBuffer()
        self._bytes_per_second = bandwidth_limit()
        self._has_screen = False
        self._detect_lock = (
            threading.RLock()
        )  # a signal that suspends may come while the screen is given back
        self._supports_sync = False
        self._line_free_at = 0.0
        self._image_budget, self._budget_updated_at = float(IMAGE_RATE_RESERVE), time.monotonic()
        self._retry_timer: asyncio.TimerHandle | None = None

    def write(self, data: str) -> None:
        if data in (SYNC_START, SYNC_END):
            self._supports_sync = True  # Textual has found that the terminal understands it
        elif self.screen_buffer.write(data):
            self._send_or_wait()
        else:
            self._send()
            super().write(data)
            if not is_mode(data):
                self.screen_buffer.invalidate()

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._has_screen = True

    def stop_application_mode(self) -> None:
        """Give the terminal back, without images of ours in it."""
        with self._detect_lock:
            self._has_screen = False
            if self.placements is not None and (codes := self.placements.undo()):
                super().write(codes)
            super().stop_application_mode()

    @property
    def placements(self) -> "Placements | None":
        """The placements of images that the terminal draws itself; None where it draws none."""
        return self.screen_buffer.placements

    @placements.setter
    def placements(self, placements: "Placements | None") -> None:
        self.screen_buffer.placements = placements

    def detect_kitty(self) -> str:
        """Ask the terminal whether it draws images itself, and wait for its answer; not in the loop's thread.

        Textual would read the answer as keys, so its input thread is stopped meanwhile. What is typed is not lost.

        Returns:
            The reason why the terminal draws none, in a line; empty where it does.
        """
        from tui.terminal.kitty import detect

        with self._detect_lock:
            if not self._has_screen:
                return detect.NO_TERMINAL
            with paused_input(self) as paused:
                if not paused:
                    return detect.NO_TERMINAL
                refusal, typed = detect.detect(
                    super().write,
                    lambda seconds: detect.read_with_timeout(self.fileno, seconds),
                    tmux=detect.in_tmux(),
                )
            for event in key_events(_MOUSE.sub("", typed)):
                self.process_message(event)
            if reports_size_in_band(self):
                super().write(
                    "\x1b[?2048h"
                )  # reports the size again, by which the mouse's pixels become cells
        return refusal

    def invalidate(self) -> None:
        """Forget what the terminal shows, which it may have lost, as when its size changes."""
        self.screen_buffer.invalidate()

    def _send_or_wait(self) -> None:
        wait = self._line_free_at - time.monotonic()
        if wait <= 0 and self._has_capacity():
            self._send()
            if self.screen_buffer.is_dirty() or (self.placements is not None and self.placements.has_unsent):
                self._retry_after(IMAGE_FRAME_SECONDS)
        else:
            self._retry_after(max(wait, RETRY_SECONDS))

    def _retry_after(self, seconds: float) -> None:
        if self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(seconds, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        self._send_or_wait()

    def _has_capacity(self) -> bool:
        """Return whether the terminal has read what was sent; its buffer is all that can be seen of the line."""
        return queued_writes(self) < MAX_BACKLOG

    def _send(self) -> None:
        budget = self._available_image_budget()
        images = self._image_updates(budget)
        if data := images + self.screen_buffer.flush(budget - len(images)):
            framed = f"{SYNC_START}{data}{SYNC_END}" if self._supports_sync else data
            size = len(framed.encode())
            self._line_free_at = max(time.monotonic(), self._line_free_at) + size / self._bytes_per_second
            self._image_budget = max(self._image_budget - size, -self._image_rate * IMAGE_FRAME_SECONDS)
            super().write(framed)

    def _image_updates(self, budget: int) -> str:
        """The codes of images that the terminal draws itself, as many as the budget allows."""
        if self.placements is None or not self._has_screen:
            return ""
        from tui.terminal.kitty.detect import cell_size

        self.placements.cell = cell_size(self.fileno)
        return self.placements.pending(self.screen_buffer.colors, budget)

    @property
    def _image_rate(self) -> int:
        """Bytes a second for images, of what texts leave."""
        local = self._bytes_per_second == LOCAL_RATE
        return PIXEL_RATE if local and self.placements is not None and any(self.placements) else IMAGE_RATE

    def _available_image_budget(self) -> int:
        """Bytes that images may use by now; none rather than so few that single cells would flicker."""
        now, rate = time.monotonic(), self._image_rate
        earned = rate * (now - self._budget_updated_at)
        self._image_budget = min(IMAGE_RATE_RESERVE, self._image_budget + earned)
        self._budget_updated_at = now
        return int(self._image_budget) if self._image_budget >= rate * IMAGE_FRAME_SECONDS / 2 else 0


@cache
def with_diffing(driver: type[Driver]) -> type[Driver]:
    """Subclass one of Textual's drivers with `DiffDriver`."""
    return type(f"Diff{driver.__name__}", (DiffDriver, driver), {})
