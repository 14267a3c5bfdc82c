"""Trial of the locks of a folder, with files of its own."""

import contextlib
import os
import secrets
from pathlib import Path

from core.errors import UserError
from core.files.leases import take_lease
from core.files.lock_reach import MODE_VARIABLE, Reach, lock_reach
from core.files.locks import NoLocksError, open_lock_file, try_flock


def probe_locks(folder: Path) -> tuple[str, str]:
    """Try out the locks of a folder that can be written.

    Returns:
        The locks that runs there use and why, in one line; and what is wrong with them, or an empty text.
    """
    reach, kind = lock_reach(folder)
    path = folder / f".probe-{secrets.token_hex(4)}"
    where = kind or "unknown file system"
    try:
        flock = _flock_excludes(path)
        if flock and reach is Reach.EVERYWHERE:
            return f"flock ({where})", ""
        if not _lease_excludes(path):
            return f"none ({where})", f"{folder}: two processes can hold one lock there; keep runs elsewhere"
        reason = "flock holds on this host only" if flock else "flock does not work"
        return f"leases, because {reason} ({where}; {MODE_VARIABLE}=flock would not use them)", ""
    except (OSError, UserError) as error:
        text = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return f"none ({where})", f"{folder}: locks do not work there ({text})"
    finally:
        for leftover in folder.glob(f"{path.name}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()


def _flock_excludes(path: Path) -> bool:
    """Return whether a lock of one descriptor keeps another one out."""
    first, second = open_lock_file(path), open_lock_file(path)
    try:
        return try_flock(first) and not try_flock(second)
    except NoLocksError:
        return False
    finally:
        os.close(first)
        os.close(second)


def _lease_excludes(path: Path) -> bool:
    first = take_lease(path)
    second = take_lease(path)
    for lease in (first, second):
        if lease is not None:
            lease.release()
    return first is not None and second is None
