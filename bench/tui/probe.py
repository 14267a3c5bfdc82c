"""The dashboard while five runs seem to train: keys, processor, bytes, memory, and what it takes from a training."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from bench.baselines.worker_process import Child
from bench.tui.pty_session import Terminal
from core.errors import UserError
from core.schedules import SCHEDULE_NAMES

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 5.0
TRAINED_SECONDS: Final = 3.0
PAIRS: Final = 4
"""Comparisons a visit: a training's speed changes by more than the dashboard takes."""
QUIET: Final = 0.15
"""Between two frames of live runs, so that a key's frame is not taken for one of theirs."""
_KEYS: Final = ("\x1b[B", "\x1b[A") * 6
_ESCAPE: Final = "\x1b"


def watch(
    opened: Callable[[], Terminal], runs: Path, trainings: Mapping[str, Child]
) -> dict[str, list[float]]:
    """Measure a dashboard while five runs seem to train beside those that are there.

    Args:
        opened: starts the dashboard.
        runs: the folder of runs, to which the five are added for the time.
        trainings: real ones, which are slowed down, by what that is called.
    """
    with _live(runs):
        terminal = opened()
        try:
            terminal.seconds_until(*SCHEDULE_NAMES, "▀", "running")
            terminal.settle(1.0)
            found = _measured(terminal)
            for name, training in trainings.items():
                found[name] = [
                    _slowed(training, terminal, halted_first=pair % 2 == 1) for pair in range(PAIRS)
                ]
        finally:
            terminal.close()
    return found


def _measured(terminal: Terminal) -> dict[str, list[float]]:
    found = {"key": [1000 * terminal.seconds_to_answer(key, quiet=QUIET) for key in _KEYS]}
    found["board"], found["board sent"] = _taken(terminal)
    terminal.press("c")
    terminal.settle(1.0)
    found["compare"], found["compare sent"] = _taken(terminal)
    terminal.press(_ESCAPE)
    terminal.settle(1.0)
    terminal.press("d")
    terminal.settle(1.0)
    terminal.press(" ")
    found["noise sent"] = _taken(terminal)[1]
    terminal.press(_ESCAPE)
    terminal.settle(1.0)
    found["memory"] = [terminal.memory() / 1e6]
    return found


def _taken(terminal: Terminal) -> tuple[list[float], list[float]]:
    """Per cent of a core, and KB a second."""
    before = len(terminal.painted)
    share = terminal.share_of_a_core(SECONDS, settle=False)
    return [100 * share], [(len(terminal.painted) - before) / SECONDS / 1000]


def _slowed(training: Child, terminal: Terminal, *, halted_first: bool) -> float:
    """By how many per cent a dashboard that works slows a training down, against one that stands still."""
    images = {}
    for halted in (halted_first, not halted_first):
        with terminal.halted() if halted else nullcontext():
            training.go(TRAINED_SECONDS)
            if not halted:
                terminal.share_of_a_core(TRAINED_SECONDS, settle=False)  # its frames are read
            images[halted] = training.done()
    return 100 * (1 - images[False] / images[True])


@contextmanager
def _live(runs: Path) -> Iterator[None]:
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
