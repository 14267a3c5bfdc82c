"""Program in a pseudo-terminal, with the times of its output."""

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
"""Silence after which a frame is complete; each frame is written at once."""

_ESCAPES: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-Z]|[=>78])")


def visible_text(painted: bytes) -> str:
    """Remove colours and cursor movements from output.

    >>> visible_text(b"\\x1b[1;32mq\\x1b[0m quit")
    'q quit'
    """
    return _ESCAPES.sub(b"", painted).decode(errors="replace")


class PtySession:
    """A program in a pseudo-terminal; the clock starts with the program.

    Args:
        command: the program and its arguments.
        folder: its working directory.
        environment: variables added to those of this process.
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
        """Seconds from the start of the program until it has written all these texts.

        Raises:
            UserError: the program did not write them in time, or ended before.
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
        """Press a key after a pause in the output; return the seconds until the next frame is complete.

        Raises:
            UserError: no frame follows.
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
        """Wait until the output pauses for that long, a few seconds at most."""
        deadline = time.perf_counter() + TIMEOUT / 10
        while time.perf_counter() < deadline and self._read(seconds):
            pass

    def cpu_share(self, seconds: float, *, settle: bool = True) -> float:
        """The share of one core that the program takes with its children, without user input.

        Args:
            seconds: duration of the measurement.
            settle: wait for a pause in the output first.
        """
        if settle:
            self.settle()
        before, start = self._cpu_seconds(), time.perf_counter()
        while (left := start + seconds - time.perf_counter()) > 0:
            self._read(left)
        return (self._cpu_seconds() - before) / (time.perf_counter() - start)

    def memory(self) -> int:
        """Resident memory of the program in bytes, including shared memory."""
        resident: int = psutil.Process(self._process.pid).memory_info().rss
        return resident

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend the program during the context."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the program and its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    def _cpu_seconds(self) -> float:
        process = psutil.Process(self._process.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def _read(self, seconds: float) -> bool:
        """Read available output, or wait for it that many seconds. Return whether there was any."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            return False
        self.output += data
        return bool(data)
