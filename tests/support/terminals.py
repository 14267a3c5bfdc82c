"""Real pseudo-terminals with the dashboard, or a shell, in them."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pyte

DEADLINE = 60.0
DASHBOARD = (sys.executable, "-m", "tui")


class Terminal:
    """A pseudo-terminal that runs the dashboard, and its screen."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        size: tuple[int, int] = (80, 24),
        program: tuple[str, ...] = DASHBOARD,
        controlling: bool = False,
        variables: Mapping[str, str] | None = None,
        errors: int | None = None,
    ) -> None:
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.hung_up = False
        self.master, slave = pty.openpty()
        self._set_size(size)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment["XDG_CONFIG_HOME"] = environment["XDG_STATE_HOME"] = str(cwd / "nothing-of-mine")
        environment.update(variables or {})
        self.process = subprocess.Popen(
            [*program, *arguments],
            cwd=cwd,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave if errors is None else errors,
            start_new_session=True,
            preexec_fn=_take_terminal if controlling else None,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)
        self._set_size((width, height))
        self.process.send_signal(signal.SIGWINCH)

    def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Show output until the condition holds; fail with the screen at the deadline."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain; the screen:\n{self.text}")
            self._read(0.05)

    def shows(self, *texts: str, seconds: float = DEADLINE) -> None:
        self.until(lambda: all(text in self.text for text in texts), seconds)

    def settle(self, seconds: float = 0.5) -> None:
        """Show output until there has been none for so many seconds."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            known = len(self.raw)
            self._read(seconds)
            if len(self.raw) == known:
                return

    def ends(self) -> int:
        """Wait for the program's end, and return its exit code."""
        if self.hung_up:
            return self.process.wait(DEADLINE)
        self.until(lambda: self.process.poll() is not None)
        self._read(0.05)
        return self.process.wait()

    def hang_up(self) -> None:
        """Close the terminal, without a signal to the dashboard, because it is not its controlling terminal."""
        if not self.hung_up:
            os.close(self.master)
            self.hung_up = True

    def close(self) -> None:
        """Kill the dashboard with its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    def _read(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self.raw += data
            self._take(data)
            seconds = 0.0

    def _take(self, data: bytes) -> None:
        self.stream.feed(data)

    def _set_size(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))


def _take_terminal() -> None:
    """Make stdin the controlling terminal of this session, as a login does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def end_all_of(root: Path) -> None:
    """Kill the queue runner and then the workers of a runs folder, also those without a status yet."""
    for module in ("core.launch.queue", "core.training.worker"):
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if module in words and any(word.startswith(str(root)) for word in words):
                    process.kill()


@contextlib.contextmanager
def terminals(folder: Path) -> Iterator[Callable[..., Terminal]]:
    """Yield a function that opens terminals in a folder; at the end close them, and kill the workers of its runs."""
    opened: list[Terminal] = []

    def start(*arguments: str, kind: type[Terminal] = Terminal, **options: Any) -> Terminal:
        opened.append(kind(*arguments, cwd=folder, **options))
        return opened[-1]

    try:
        yield start
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(end_all_of, folder / "runs")
            for terminal in opened:
                stack.callback(terminal.close)
