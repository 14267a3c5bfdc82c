"""Measurements of the dashboard with five live runs: keys, processor, bytes, memory, and slowdown of a training."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from bench.baselines.worker_process import WorkerProcess
from bench.tui.pty_session import PtySession
from core.errors import UserError
from core.schedules import SCHEDULE_NAMES

ROOT: Final = Path(__file__).resolve().parents[2]
CPU_SECONDS: Final = 5.0
TRAINING_SECONDS: Final = 3.0
PAIRS: Final = 4
"""Comparisons per measurement, because the speed of a training varies by more than the dashboard costs."""
QUIET_SECONDS: Final = 0.15
"""Pause between two frames of live runs before a key is pressed, so that its frame is not confused with theirs."""
_KEYS: Final = ("\x1b[B", "\x1b[A") * 6
_ESCAPE: Final = "\x1b"


def measure_with_live_runs(
    opened: Callable[[], PtySession], runs: Path, trainings: Mapping[str, WorkerProcess]
) -> dict[str, list[float]]:
    """Measure a dashboard while five more runs seem to train.

    Args:
        opened: starts the dashboard.
        runs: the folder of runs, to which the five are added temporarily.
        trainings: real trainings whose slowdown is measured, by the name of the measurement.
    """
    with _live_runs(runs):
        terminal = opened()
        try:
            terminal.seconds_until(*SCHEDULE_NAMES, "▀", "running")
            terminal.settle(1.0)
            found = _measure_dashboard(terminal)
            for name, training in trainings.items():
                found[name] = [
                    _slowdown(training, terminal, halted_first=pair % 2 == 1) for pair in range(PAIRS)
                ]
        finally:
            terminal.close()
    return found


def _measure_dashboard(terminal: PtySession) -> dict[str, list[float]]:
    found = {"key": [1000 * terminal.key_latency(key, quiet=QUIET_SECONDS) for key in _KEYS]}
    found["board"], found["board sent"] = _cpu_and_bytes(terminal)
    terminal.press("c")
    terminal.settle(1.0)
    found["compare"], found["compare sent"] = _cpu_and_bytes(terminal)
    terminal.press(_ESCAPE)
    terminal.settle(1.0)
    terminal.press("d")
    terminal.settle(1.0)
    terminal.press(" ")
    found["noise sent"] = _cpu_and_bytes(terminal)[1]
    terminal.press(_ESCAPE)
    terminal.settle(1.0)
    found["memory"] = [terminal.memory() / 1e6]
    return found


def _cpu_and_bytes(terminal: PtySession) -> tuple[list[float], list[float]]:
    """Per cent of a core, and KB per second."""
    before = len(terminal.output)
    share = terminal.cpu_share(CPU_SECONDS, settle=False)
    return [100 * share], [(len(terminal.output) - before) / CPU_SECONDS / 1000]


def _slowdown(training: WorkerProcess, terminal: PtySession, *, halted_first: bool) -> float:
    """Slowdown of a training in per cent by a running dashboard, against a suspended one."""
    images = {}
    for halted in (halted_first, not halted_first):
        with terminal.suspended() if halted else nullcontext():
            training.start_trial(TRAINING_SECONDS)
            if not halted:
                terminal.cpu_share(TRAINING_SECONDS, settle=False)  # reads its frames meanwhile
            images[halted] = training.finish_trial()
    return 100 * (1 - images[False] / images[True])


@contextmanager
def _live_runs(runs: Path) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.tui.fake_live_runs", str(runs)], env=environment, stdout=subprocess.PIPE
    ) as writer:
        try:
            if writer.stdout is None or not writer.stdout.readline():
                raise UserError("the five live runs ended by themselves; see above")
            yield
        finally:
            writer.kill()
            writer.wait()
            for run in runs.glob("live-*"):
                shutil.rmtree(run)
