"""Watchdog threads that end the process when its terminal or server is gone."""

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
    """Check once a second that a file descriptor is still a terminal, and end the process when it is not.

    A terminal that closes sends SIGHUP to the session that it controls, but not to a dashboard under `nohup` or in a
    session of its own. There Textual 8 reads the end of its input in a loop, which takes half a core, and a write never
    returns. So a thread ends the process at once. There is no screen to restore, and training does not depend on the
    dashboard.

    Args:
        handle: file descriptor of the terminal, which must be one now.
    """
    threading.Thread(target=_watch_terminal, args=(handle,), name="terminal-watch", daemon=True).start()


def exit_with_server(handle: int) -> None:
    """Check once a second that the other end of a pipe is open, and end the process when it is not.

    A server that is killed cannot announce its end, and the web driver would run on without a client.

    Args:
        handle: file descriptor of the reading end; nothing is read here.
    """
    threading.Thread(target=_watch_pipe, args=(handle,), name="server-watch", daemon=True).start()


def _watch_pipe(handle: int) -> None:
    poll = select.poll()
    poll.register(handle, 0)  # no event except that the other end is closed
    while not poll.poll(1000 * POLL_SECONDS):
        pass
    os._exit(EXIT_HUNG_UP)


def _watch_terminal(handle: int) -> None:
    while os.isatty(handle):
        time.sleep(POLL_SECONDS)
    os._exit(EXIT_HUNG_UP)
