"""Subprocess that restores the terminal when the dashboard is killed, and the test for a shell to suspend to."""

import contextlib
import json
import os
import subprocess
import sys
import termios
from pathlib import Path
from typing import Self

from tui.terminal.restore_helper import ENTERED, LEFT


class TerminalGuard:
    """Subprocess that restores the terminal if the dashboard is killed and cannot do it itself.

    It costs no time, because nothing waits for its start. Where it cannot be started, there is no guard.

    Args:
        handle: file descriptor of the terminal, in the modes that it should have afterwards.
    """

    def __init__(self, handle: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        reader, self._pipe = os.pipe()
        try:
            modes = json.dumps(
                [
                    *(modes := termios.tcgetattr(handle))[:6],
                    [c if isinstance(c, int) else c[0] for c in modes[6]],
                ]
            )
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(__file__).with_name("restore_helper.py")),
                    modes,
                    str(os.getpgrp()),
                ],
                stdin=reader,
                stdout=handle,
                stderr=subprocess.DEVNULL,
                process_group=0,  # so that signals to the dashboard's group do not reach it
            )
        except (OSError, termios.error):
            pass
        finally:
            os.close(reader)

    def entered(self) -> None:
        """Report that the dashboard has the screen."""
        self._send(ENTERED)

    def set_image_cleanup(self, codes: str) -> None:
        """Report the code that deletes the images which the terminal draws."""
        self._send(codes.encode() + b"\n")

    def left(self) -> None:
        """Report that the dashboard has left the screen, when it is suspended or ends."""
        self._send(LEFT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Report the end of the dashboard, and wait for the subprocess."""
        self.left()
        os.close(self._pipe)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)

    def _send(self, state: bytes) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):  # the subprocess was killed
                os.write(self._pipe, state)


def has_shell() -> bool:
    """Return whether a shell can resume a suspended dashboard; False in a terminal that was opened for it alone."""
    return os.getsid(0) != os.getpid()
