"""Kinds of faults, and trials of them in processes of their own: a trial that dies or hangs is one that is lost."""

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
"""Breaks something in an empty folder, and raises unless all is well afterwards."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault: how often it is tried, in full and in the short form, and how long a trial may take."""

    kind: str
    trial: Trial
    times: int
    short: int
    seconds: float
    prepare: Callable[[], object]
    """Done once before the trials, in the process that they are forked from."""


FAULTS: list[Fault] = []


class NotPossibleHereError(Exception):
    """This machine does not let us cause the fault, such as a mount; its trials do not count."""


def fault(
    kind: str,
    *,
    times: int,
    short: int = 0,
    seconds: float = 120.0,
    prepare: Callable[[], object] = lambda: None,
) -> Callable[[Trial], Trial]:
    """Register a trial under the kind of fault that it causes."""

    def register(trial: Trial) -> Trial:
        FAULTS.append(Fault(kind, trial, times, short, seconds, prepare))
        return trial

    return register


@dataclass
class Totals:
    """What came of the trials of one kind: `words` of the last that was lost, `figures` of the last that was not."""

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
    """Try a fault a number of times; each trial has a folder, a process and a generator of its own."""
    totals = Totals(fault.kind)
    fault.prepare()
    for number in range(times):
        code, words = _run_trial(fault, random.Random(f"{seed} {fault.kind} {number}"))
        if code == _SKIPPED:
            totals.skipped = words
            break
        totals.tried += 1
        if code == 0:
            totals.survived += 1
            totals.figures = words
        else:
            totals.message = f"trial {number}: {words}"
    return totals


_SKIPPED = 77


def _run_trial(fault: Fault, rng: random.Random) -> tuple[int, str]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)  # some trials go on as another user
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
    os.setpgid(0, 0)  # so that all that it starts can be ended at once
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
    """The exit code of a child (negative: the signal that killed it); None when it is still there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def kill_group(pid: int) -> None:
    """Kill whatever is left of a trial."""
    try:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


_FIGURES = "figures: "


def report_figures(figures: str) -> None:
    """Called in a trial: numbers to print beside the table."""
    print(f"{_FIGURES}{figures}", flush=True)


def _figures(output: Path) -> str:
    lines = [line for line in _tail(output).splitlines() if line.startswith(_FIGURES)]
    return lines[-1].removeprefix(_FIGURES) if lines else ""


def _tail(path: Path, length: int = 3000) -> str:
    try:
        return path.read_text(errors="replace")[-length:].strip()
    except OSError:
        return ""
