"""Surroundings that a process was started in: standard streams, terminal, working directory and memory limit."""

import contextlib
import os
import resource
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from core.errors import WORKING_DIRECTORY_DELETED, UserError

TORCH_BYTES: Final = 800 << 20
"""Address space of a process that has loaded torch for the CPU and takes a step of a small network."""

_STREAMS: Final = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def open_closed_streams() -> None:
    """Open the null device as each standard stream that is closed. Call it before anything else is opened.

    Python has no stream object for a closed one. The next file that is opened would get its number, and subprocesses
    would write their messages into that file.
    """
    for number, (name, flags, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is not None:
            continue
        handle = os.open(os.devnull, flags)
        if handle != number and not _is_open(number):
            os.dup2(handle, number)
            os.close(handle)
            handle = number
        stream = os.fdopen(handle, mode, encoding="utf-8", errors="backslashreplace")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def silence(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that neither later writes nor the last flush of unwritten data fail."""
    with contextlib.suppress(OSError):  # no descriptor is left
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


def write_to_stderr(text: str) -> None:
    """Write a line to stderr. If nobody reads it any more, or its disk is full, the program goes on without."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def claims_truecolor(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a terminal with true colours.

    GNU screen passes COLORTERM of the terminal around it on, but shows at most 256 colours.

    >>> claims_truecolor({"COLORTERM": "truecolor", "TERM": "screen-256color", "STY": "1.pts"})
    False
    """
    if environment.get("STY") and environment.get("TERM", "").startswith("screen"):
        return False
    return environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def require_working_directory() -> None:
    """Check that the working directory was not deleted, because libraries fail without one.

    Raises:
        UserError: it was.
    """
    try:
        os.getcwd()
    except OSError:
        raise UserError(WORKING_DIRECTORY_DELETED) from None


def require_memory_for_torch() -> None:
    """Check the limit of this process's memory (``ulimit -v``), which its subprocesses inherit.

    Below it torch or the libraries under it end the process while they are loaded, with a message of their own.

    Raises:
        UserError: the limit is lower than what torch takes.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < TORCH_BYTES:
        raise UserError(
            f"the memory limit of {limit >> 20} MiB (ulimit -v) is too low: torch and a small network take "
            f"{TORCH_BYTES >> 20} MiB; raise the limit"
        )
