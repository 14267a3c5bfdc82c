"""Detection of terminals that show images in Unicode placeholders, by their behaviour and not by their name.

Some terminals answer Kitty's query but have no placeholders, and would show them as letters. Kitty before 0.28 drops a
virtual placement without an answer. Konsole takes it for an ordinary one: it draws the image at the cursor, and moves
the cursor behind it. A terminal with placeholders answers OK, and its cursor stays.
"""

import fcntl
import os
import re
import select
import struct
import termios
import time
import tty
from collections.abc import Callable, Mapping
from typing import Final

from tui.terminal.kitty.placements import DEFAULT_CELL, Placements
from tui.terminal.kitty.protocol import through_tmux

ANSWER_SECONDS: Final = 2.0
"""Seconds to wait for an answer; a terminal that ignores Kitty's query answers the second query at once."""
TMUX_ANSWER_SECONDS: Final = 1.0
"""Likewise through tmux, which would answer the second query itself."""
FALLBACK: Final = "images are half-blocks instead"
SILENT: Final = f"this terminal does not answer Kitty's query for graphics: {FALLBACK}"
WITHOUT_PLACEHOLDERS: Final = f"this terminal has Kitty's graphics, but not its placeholders: {FALLBACK}"
SILENT_TMUX: Final = (
    f"no answer to Kitty's query through tmux, which needs `set -g allow-passthrough on`: {FALLBACK}"
)
NO_TERMINAL: Final = f"Kitty's graphics need a terminal of their own: {FALLBACK}"

_ID: Final = 1 << 24
_QUERY: Final = f"\x1b_Ga=q,t=d,f=24,s=1,v=1,i={_ID};AAAA\x1b\\"
_DEVICE_QUERY: Final = "\x1b[c"
_PLACE: Final = f"\x1b_Ga=t,t=d,f=32,s=1,v=1,i={_ID},q=2;AAAAAA==\x1b\\\x1b_Ga=p,U=1,i={_ID},c=2,r=1\x1b\\"
"""Place a transparent pixel over two cells, which must be answered."""
_DELETE: Final = f"\x1b_Ga=d,d=I,i={_ID},q=2\x1b\\"
_PLACE_QUERY: Final = f"\x1b7\x1b[H{_PLACE}\x1b[6n{_DELETE}\x1b8"
"""Place the pixel at the upper left, ask for the cursor's position, and delete the pixel."""
_ANSWER: Final = re.compile(rf"\x1b_G[^;\x1b]*i={_ID}[^;\x1b]*;([^\x1b]*)\x1b\\")
_DEVICE_ANSWER: Final = re.compile(r"\x1b\[\?[\d;]*c")
_PLACE_ANSWER: Final = re.compile(r"\x1b\[\d+;(\d+)R")

Write = Callable[[str], None]
Read = Callable[[float], str]


def in_tmux(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether tmux is between the dashboard and the terminal."""
    return bool(environment.get("TMUX"))


def detect(write: Write, read: Read, *, tmux: bool) -> tuple[str, str]:
    """Ask the terminal whether it shows images in placeholders.

    Args:
        write: writes to the terminal.
        read: returns what the terminal sends within so many seconds; empty if nothing.
        tmux: whether tmux is in between, whose cursor is not the terminal's. Then only the answer counts.

    Returns:
        The reason why it shows no images, empty if it does; and what was typed meanwhile.
    """
    write(through_tmux(_QUERY) if tmux else _QUERY + _DEVICE_QUERY)
    received = _read_answers(
        read, _ANSWER if tmux else _DEVICE_ANSWER, TMUX_ANSWER_SECONDS if tmux else ANSWER_SECONDS
    )
    answer = _ANSWER.search(received)
    refusal = ""
    if answer is None or answer[1] != "OK":
        refusal = SILENT_TMUX if tmux else SILENT
    else:
        write(through_tmux(_PLACE + _DELETE) if tmux else _PLACE_QUERY)
        more = _read_answers(
            read, _ANSWER if tmux else _PLACE_ANSWER, TMUX_ANSWER_SECONDS if tmux else ANSWER_SECONDS
        )
        placed, where = _ANSWER.search(more), _PLACE_ANSWER.search(more)
        stays = tmux or (where is not None and where[1] == "1")
        refusal = "" if placed is not None and placed[1] == "OK" and stays else WITHOUT_PLACEHOLDERS
        received += more if tmux else _PLACE_ANSWER.sub("", more, count=1)
    return refusal, _DEVICE_ANSWER.sub("", _ANSWER.sub("", received))


def detect_before_start(source: int, target: int) -> tuple[Placements | None, str]:
    """Ask a terminal before the dashboard starts.

    Args:
        source: file descriptor of the terminal to read from; its modes are restored.
        target: file descriptor of the terminal to write to.

    Returns:
        Placements for a terminal that draws images itself; else None, and the reason.
    """

    def write(text: str) -> None:
        os.write(target, text.encode())

    modes, tmux = termios.tcgetattr(source), in_tmux()
    try:
        tty.setcbreak(source, termios.TCSANOW)
        refusal, _ = detect(write, lambda seconds: read_with_timeout(source, seconds), tmux=tmux)
    finally:
        termios.tcsetattr(source, termios.TCSANOW, modes)
    return (None, refusal) if refusal else (Placements(tmux=tmux), "")


def cell_size(handle: int) -> tuple[int, int]:
    """Width and height of a terminal's cell in pixels, as it reports them, or `DEFAULT_CELL` if it does not."""
    try:
        answer = fcntl.ioctl(handle, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return DEFAULT_CELL
    lines, columns, width, height = struct.unpack("HHHH", answer)
    if not (lines and columns and width >= columns and height >= lines):
        return DEFAULT_CELL
    return width // columns, height // lines


def read_with_timeout(handle: int, seconds: float) -> str:
    """Read what arrives within so many seconds, and return as soon as something does."""
    if not select.select([handle], [], [], max(0.0, seconds))[0]:
        return ""
    return os.read(handle, 4096).decode(errors="replace")


def _read_answers(read: Read, awaited: re.Pattern[str], seconds: float) -> str:
    """Read until the awaited answer arrives or the time is over."""
    received, deadline = "", time.monotonic() + seconds
    while not awaited.search(received):
        if not (piece := read(deadline - time.monotonic())):
            break
        received += piece
    return received
