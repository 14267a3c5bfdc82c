"""Standard streams that the caller closed (``>&-``) or that cannot be written, as the null device."""

import contextlib
import os
import sys
from typing import Final, TextIO

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


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
