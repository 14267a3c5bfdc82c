"""Copies of runs that belong to another host or folder: the file `copy.json` that marks a copy, and its state.

A copy is written by `core.launch.pull` only. It is neither started, stopped nor deleted here, because the run itself is
elsewhere. Its state is that of the run at the moment of the last pull, by the clock of the other host. So neither a
clock that is wrong nor a pull that is late makes a running training look crashed.
"""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from core.errors import UserError
from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.runs.status import State, Status

FILE_NAME: Final = "copy.json"
STALE_SECONDS: Final = 300.0
"""Seconds after which the last pull of a run that trains is mentioned."""

_SIZE_LIMIT: Final = 1 << 16


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Mark of a run that was pulled.

    Attributes:
        source: the runs folder that it was pulled from, as ``HOST:DIR`` or an absolute path.
        pulled: time of the last pull by the clock of the other host, in seconds since the epoch.
        skew: seconds that the clock of the other host is ahead of this one's.
        is_gone: the run was not there any more at the last pull.
    """

    source: str
    pulled: float = 0.0
    skew: float = 0.0
    is_gone: bool = False


def is_copy(folder: Path) -> bool:
    """Return whether a run's folder is a copy. Costs one stat."""
    return os.path.lexists(folder / FILE_NAME)


def read_copy(folder: Path) -> Copy | None:
    """Read the mark of a copy; None for a run of this machine. A damaged mark still is one, of an unknown source."""
    try:
        with open_regular(folder / FILE_NAME) as file:
            copy = msgspec.json.decode(file.read(_SIZE_LIMIT), type=Copy)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Copy(source="another host") if is_copy(folder) else None
    return msgspec.structs.replace(copy, source=sanitize(copy.source))


def write_copy(folder: Path, copy: Copy) -> None:
    """Replace the mark of a copy atomically."""
    atomic_write(folder / FILE_NAME, msgspec.json.encode(copy) + b"\n", fsync=False)


def state_of_copy(status: Status, copy: Copy, *, timeout: float) -> State:
    """Return the state that a run had when it was pulled, with CRASHED inferred from its heartbeat.

    Args:
        status: the status as pulled, whose heartbeat is of the other host's clock.
        copy: the mark of the copy.
        timeout: seconds after which a run without a heartbeat is considered crashed.
    """
    if not status.state.is_live:
        return status.state
    is_running = abs(copy.pulled - status.heartbeat) <= timeout
    return status.state if is_running and not copy.is_gone else State.CRASHED


def copy_warning(copy: Copy, *, now: float) -> str:
    """Return a warning about the copy of a run that trained when it was last pulled; empty if that is recent.

    Args:
        copy: the mark of the copy.
        now: the wall clock of this machine, in seconds since the epoch.
    """
    if now + copy.skew - copy.pulled <= STALE_SECONDS:
        return ""
    try:
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(copy.pulled - copy.skew))
    except (OverflowError, ValueError, OSError):  # a damaged mark
        moment = "long ago"
    return f"as it was when last pulled from {copy.source}: {moment}"


def reject_copy(folder: Path, verb: str, participle: str) -> None:
    """Refuse to change a copy. One whose run is gone may be deleted.

    Args:
        folder: the run's folder.
        verb: the command of ``core runs`` that would do it where the run is, for example ``stop``.
        participle: its participle, for the message.

    Raises:
        UserError: it is a copy.
    """
    copy = read_copy(folder)
    if copy is None or (copy.is_gone and verb == "rm"):
        return
    name = sanitize(folder.name)
    host, colon, path = copy.source.partition(":")
    remote = bool(colon) and "/" not in host
    there = f"on {host}: " if remote else ""
    command = f"core runs {verb} {name} --runs {path if remote else copy.source}"
    raise UserError(
        f"{name}: is a copy of a run in {copy.source}, and is not {participle} here; {there}{command} "
        f"(to make it a run of this machine, delete {folder / FILE_NAME})"
    )
