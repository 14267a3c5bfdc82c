"""Script that restores a terminal after its dashboard was killed; `tui.terminal.lifecycle` starts it as a subprocess.

It reads from a pipe whether the dashboard has the screen, and the code that deletes its images. The pipe is closed when
the dashboard ends, for whatever reason.
"""

import contextlib
import json
import os
import re
import signal
import sys
import termios
from typing import Final

ENTERED: Final = b"t"
LEFT: Final = b"g"

_MESSAGE: Final = re.compile(rb"\x1b[^\n]*\n|[tg]")
_RESTORE: Final = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l"  # bracketed paste, no line wrap, sizes reported in band
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # the mouse
    b"\x1b[?2026l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"  # keys, the screen, the cursor, focus, colours
    b"\r\nddpm-tui was killed; training goes on, and ddpm-tui shows it again.\r\n"
)


def main() -> None:
    """Wait for the end of the pipe on stdin; stdout is the terminal, and the first argument holds its modes."""
    for number in (signal.SIGTTOU, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    state, delete_images = LEFT, b""
    while received := os.read(0, 1024):
        for message in _MESSAGE.findall(received):
            if message in (ENTERED, LEFT):
                state = message
            else:
                delete_images = message.rstrip()
    if state == ENTERED:
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone as well
            if not _has_other_foreground_process():
                termios.tcsetattr(1, termios.TCSANOW, json.loads(sys.argv[1]))
            os.write(1, delete_images + _RESTORE)


def _has_other_foreground_process() -> bool:
    """Return whether a shell has the terminal and has set its modes; the second argument is the dashboard's group."""
    try:
        return os.tcgetpgrp(1) != int(sys.argv[2])
    except OSError:  # a terminal that controls no process here
        return False


if __name__ == "__main__":
    main()
