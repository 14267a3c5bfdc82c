"""Latency and cost of the dashboard: first frame, key presses, processor, bytes and memory, each beside its target.

An empty Textual app is measured too, because it shows the share of Python, Textual and the terminal.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from bench.baselines.worker_process import WorkerProcess, WorkerSettings, start_workers
from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import MIN_ROUNDS, turn_order
from bench.harness.options import seconds_option
from bench.harness.report import log_progress, report_result
from bench.tui.chart_redraw import measure_redraws
from bench.tui.fake_finished_runs import EPOCHS, write_finished_runs
from bench.tui.probe import ROOT, measure_with_live_runs
from bench.tui.pty_session import PtySession
from bench.tui.targets import DASHBOARD, EMPTY, Measured, result_rows
from core.errors import UserError
from core.schedules import SCHEDULE_NAMES

_KEYS: Final = ("\x1b[B", "\x1b[A") * 4
_IDLE_SECONDS: Final = 3.0

EMPTY_APP_CODE: Final = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    BINDINGS = [("down", "count", "Count"), ("up", "count", "Count")]
    presses = 0
    def compose(self):
        yield Static("nothing here yet")
    def action_count(self):
        self.presses += 1
        self.query_one(Static).update(f"{self.presses} presses")

Empty().run()
"""


@click.command("dashboard")
@click.option(
    "--count", type=click.IntRange(5), default=100, show_default=True, metavar="N", help="Runs on disk."
)
@click.option("--steps", type=click.IntRange(EPOCHS), default=10_000, show_default=True, metavar="N")
@seconds_option(150)
def command(count: int, steps: int, seconds: float) -> None:
    """The dashboard with runs on disk against an empty Textual app, and against its targets."""
    machine = describe_machine(("textual", "torch"))
    cores = os.cpu_count() or 1
    alone = WorkerSettings(network="lean", batch=64, size=32, count=512, threads=cores, device="cpu")
    settings = {"crowded": alone}
    if cores > 1:
        settings["slower"] = msgspec.structs.replace(alone, threads=cores - 1)
    with tempfile.TemporaryDirectory() as scratch, OtherLoad() as others:
        folder = Path(scratch)
        log_progress(f"writing {count} runs of {steps} steps")
        write_finished_runs(folder / "runs", count, steps)
        found: Measured = {EMPTY: {}, DASHBOARD: {}}
        _extend_all(found[DASHBOARD], {"redraw": measure_redraws()})
        log_progress("an hour of five runs, in short")
        _extend_all(found[DASHBOARD], memory_growth(folder / "hour"))
        for name in found:
            measure_visit(name, folder)  # reads programs and runs from the disk for the first time
        with start_workers(list(settings.values())) as begun:
            trainings = dict(zip(settings, begun, strict=True))
            for training in begun:
                training.wait_until_ready()
            rounds, lasted, started = 0, 0.0, datetime.now(UTC)
            while rounds < MIN_ROUNDS or lasted * (rounds + 1) / rounds < seconds:
                measure_round(found, folder, trainings, rounds)
                rounds += 1
                lasted = (datetime.now(UTC) - started).total_seconds()
                log_progress(f"round {rounds}, {lasted:.0f} of {seconds:.0f} s")
    report_result(
        "dashboard",
        result_rows(found),
        machine=machine,
        others=others.share,
        settings={"runs": count, "steps": steps, "terminal": "160x50", "cores": cores},
        notes=["Times start with the program, or when a key is sent, and end when the frame has arrived."],
    )


def measure_round(found: Measured, folder: Path, trainings: Mapping[str, WorkerProcess], number: int) -> None:
    """Measure both programs, and the dashboard again with five live runs; measurements are added to `found`."""
    for name in turn_order(list(found), number):
        _extend_all(found[name], measure_visit(name, folder))
    _extend_all(
        found[DASHBOARD],
        measure_with_live_runs(lambda: open_program(DASHBOARD, folder), folder / "runs", trainings),
    )


def memory_growth(folder: Path) -> dict[str, list[float]]:
    """MB by which a dashboard grows during an hour of five runs, which is simulated in less than a minute.

    Raises:
        UserError: the process ended by itself.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.tui.memory_growth", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise UserError("the hour before the dashboard ended by itself; see above")
    return {"growth": [float(done.stdout)]}


def open_program(name: str, folder: Path) -> PtySession:
    """Start a program in a terminal. Its bytecode is cached since the first start, as if it were installed."""
    home = str(folder / "nobody")
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment = {"XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home, "PYTHONPATH": str(ROOT), **compiled}
    program = ["-c", EMPTY_APP_CODE] if name == EMPTY else ["-m", "tui", "--runs", str(folder / "runs")]
    return PtySession([sys.executable, *program], folder=folder, environment=environment)


def measure_visit(name: str, folder: Path) -> dict[str, list[float]]:
    """Open a program, press keys, leave it idle, and end it. Return milliseconds and per cent of a core."""
    first = "nothing here yet" if name == EMPTY else "quit"
    terminal = open_program(name, folder)
    try:
        found = {"first": [1000 * terminal.seconds_until(first)]}
        if name == DASHBOARD:
            found["all"] = [1000 * terminal.seconds_until(*SCHEDULE_NAMES, "▀")]
        terminal.settle(1.0)
        if name == EMPTY:  # the dashboard's keys are measured while five runs train
            found["key"] = [1000 * terminal.key_latency(key) for key in _KEYS]
        found["idle"] = [100 * terminal.cpu_share(_IDLE_SECONDS)]
        return found
    finally:
        terminal.close()


def _extend_all(found: dict[str, list[float]], measured: Mapping[str, Sequence[float]]) -> None:
    for what, values in measured.items():
        found.setdefault(what, []).extend(values)
