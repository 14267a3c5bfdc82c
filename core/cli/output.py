"""What the commands write: data and JSON on stdout; notes, errors and progress on stderr."""

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

Align = str
"""One letter a column: ``l`` left, ``r`` right."""


def emit(text: str) -> None:
    """Write one piece of data to stdout, with a newline."""
    sys.stdout.write(text + "\n")


def emit_json(value: Any) -> None:
    """Write a value to stdout as indented JSON; NaN and infinity, which JSON lacks, become null."""
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def note(text: str) -> None:
    """Write one line that is no data to stderr, at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_error(message: str) -> None:
    """Write ``error: message`` to stderr, as one line whatever the message holds; escape codes become visible."""
    line = " ".join(message.split())
    note("error: " + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches the stream: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def format_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], align: Align, *, width: int = 0
) -> str:
    """Columns two spaces apart, under their headers.

    Args:
        headers: a name a column.
        rows: as many cells as headers each.
        align: one letter a column.
        width: where positive, the last column is wrapped to fit and continues under itself.

    Returns:
        Lines joined with newlines, none with blanks at its end.
    """
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
    indent = sum(widths[:-1]) + 2 * (len(headers) - 1)
    room = width - indent
    lines = []
    for row in (headers, *rows):
        cells = [
            cell.rjust(size) if side == "r" else cell.ljust(size)
            for cell, size, side in zip(row, widths, align, strict=True)
        ]
        if room >= 20 and len(row[-1]) > room:
            first, *others = textwrap.wrap(row[-1], room)
            lines += ["  ".join([*cells[:-1], first]), *(" " * indent + other for other in others)]
        else:
            lines.append("  ".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def stdout_width() -> int:
    """Columns of the terminal that shows stdout; 0 where it is a file or a pipe, whose lines nobody wraps."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash for none and for NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(3725.4)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
