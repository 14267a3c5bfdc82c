"""Identities of processes, and detection of runs whose process has crashed or stalled."""

import contextlib
import functools
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.runs.copies import read_copy, state_of_copy
from core.runs.status import State, Status

HEARTBEAT_TIMEOUT: Final = 60.0
"""Seconds between the heartbeat of a run on another host and now, after which it is considered crashed."""
STALL_SECONDS: Final = 300.0
"""Seconds without a heartbeat after which a live process is reported as possibly hanging."""

_HAS_PROC: Final = Path("/proc/self/stat").exists()
_LOCKS: Final = Path("/proc/locks")
_START_TOLERANCE: Final = 0.5


@dataclass(frozen=True)
class ProcessIdentity:
    """Identity of a process that stays unique when a pid is reused or the host reboots.

    `pid_started` is in seconds: since boot on Linux, so that a step of the wall clock cannot change it, and since the
    epoch elsewhere. It is only compared for equality.
    """

    host: str
    pid: int
    pid_started: float
    boot_id: str

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Identify the current process."""
        identity = cls.from_pid(os.getpid())
        assert identity is not None  # the current process exists
        return identity

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessIdentity | None":
        """Identify the process of this host that has the pid now; None if there is none, or only a zombie."""
        started = _start_time(pid)
        return None if started is None else cls(host_name(), pid, started, boot_id())

    @classmethod
    def from_status(cls, status: Status) -> "ProcessIdentity":
        """Take the identity that a status contains."""
        return cls(status.host, status.pid, status.pid_started, status.boot_id)


def is_alive(identity: ProcessIdentity) -> bool | None:
    """Return whether the process is running; a zombie is not. None for a process on another host, as it is unknown."""
    if identity.pid <= 0:
        return False
    if identity.host != host_name():
        return None
    if identity.boot_id != boot_id():
        return False
    started = _start_time(identity.pid)
    if started is None:
        return _is_hidden(identity.pid)
    return abs(started - identity.pid_started) < _START_TOLERANCE


def effective_state(status: Status, *, now: float, lock: Path | None = None) -> State:
    """Return the written state, or CRASHED if the process of a live state is gone.

    A copy of the folder of a running run is CRASHED too, because the process does not train the copy. A copy that was
    pulled (`core.runs.copies`) has the state that the run had then.

    Args:
        status: as read from `status.json`.
        now: the wall clock, in seconds since the epoch; used only for a run on another host.
        lock: the lock file beside that `status.json`; None does not look for copies.
    """
    if not status.state.is_live:
        return status.state
    if lock is not None and (copy := read_copy(lock.parent)) is not None:
        return state_of_copy(status, copy, timeout=HEARTBEAT_TIMEOUT)
    is_running = is_alive(ProcessIdentity.from_status(status))
    if is_running is None:
        # A heartbeat from the future is no sign of life either: it would never grow old.
        is_running = abs(now - status.heartbeat) <= HEARTBEAT_TIMEOUT
    elif is_running and lock is not None and _is_copy(status, lock):
        is_running = False
    return status.state if is_running else State.CRASHED


def _is_copy(status: Status, lock: Path) -> bool:
    """Return whether a status was copied together with its folder, so that its process trains another folder."""
    if not status.lock:
        return False
    try:
        if os.lstat(lock).st_ino == status.lock:
            return False
    except OSError:
        pass  # the lock was deleted, or not copied
    return not names_folder(status.pid, lock.parent)


def stall_warning(status: Status, *, now: float) -> str:
    """Return a warning about a live run without a heartbeat for `STALL_SECONDS`; empty if there is no reason.

    The state does not change, because a process that is suspended or waits for a slow disk may continue.

    Args:
        status: status of a run whose effective state is live.
        now: the wall clock, in seconds since the epoch.
    """
    if not status.state.is_live or now - status.heartbeat <= STALL_SECONDS:
        return ""
    try:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.heartbeat))
    except (OverflowError, ValueError, OSError):  # a damaged heartbeat
        since = "long ago"
    return f"no sign of life since {since}; if process {status.pid} hangs, kill it (kill -9), then resume"


def names_folder(pid: int, folder: Path) -> bool:
    """Return whether an argument of a process is the path of this folder, by whatever path either is reached."""
    import psutil  # a worker on Linux, which needs no psutil, starts without it

    try:
        process = psutil.Process(pid)
        words, directory = process.cmdline(), process.cwd()
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False
    for word in words[1:]:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(os.path.join(directory, word), folder):
                return True
    return False


def may_hold_lock(pid: int, path: Path) -> bool:
    """Return whether a process holds a lock on a file; True where the system does not tell who holds it."""
    try:
        inode, lines = os.stat(path).st_ino, _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return True
    # 1: FLOCK  ADVISORY  WRITE 708 fd:00:123 0 EOF; a process that waits has an arrow before the kind.
    fields = [line.split() for line in lines if "->" not in line]
    holders = {line[4] for line in fields if len(line) > 5 and line[5].rpartition(":")[2] == str(inode)}
    return not holders or str(pid) in holders


def send_signal(
    identity: ProcessIdentity, number: signal.Signals, *, proof: Callable[[int], bool] = lambda pid: True
) -> bool:
    """Send a signal to exactly this process; False if it is gone. A process that reuses its pid is never signalled.

    Args:
        identity: the process.
        number: the signal.
        proof: takes the pid, and returns whether this process is the one that is meant. An identity that was read from
            a file may be copied or forged.

    Raises:
        PermissionError: it belongs to another user.
    """
    if identity.pid <= 0:
        return False
    try:
        if not hasattr(os, "pidfd_open"):
            if not (is_alive(identity) and proof(identity.pid)):
                return False
            os.kill(identity.pid, number)
            return True
        handle = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OverflowError):
        return False
    try:
        # The handle pins the process. Verified after opening, the pid can no longer be reused.
        if not (is_alive(identity) and proof(identity.pid)):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


@functools.cache
def host_name() -> str:
    """Return this machine's name, as recorded in runs."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """Return an identifier of the current boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import psutil

        return _session_uuid() or str(int(psutil.boot_time()))


def _session_uuid() -> str:
    if platform.system() != "Darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _start_time(pid: int) -> float | None:
    """Return the start time of a process; None if it does not exist or is a zombie."""
    if pid <= 0:
        return None
    return _start_time_from_proc(pid) if _HAS_PROC else _start_time_from_psutil(pid)


def _start_time_from_proc(pid: int) -> float | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name before the last bracket may contain anything, including spaces and brackets.
    fields = stat[stat.rfind(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X", b"x"):
        return None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _start_time_from_psutil(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except (psutil.Error, OverflowError):
        return None


def _is_hidden(pid: int) -> bool:
    """Return whether the process exists but /proc hides it (hidepid), as it may for another user's run."""
    if not _HAS_PROC or pid <= 0 or Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False
