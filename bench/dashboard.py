"""How soon the dashboard is there with many runs on disk, how soon it answers a key, and what it takes when idle.

Beside it runs an empty Textual app, which shows what Python, Textual and the terminal take by themselves.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
import numpy as np

from bench.machine import Neighbours, describe
from bench.options import seconds_option
from bench.report import Row, finish, row, say
from bench.terminal import Terminal
from bench.trials import MINIMUM_ROUNDS, turn_of
from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.errors import UserError
from core.imaging import write_sheet
from core.runs import EpochRecord, MetricsWriter, RunDirectory, State, Status
from core.schedules import SCHEDULE_NAMES

EMPTY, DASHBOARD = "empty app", "dashboard"
FIRST, ALL, KEY, IDLE = "first frame", "newest runs shown", "key to painted frame", "idle"
LIVE, SENT, MEMORY = "five live runs", "sent, five live runs", "memory"
UNITS: Final = {
    FIRST: "ms",
    ALL: "ms",
    KEY: "ms",
    IDLE: "% of a core",
    LIVE: "% of a core",
    SENT: "KB/s",
    MEMORY: "MB",
}
EPOCHS: Final = 16
_KEYS: Final = ("\x1b[B", "\x1b[A") * 4
_IDLE_SECONDS: Final = 3.0
_LIVE_SECONDS: Final = 5.0
ROOT: Final = Path(__file__).resolve().parents[1]
_STEPS_A_LINE: Final = 8
_CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)

EMPTY_APP: Final = """
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
@seconds_option(90)
def command(count: int, steps: int, seconds: float) -> None:
    """The dashboard with runs on disk against an empty Textual app."""
    machine = describe(("textual",))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        say(f"writing {count} runs of {steps} steps")
        make_runs(folder / "runs", count, steps)
        found: dict[str, dict[str, list[float]]] = {EMPTY: {}, DASHBOARD: {}}
        with Neighbours() as others:
            for name in found:
                visit(name, folder)  # reads programs and runs from the disk for the first time
            rounds, lasted = 0, 0.0
            started = datetime.now(UTC)
            while rounds < MINIMUM_ROUNDS or lasted * (rounds + 1) / rounds < seconds:
                for name in turn_of(list(found), rounds):
                    measured = visit(name, folder)
                    if name == DASHBOARD:
                        measured |= watch(folder)
                    for what, values in measured.items():
                        found[name].setdefault(what, []).extend(values)
                rounds += 1
                lasted = (datetime.now(UTC) - started).total_seconds()
                say(f"round {rounds}, {lasted:.0f} of {seconds:.0f} s")
    finish(
        "dashboard",
        rows_of(found),
        machine=machine,
        others=others.share,
        settings={"runs": count, "steps": steps, "terminal": "160x50"},
        notes=[
            "Times begin when the program is started, or the key is sent, and end when the frame has arrived."
        ],
    )


def watch(folder: Path) -> dict[str, list[float]]:
    """Open the dashboard while five runs seem to train beside the others, with their pictures on the wall."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.live", str(folder / "runs")], env=environment, stdout=subprocess.PIPE
    ) as writer:
        try:
            if writer.stdout is None or not writer.stdout.readline():
                raise UserError("the five live runs ended by themselves; see above")
            terminal = opened(DASHBOARD, folder)
            try:
                terminal.seconds_until(*SCHEDULE_NAMES, "▀", "running")
                terminal.settle(1.0)
                before = len(terminal.painted)
                share = terminal.share_of_a_core(_LIVE_SECONDS)
                sent = (len(terminal.painted) - before) / _LIVE_SECONDS
                memory = terminal.memory()
            finally:
                terminal.close()
        finally:
            writer.kill()
    for run in (folder / "runs").glob("live-*"):
        shutil.rmtree(run)
    return {LIVE: [100 * share], SENT: [sent / 1000], MEMORY: [memory / 1e6]}


def opened(name: str, folder: Path) -> Terminal:
    """One of the programs in a terminal, just started."""
    home = str(folder / "nobody")
    environment = {"XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home, "PYTHONPATH": str(ROOT)}
    program = ["-c", EMPTY_APP] if name == EMPTY else ["-m", "tui", "--runs", str(folder / "runs")]
    return Terminal([sys.executable, *program], folder=folder, environment=environment)


def visit(name: str, folder: Path) -> dict[str, list[float]]:
    """Open a program, press keys, leave it alone for a while, and end it; milliseconds and per cent."""
    first = "nothing here yet" if name == EMPTY else "quit"
    terminal = opened(name, folder)
    try:
        found = {FIRST: [1000 * terminal.seconds_until(first)]}
        if name == DASHBOARD:
            found[ALL] = [1000 * terminal.seconds_until(*SCHEDULE_NAMES, "▀")]
        terminal.settle(1.0)
        found[KEY] = [1000 * terminal.seconds_to_answer(key) for key in _KEYS]
        found[IDLE] = [100 * terminal.share_of_a_core(_IDLE_SECONDS)]
        found[MEMORY] = [terminal.memory() / 1e6]
        return found
    finally:
        terminal.close()


def make_runs(root: Path, count: int, steps: int) -> None:
    """Finished runs, five a group, with a loss for each step and a sheet of pictures for each epoch."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (16, 32, 32), dtype=np.uint8)
    for number in range(count):
        schedule = SCHEDULE_NAMES[number % len(SCHEDULE_NAMES)]
        created = _CREATED + timedelta(minutes=number // 5, milliseconds=number % 5)
        config = RunConfig(
            recipe="quick", schedule=ScheduleConfig(name=schedule), train=TrainConfig(epochs=EPOCHS)
        )
        run = RunDirectory.create(
            root, config, group=f"quick-{number // 5:04}", created=created, run_id=f"run-{number:04}"
        )
        losses = 0.02 + np.exp(-np.arange(steps) / 300) + 0.002 * rng.standard_normal(steps)
        write_losses(run, losses.tolist())
        run.samples.mkdir()
        for epoch in range(1, EPOCHS + 1):
            write_sheet(run.samples / f"epoch-{epoch:04d}.png", tiles, columns=8)
        run.write_status(
            Status(
                state=State.FINISHED,
                epoch=EPOCHS,
                epochs=EPOCHS,
                step=steps,
                steps=steps,
                elapsed=0.03 * steps,
                heartbeat=created.timestamp(),
                attempt=1,
                device="cpu",
                threads=1,
            ),
            fsync=False,
        )


def write_losses(run: RunDirectory, losses: list[float]) -> None:
    """As a worker writes them: a line for a few steps, and one for each epoch."""
    with MetricsWriter(run.metrics_file) as metrics:
        edges = np.linspace(0, len(losses), EPOCHS + 1).astype(int).tolist()
        for epoch, (first, last) in enumerate(itertools.pairwise(edges), start=1):
            for start in range(first, last, _STEPS_A_LINE):
                part = losses[start : min(start + _STEPS_A_LINE, last)]
                metrics.steps(start + 1, epoch, 0.03 * start, part)
            part = losses[first:last]
            metrics.epoch(
                EpochRecord(
                    epoch=epoch,
                    step=last,
                    elapsed=0.03 * last,
                    mean=sum(part) / len(part),
                    min=min(part),
                    max=max(part),
                    heldout=sum(part) / len(part),
                    images_per_second=1000.0,
                    learning_rate=1e-3,
                )
            )


def rows_of(found: dict[str, dict[str, list[float]]]) -> list[Row]:
    """A line for each program and what was measured of it."""
    # Half of all keys may be quick, and the others what is felt.
    tails = [
        row(f"{KEY}, 95th of 100: {name}", "ms", [float(np.quantile(found[name][KEY], 0.95))])
        for name in found
    ]
    return tails + [
        row(f"{what}: {name}", UNITS[what], found[name][what])
        for what in UNITS
        for name in found
        if what in found[name]
    ]
