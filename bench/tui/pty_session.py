"""A program in a pseudo-terminal, and when it painted what."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from core.errors import UserError

TIMEOUT: Final = 60.0
FRAME_GAP_SECONDS: Final = 0.04
"""A frame is over when nothing was written for so long; frames are written in one go."""

_ESCAPES: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-Z]|[=>78])")


def visible_text(painted: bytes) -> str:
    """What was written, without colours and cursor movements.

    >>> visible_text(b"\\x1b[1;32mq\\x1b[0m quit")
    'q quit'
    """
    return _ESCAPES.sub(b"", painted).decode(errors="replace")


class PtySession:
    """Runs a program in a pseudo-terminal; the clock starts with the program.

    Args:
        command: the program.
        folder: where it runs.
        environment: added to this process's own.
        size: columns and rows.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        size: tuple[int, int] = (160, 50),
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.output = b""
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def seconds_until(self, *texts: str) -> float:
        """Seconds since the program's start until it has painted all these.

        Raises:
            UserError: it did not, or ended before.
        """
        while True:
            text = visible_text(self.output)
            if all(wanted in text for wanted in texts):
                return time.perf_counter() - self.started
            if not self._read(TIMEOUT):
                raise UserError(f"waited in vain for {', '.join(texts)}; the last words: {text[-200:]!r}")

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._master, key.encode())

    def key_latency(self, key: str, *, quiet: float = 0.3) -> float:
        """Press a key once nothing was painted for a while; seconds until the frame that follows was written whole.

        Raises:
            UserError: nothing follows.
        """
        self.settle(quiet)
        start = time.perf_counter()
        self.press(key)
        if not self._read(TIMEOUT):
            raise UserError(f"nothing was painted after the key {key!r}")
        last = time.perf_counter()
        while self._read(FRAME_GAP_SECONDS):
            last = time.perf_counter()
        return last - start

    def settle(self, seconds: float = 0.3) -> None:
        """Wait until nothing was painted for so long, a few seconds at most."""
        deadline = time.perf_counter() + TIMEOUT / 10
        while time.perf_counter() < deadline and self._read(seconds):
            pass

    def cpu_share(self, seconds: float, *, settle: bool = True) -> float:
        """How much of one core the program, with its children, takes while nobody does anything.

        Args:
            seconds: for which it is watched.
            settle: whether to wait before that until it has painted what it was about to.
        """
        if settle:
            self.settle()
        before, start = self._cpu_seconds(), time.perf_counter()
        while (left := start + seconds - time.perf_counter()) > 0:
            self._read(left)
        return (self._cpu_seconds() - before) / (time.perf_counter() - start)

    def memory(self) -> int:
        """Bytes of memory that the program has for itself or shares, by now."""
        resident: int = psutil.Process(self._process.pid).memory_info().rss
        return resident

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """The program stands still meanwhile."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the program, and all that it started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    def _cpu_seconds(self) -> float:
        process = psutil.Process(self._process.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def _read(self, seconds: float) -> bool:
        """Read what is there, or comes in so many seconds; whether something was."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            return False
        self.output += data
        return bool(data)
