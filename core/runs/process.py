"""Which process is behind a run, and whether it still is."""

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
"""Seconds without a heartbeat after which a run on another host is taken for crashed."""
STALL_SECONDS: Final = 300.0
"""Seconds without a heartbeat after which a live process is said to be silent: it may hang."""

_HAS_PROC: Final = Path("/proc/self/stat").exists()
_START_TOLERANCE: Final = 0.5


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, named so that neither a reused pid nor a reboot can be mistaken for it.

    `pid_started` is in seconds: since boot on Linux, where a step of the wall clock then cannot change it,
    and since the epoch elsewhere. It is only ever compared for equality.
    """

    host: str
    pid: int
    pid_started: float
    boot_id: str

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """The process that asks."""
        identity = cls.from_pid(os.getpid())
        assert identity is not None  # the asking process exists
        return identity

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessIdentity | None":
        """The process of this host that has the pid now; None when there is none, or only a zombie."""
        started = _start_time(pid)
        return None if started is None else cls(host_name(), pid, started, boot_id())

    @classmethod
    def from_status(cls, status: Status) -> "ProcessIdentity":
        """The process that a status names."""
        return cls(status.host, status.pid, status.pid_started, status.boot_id)


def is_alive(identity: ProcessIdentity) -> bool | None:
    """Whether the process runs; a zombie does not. None: it is on another host, so nobody here can tell."""
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
    """What a reader should believe: the written state, or CRASHED when the process behind it is gone.

    Args:
        status: as read from `status.json`.
        now: the wall clock, in seconds since the epoch; used only for a run on another host.
    """
    if not status.state.is_live:
        return status.state
    lives = is_alive(ProcessIdentity.from_status(status))
    if lives is None:
        lives = now - status.heartbeat <= HEARTBEAT_TIMEOUT
    return status.state if lives else State.CRASHED


def stall_warning(status: Status, *, now: float) -> str:
    """What to tell a person of a live run that has not shown a sign of life for long; empty if it has.

    The run stays what it is: a suspended process, or one that waits for a slow disk, may go on.

    Args:
        status: of a run whose effective state is live.
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
    """Send a signal to exactly this process; False when it is gone. Never hits a stranger who got its pid.

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
        # The handle pins the process: verified after it was opened, the pid cannot change hands any more.
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
    """This machine's name, as runs record it."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """A name for the time since this machine last started."""
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
    """When the process began; None when it does not exist or is a zombie."""
    if pid <= 0:
        return None
    return _start_time_from_proc(pid) if _HAS_PROC else _start_time_from_psutil(pid)


def _start_time_from_proc(pid: int) -> float | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[
        stat.rfind(b")") + 2 :
    ].split()  # the name before may hold anything, spaces and brackets too
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
    """Whether the process exists but /proc keeps it from us (hidepid), as it may with another user's run."""
    if not _HAS_PROC or pid <= 0 or Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False
