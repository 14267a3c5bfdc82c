"""A dashboard whose terminal is gone leaves too; a terminal whose dashboard is killed is given back."""

import codecs
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Final, Self

from tui.guard import GIVEN_BACK, TAKEN

LOOK_SECONDS: Final = 1.0
EXIT_HUNG_UP: Final = 128 + signal.SIGHUP
"""The exit code of a shell's child that a hang-up ended."""


SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("▀▄█▇▆▅▃▐▌▓▒", "#"),
        **dict.fromkeys("░▁▂·⋅∙…", "."),
        **dict.fromkeys("─━═╌┄┈▔", "-"),
        **dict.fromkeys("│┃║┆┊▏▎▕", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╷╵╶╴", "+"),
        **dict.fromkeys("●◉■", "*"),
        **dict.fromkeys("○◌□", "o"),
        **dict.fromkeys("→▶▸›", ">"),
        **dict.fromkeys("←◀◂‹", "<"),
        **dict.fromkeys("↑▲▴", "^"),
        **dict.fromkeys("↓▼▾", "v"),
        "✔": "v",
        "✖": "x",
        "–": "-",
        "—": "-",
        "×": "x",
    }
)
"""What stands for signs that an encoding does not have, a letter each, so that everything keeps its place."""


def write_in_any_encoding() -> None:
    """Let Textual write to a terminal of any encoding: what that has no sign for becomes a letter."""
    codecs.register_error("ddpm-signs", _in_letters)
    if sys.__stderr__ is not None and hasattr(sys.__stderr__, "reconfigure"):
        sys.__stderr__.reconfigure(errors="ddpm-signs")


def _in_letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # stderr is only written to
    found = error.object[error.start : error.end].translate(SIGNS)
    letters = (one if one.isascii() else "." if "\u2800" <= one <= "\u28ff" else "?" for one in found)
    return "".join(letters), error.end


def leave_with_terminal(handle: int) -> None:
    """Look once a second whether there still is a terminal behind a file, and end the process when not.

    A terminal that closes sends SIGHUP to the session that it controls, but not to a dashboard under `nohup`
    or in a session of its own. There Textual 8 reads the end of its input again and again, which takes half
    a core, and waits for ever to write. So the process is ended from a thread, and at once: there is no
    screen to give back, and training does not depend on the dashboard.

    Args:
        handle: of the terminal, which must be one now.
    """
    threading.Thread(target=_watch, args=(handle,), name="terminal-watch", daemon=True).start()


def leave_with_server(handle: int) -> None:
    """Look once a second whether somebody still holds the other end of a pipe, and end the process when not.

    A server that is killed cannot say so, and the web driver goes on without anybody to draw for.

    Args:
        handle: the end that is read from; nothing is read here.
    """
    threading.Thread(target=_watch_pipe, args=(handle,), name="server-watch", daemon=True).start()


def _watch_pipe(handle: int) -> None:
    poll = select.poll()
    poll.register(handle, 0)  # no event but that the other end is closed
    while not poll.poll(1000 * LOOK_SECONDS):
        pass
    os._exit(EXIT_HUNG_UP)


def _watch(handle: int) -> None:
    while os.isatty(handle):
        time.sleep(LOOK_SECONDS)
    os._exit(EXIT_HUNG_UP)


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
                    str(Path(__file__).with_name("guard.py")),
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

    def taken(self) -> None:
        """The dashboard has the screen."""
        self._say(TAKEN)

    def draws(self, undo: str) -> None:
        """The dashboard has the terminal draw pictures, which this code deletes."""
        self._say(undo.encode() + b"\n")

    def given_back(self) -> None:
        """The dashboard has left the screen, for a while or for good."""
        self._say(GIVEN_BACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The dashboard has left the screen for good."""
        self.given_back()
        os.close(self._pipe)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)

    def _say(self, state: bytes) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):  # somebody has killed the guard
                os.write(self._pipe, state)


def has_shell() -> bool:
    """Whether a shell can bring a suspended dashboard back: not where the terminal was made for it alone."""
    return os.getsid(0) != os.getpid()
