"""The terminal as it is, where environment variables and standard streams say otherwise."""

import os
import re
import sys
import termios
import tty
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from core.files.environment import claims_truecolor

ANSWER_SECONDS: Final = 0.5
_ASK: Final = b"\r\xc3\xa9\x1b[6n"
"""Write é, which is one character in UTF-8 and two otherwise, and ask for the cursor's position."""
_CLEAR: Final = b"\r\x1b[K"
_ANSWER: Final = re.compile(r"\x1b\[\d+;(\d+)R")


def correct(environment: MutableMapping[str, str]) -> None:
    """Remove variables that were inherited from another terminal than the one that the dashboard is in.

    Exported COLUMNS and LINES would replace the size of the terminal, also after it was resized.
    """
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    if not claims_truecolor(environment):
        environment.pop("COLORTERM", None)


def draw_on_stdout() -> None:
    """Have Textual, which draws on stderr, draw on stdout if stderr is no terminal, such as a file for errors."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        stream = open(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding)  # noqa: SIM115 (kept open)
        sys.__stderr__ = stream  # type: ignore[misc]  # Textual has no setting for it


def lacks_utf8(source: int, target: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the terminal shows single bytes. It is only asked in the locale C, where Python assumes UTF-8.

    A terminal that does not answer is taken at the word of the locale.

    Args:
        source: file descriptor of the terminal to read from; its modes are restored.
        target: file descriptor of the terminal to write to.
        environment: the environment variables.
    """
    if (environment.get("LC_ALL") or environment.get("LC_CTYPE")) not in ("C", "POSIX"):
        return False
    from tui.terminal.kitty.detect import read_with_timeout  # not needed to start

    modes = termios.tcgetattr(source)
    try:
        tty.setcbreak(source, termios.TCSANOW)
        column = _asked_column(
            lambda text: os.write(target, text), lambda: read_with_timeout(source, ANSWER_SECONDS)
        )
    finally:
        termios.tcsetattr(source, termios.TCSANOW, modes)
    return column != 2


def _asked_column(write: Callable[[bytes], object], read: Callable[[], str]) -> int | None:
    write(_ASK)
    received = ""
    while not (answer := _ANSWER.search(received)):
        if not (more := read()):
            break
        received += more
    write(_CLEAR)
    return int(answer[1]) if answer else None
