"""A dashboard whose terminal is gone leaves too; a terminal whose dashboard is killed is given back."""

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
    """A process that gives the terminal back should the dashboard be killed, which then cannot do it itself.

    It costs no time: nobody waits until it has started. Where it cannot be started, there is none.

    Args:
        handle: of the terminal, in the modes that it should have afterwards.
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
                process_group=0,  # so that what is meant for the dashboard's group does not reach it
            )
        except (OSError, termios.error):
            pass
        finally:
            os.close(reader)

    def entered(self) -> None:
        """The dashboard has the screen."""
        self._send(ENTERED)

    def set_image_cleanup(self, undo: str) -> None:
        """The dashboard has the terminal draw pictures, which this code deletes."""
        self._send(undo.encode() + b"\n")

    def left(self) -> None:
        """The dashboard has left the screen, for a while or for good."""
        self._send(LEFT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The dashboard has left the screen for good."""
        self.left()
        os.close(self._pipe)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)

    def _send(self, state: bytes) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):  # somebody has killed the guard
                os.write(self._pipe, state)


def has_shell() -> bool:
    """Whether a shell can bring a suspended dashboard back: not where the terminal was made for it alone."""
    return os.getsid(0) != os.getpid()
