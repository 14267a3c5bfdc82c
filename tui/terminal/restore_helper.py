"""Gives a terminal back when the dashboard that had it was killed. Started by `tui.terminal.lifecycle` as a script of its own.

It reads, through a pipe, whether the dashboard has the screen, and the code that deletes its pictures. The pipe ends
with the dashboard, however that ends.
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
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l"  # pasting in brackets, lines that do not wrap, sizes told in line
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # the mouse
    b"\x1b[?2026l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"  # keys, the screen, the cursor, focus, colours
    b"\r\nddpm-tui was killed; training goes on, and ddpm-tui shows it again.\r\n"
)


def main() -> None:
    """Wait for the end of the pipe on stdin; stdout is the terminal, whose modes are the argument."""
    for number in (signal.SIGTTOU, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    state, undo = LEFT, b""
    while said := os.read(0, 1024):
        for word in _MESSAGE.findall(said):
            state, undo = (word, undo) if word in (ENTERED, LEFT) else (state, word.rstrip())
    if state == ENTERED:
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone as well
            if not _has_other_foreground_process():
                termios.tcsetattr(1, termios.TCSANOW, json.loads(sys.argv[1]))
            os.write(1, undo + _RESTORE)


def _has_other_foreground_process() -> bool:
    """Whether a shell has taken the terminal, and set its modes; ours is a group beside the dashboard's."""
    try:
        return os.tcgetpgrp(1) != int(sys.argv[2])
    except OSError:  # a terminal that controls nobody here
        return False


if __name__ == "__main__":
    main()
