"""Identities of processes, and detection of runs whose process has crashed or stalled."""

import functools
import os
import platform
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from core.runs.status import State, Status

HEARTBEAT_TIMEOUT: Final = 60.0
"""Seconds without a heartbeat after which a run on another host is considered crashed."""
STALL_SECONDS: Final = 300.0
"""Seconds without a heartbeat after which a live process is reported as possibly hanging."""

_HAS_PROC: Final = Path("/proc/self/stat").exists()
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


def effective_state(status: Status, *, now: float) -> State:
    """Return the written state, or CRASHED if the process of a live state is gone.

    Args:
        status: as read from `status.json`.
        now: the wall clock, in seconds since the epoch; used only for a run on another host.
    """
    if not status.state.is_live:
        return status.state
    is_running = is_alive(ProcessIdentity.from_status(status))
    if is_running is None:
        is_running = now - status.heartbeat <= HEARTBEAT_TIMEOUT
    return status.state if is_running else State.CRASHED


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


def send_signal(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False if it is gone. A process that reuses its pid is never signalled.

    Raises:
        PermissionError: it belongs to another user.
    """
    if identity.pid <= 0:
        return False
    try:
        if not hasattr(os, "pidfd_open"):
            if not is_alive(identity):
                return False
            os.kill(identity.pid, number)
            return True
        handle = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OverflowError):
        return False
    try:
        # The handle pins the process. Verified after opening, the pid can no longer be reused.
        if not is_alive(identity):
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
