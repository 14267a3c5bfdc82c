"""Writing data and JSON to stdout, notes and errors to stderr, and results to the path of ``--out``."""

import contextlib
import math
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import click
import msgspec

from core.errors import UserError
from core.files.environment import write_to_stderr
from core.files.sanitize import sanitize

PIPE_WIDTH: Final = 80
"""Columns that output is laid out for where stdout is not a terminal but must have some width."""

Align = str
"""One letter per column: ``l`` left, ``r`` right."""


def emit(text: str) -> None:
    """Write a piece of data and a newline to stdout, without control characters: see `sanitize`."""
    sys.stdout.write(sanitize(text, lines=True) + "\n")


def emit_colored(text: str) -> None:
    """Write text with escape codes of this program's own, and a newline, to stdout."""
    sys.stdout.write(text + "\n")


def emit_json(value: Any) -> None:
    """Write a value to stdout as indented JSON; NaN and infinity, which JSON lacks, become null.

    Texts are complete, because names must be what is on disk. All characters that are not printable ASCII are
    escaped. So none reaches a terminal, and names that are not valid text can be written.
    """
    sys.stdout.write(_json_text(value) + "\n")


def emit_json_object(items: Mapping[str, Any]) -> None:
    """Write a JSON object as `emit_json` does. An iterator becomes an array whose elements are written one by one."""
    sys.stdout.write("{")
    for number, (key, value) in enumerate(items.items()):
        sys.stdout.write(f"{',' * bool(number)}\n  {_json_text(key)}: ")
        if isinstance(value, Iterator):
            _write_array(value)
        else:
            sys.stdout.write(_json_text(value).replace("\n", "\n  "))
    sys.stdout.write("\n}\n")


def _write_array(elements: Iterator[Any]) -> None:
    separator = "["
    for element in elements:
        sys.stdout.write(f"{separator}\n    " + _json_text(element).replace("\n", "\n    "))
        separator = ","
    sys.stdout.write("[]" if separator == "[" else "\n  ]")


def _json_text(value: Any) -> str:
    import json  # not needed to start

    return json.dumps(_without_infinities(msgspec.to_builtins(value)), indent=2, allow_nan=False)


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinities(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinities(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def note(text: str, *, limit: int | None = None) -> None:
    """Write one line to stderr and flush it; without control characters, and shortened: see `sanitize`."""
    write_to_stderr(sanitize(text, limit=limit))


def note_lines(text: str) -> None:
    """Write several lines to stderr and flush them."""
    write_to_stderr(sanitize(text, lines=True))


def print_error(message: str) -> None:
    """Write ``error: message`` to stderr as one line."""
    note("error: " + " ".join(message.split()))


def confirm(lines: Sequence[str], verb: str, question: str) -> None:
    """Ask before something is lost for good.

    Args:
        lines: what would be lost, each noted on a line of its own.
        verb: what would be done to it, such as ``delete``.
        question: the question, to be answered with yes or no.

    Raises:
        UserError: there is no terminal to ask in.
        click.Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UserError(
            f"{len(lines)} to {verb}, but no terminal to ask in; give --yes to {verb} without asking"
        )
    for line in lines:
        note(f"  {line}")
    if not click.confirm(question, err=True):
        raise click.Abort


def note_library_messages() -> None:
    """Have the warnings and log messages of libraries written as notes, which a terminal can show.

    Call it before a library that may warn is imported. The texts may contain what a file contains.
    """
    import logging  # not needed to start

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(f"warning: {record.getMessage()}")

    def show(message: Warning | str, *_: object, **__: object) -> None:
        note(f"warning: {message}")

    logging.lastResort = Notes(logging.WARNING)
    warnings.showwarning = show


def is_terminal(stream: TextIO) -> bool:
    """Return whether the stream is an interactive terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def format_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], align: Align, *, width: int = 0
) -> str:
    """Lay out columns two spaces apart under their headers.

    Args:
        headers: one per column.
        rows: as many cells as there are headers.
        align: one letter per column, see `Align`.
        width: if positive, the last column is wrapped to fit and continues below itself.

    Returns:
        Lines joined with newlines, without trailing blanks. Cells are sanitized first, so that columns stay aligned.
    """
    rows = [[sanitize(cell) for cell in row] for row in rows]
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


def check_out_file(out: Path, *suffixes: str, inputs: Sequence[Path] = ()) -> None:
    """Check the path of ``--out`` before time is spent on what goes there.

    Args:
        out: the path.
        suffixes: those of its name, of which it must have one.
        inputs: files of the user's, which are read and must not be lost; any that do not exist are ignored.

    Raises:
        UserError: the name has none of the suffixes, its folder does not exist, or it is an input.
    """
    if out.suffix.lower() not in suffixes:
        raise UserError(f"--out {out}: expected a name that ends in {' or '.join(suffixes)}")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    for given in inputs:
        if given.exists() and out.exists() and out.samefile(given):
            raise UserError(f"--out {out}: is {given}, which would be lost; give another name")


def make_out_folder(out: Path) -> None:
    """Make the folder of ``--out`` before time is spent on what goes there.

    Raises:
        UserError: the folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror or error})") from error


@contextlib.contextmanager
def writing_out(out: Path) -> Iterator[None]:
    """Turn an error while ``--out`` is written into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error


def stdout_width() -> int:
    """Return the columns of the terminal at stdout; 0 for a file or a pipe, which is not wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def number_text(value: float | None, digits: int = 3) -> str:
    """Format a number for a table; None and NaN become a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def duration_text(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds.

    >>> duration_text(3725.4)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
