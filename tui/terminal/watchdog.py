"""Watchdogs that end the process when its terminal or server is gone."""

import os
import select
import signal
import threading
import time
from typing import Final

POLL_SECONDS: Final = 1.0


EXIT_HUNG_UP: Final = 128 + signal.SIGHUP
"""The exit code of a shell's child that a hang-up ended."""


def exit_with_terminal(handle: int) -> None:
    """Look once a second whether there still is a terminal behind a file, and end the process when not.

    A terminal that closes sends SIGHUP to the session that it controls, but not to a dashboard under `nohup`
    or in a session of its own. There Textual 8 reads the end of its input again and again, which takes half
    a core, and waits for ever to write. So the process is ended from a thread, and at once: there is no
    screen to give back, and training does not depend on the dashboard.

    Args:
        handle: of the terminal, which must be one now.
    """
    threading.Thread(target=_watch_terminal, args=(handle,), name="terminal-watch", daemon=True).start()


def exit_with_server(handle: int) -> None:
    """Look once a second whether somebody still holds the other end of a pipe, and end the process when not.

    A server that is killed cannot say so, and the web driver goes on without anybody to draw for.

    Args:
        handle: the end that is read from; nothing is read here.
    """
    threading.Thread(target=_watch_pipe, args=(handle,), name="server-watch", daemon=True).start()


def _watch_pipe(handle: int) -> None:
    poll = select.poll()
    poll.register(handle, 0)  # no event but that the other end is closed
    while not poll.poll(1000 * POLL_SECONDS):
        pass
    os._exit(EXIT_HUNG_UP)


def _watch_terminal(handle: int) -> None:
    while os.isatty(handle):
        time.sleep(POLL_SECONDS)
    os._exit(EXIT_HUNG_UP)
