"""Registry of faults, and their trials in subprocesses: a trial that dies or hangs is lost."""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Trial = Callable[[Path, random.Random], None]
"""Breaks a run in an empty folder, and raises unless the run recovers."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault: its number of trials, in full and in short, and the time limit of a trial."""

    kind: str
    trial: Trial
    times: int
    short: int
    seconds: float
    prepare: Callable[[], object]
    """Called once before the trials, in the process from which they fork."""


FAULTS: list[Fault] = []


class NotPossibleHereError(Exception):
    """Raised if this machine does not permit the fault, for example a mount; its trials do not count."""


def fault(
    kind: str,
    *,
    times: int,
    short: int = 0,
    seconds: float = 120.0,
    prepare: Callable[[], object] = lambda: None,
) -> Callable[[Trial], Trial]:
    """Register a trial under its kind of fault."""

    def register(trial: Trial) -> Trial:
        FAULTS.append(Fault(kind, trial, times, short, seconds, prepare))
        return trial

    return register


@dataclass
class Totals:
    """Results of the trials of one kind: `message` of the last lost trial, `figures` of the last survived one."""

    kind: str
    tried: int = 0
    survived: int = 0
    skipped: str = ""
    message: str = ""
    figures: str = ""

    @property
    def lost(self) -> int:
        return self.tried - self.survived


def run_trials(fault: Fault, *, times: int, seed: int) -> Totals:
    """Run trials of a fault; each has a folder, a process and a random generator of its own."""
    totals = Totals(fault.kind)
    fault.prepare()
    for number in range(times):
        code, text = _run_trial(fault, random.Random(f"{seed} {fault.kind} {number}"))
        if code == _SKIPPED:
            totals.skipped = text
            break
        totals.tried += 1
        if code == 0:
            totals.survived += 1
            totals.figures = text
        else:
            totals.message = f"trial {number}: {text}"
    return totals


_SKIPPED = 77


def _run_trial(fault: Fault, rng: random.Random) -> tuple[int, str]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)  # some trials continue as another user
    output = folder / "output"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os._exit(_trial_process(fault, folder, output, rng))
    try:
        code = wait_for_exit(pid, fault.seconds)
        if code is None:
            return 1, f"hung for {fault.seconds:.0f} s\n{_tail(output)}"
        return code, _tail(output) if code else _figures(output)
    finally:
        kill_group(pid)
        shutil.rmtree(folder, ignore_errors=True)


def _trial_process(fault: Fault, folder: Path, output: Path, rng: random.Random) -> int:
    os.setpgid(0, 0)  # so that its subprocesses can be ended together
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    try:
        (folder / "work").mkdir()
        fault.trial(folder / "work", rng)
    except NotPossibleHereError as error:
        print(error, flush=True)
        return _SKIPPED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def wait_for_exit(pid: int, seconds: float) -> int | None:
    """The exit code of a child (negative: the signal that killed it); None if it has not ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def kill_group(pid: int) -> None:
    """Kill the remaining processes of a trial."""
    try:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


_FIGURES = "figures: "


def report_figures(figures: str) -> None:
    """Report numbers of a trial, to be printed below its row of the table."""
    print(f"{_FIGURES}{figures}", flush=True)


def _figures(output: Path) -> str:
    lines = [line for line in _tail(output).splitlines() if line.startswith(_FIGURES)]
    return lines[-1].removeprefix(_FIGURES) if lines else ""


def _tail(path: Path, length: int = 3000) -> str:
    try:
        return path.read_text(errors="replace")[-length:].strip()
    except OSError:
        return ""
