"""Soak tests: the steps, epochs and images of eight hours, written and read in minutes."""

import asyncio
import gc
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from core.imaging import read_sheet, write_sheet
from core.runs import EpochRecord, MetricsWriter, ProcessIdentity, RunDirectory, State, Status
from tests.faults import tiny
from tests.faults.lab import fault, report_figures
from tui.app.dashboard import Dashboard
from tui.settings.schema import Settings
from tui.state.reader import RunsReader
from tui.state.run_controller import RunController

STEPS = 1_000_000
STEPS_PER_LINE = 8
STEPS_PER_EPOCH = 1000
WARM_UP_SHARE = 0.3
MAX_GROWTH = 8 << 20
"""Maximum growth of memory in bytes after the first third, without the losses themselves."""
LOSS_ARRAYS = 3 * 16 * STEPS // 2
"""Steps and losses, 16 bytes per step together, and an array of half that length that a widget may still show."""


class ResourceGauge:
    """Growth of memory and open files of this process."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.memory = self.handles = 0

    def start(self) -> None:
        self.memory, self.handles = self.process.memory_info().rss, self.process.num_fds()

    def check(self, allowed: int) -> None:
        memory, handles = self.process.memory_info().rss, self.process.num_fds()
        report_figures(
            f"memory {self.memory >> 20} MiB after the first third, {memory >> 20} MiB at the end; "
            f"open files {self.handles}, then {handles}"
        )
        assert memory - self.memory <= allowed, f"memory has grown by {(memory - self.memory) >> 20} MiB"
        assert handles <= self.handles, "open files were left"


def _record(epoch: int, step: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=step,
        elapsed=step * 0.03,
        mean=0.1,
        min=0.05,
        max=0.2,
        heldout=0.1,
        images_per_second=300.0,
        learning_rate=1e-3,
    )


class GrowingRun:
    """A run that grows by an epoch of steps, a metrics record and a sheet per call."""

    def __init__(self, root: Path) -> None:
        self.run = RunDirectory.create(root, tiny.config(epochs=STEPS // STEPS_PER_EPOCH), group="g")
        self.run.samples.mkdir()
        self.metrics = MetricsWriter(self.run.metrics_file)
        self.rng = np.random.default_rng(0)

    def epoch(self, epoch: int, state: State = State.RUNNING) -> None:
        """Write all files that a worker writes in an epoch."""
        first, elapsed = (epoch - 1) * STEPS_PER_EPOCH + 1, epoch * STEPS_PER_EPOCH * 0.03
        losses = (0.1 + 0.01 * self.rng.standard_normal(STEPS_PER_EPOCH)).tolist()
        for at in range(0, STEPS_PER_EPOCH, STEPS_PER_LINE):
            self.metrics.append_steps(first + at, epoch, elapsed, losses[at : at + STEPS_PER_LINE])
        step = epoch * STEPS_PER_EPOCH
        self.metrics.append_epoch(_record(epoch, step))
        image = self.rng.integers(0, 256, (16, 32, 32), np.uint8)
        write_sheet(self.run.samples / f"epoch-{epoch:04d}.png", image, columns=8)
        with self.run.log.open("a", encoding="utf-8") as log:
            log.write(f"epoch {epoch}\n" * 20)
        identity = ProcessIdentity.current()
        self.run.write_status(
            Status(
                state=state,
                epoch=epoch,
                epochs=STEPS // STEPS_PER_EPOCH,
                step=step,
                steps=STEPS,
                elapsed=elapsed,
                heartbeat=time.time(),
                host=identity.host,
                pid=identity.pid,
                pid_started=identity.pid_started,
                boot_id=identity.boot_id,
            ),
            fsync=False,
        )


@fault("a million steps, written and read", times=1, seconds=1800)
def growing_run(folder: Path, rng: random.Random) -> None:
    """Memory and file handles of writer and reader together do not grow."""
    run, gauge, epochs = GrowingRun(folder / "runs"), ResourceGauge(), STEPS // STEPS_PER_EPOCH
    reader, last = RunsReader(folder / "runs"), None
    for epoch in range(1, epochs + 1):
        run.epoch(epoch)
        read_sheet(run.run.samples / f"epoch-{epoch:04d}.png")
        last = reader.poll() or last
        if epoch == int(WARM_UP_SHARE * epochs):
            gauge.start()
    for _ in range(3):
        last = reader.poll() or last
        time.sleep(1.1)  # a folder that just changed is listed again
    assert last is not None
    assert len(last.runs[0].losses) == STEPS
    assert len(last.runs[0].sheets) == epochs
    gauge.check(MAX_GROWTH + LOSS_ARRAYS)


EPOCHS_PER_KEY = 5
"""Epochs written between two key presses."""
KEYS = (
    *("c", "escape", "l", "escape", "s", "escape", "d", "escape"),
    *("left_square_bracket", "end", "question_mark", "escape"),
)
"""Keys pressed over and over: through the screens and back."""


@fault("a million steps in the dashboard, screens opened and closed", times=1, seconds=3000)
def growing_run_in_dashboard(folder: Path, rng: random.Random) -> None:
    """A drawing dashboard does not grow: closed screens are freed."""
    asyncio.run(_run_dashboard(folder / "runs"))


async def _run_dashboard(root: Path) -> None:
    run, gauge, epochs = GrowingRun(root), ResourceGauge(), STEPS // STEPS_PER_EPOCH
    run.epoch(1)
    app = Dashboard(RunController(root), settings=Settings(refresh=0.005))
    async with app.run_test(size=(160, 50)) as pilot:

        async def until(condition: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 60
            while not condition():
                assert time.monotonic() < deadline, "the dashboard does not show it"
                await pilot.pause(0.002)

        def seen(epoch: int) -> bool:
            return app.snapshot is not None and len(app.snapshot.runs[0].sheets) == epoch

        for epoch in range(2, epochs + 1):
            run.epoch(epoch)
            if epoch % EPOCHS_PER_KEY == 0:
                await until(lambda epoch=epoch: seen(epoch))  # type: ignore[misc]
                await pilot.press(KEYS[epoch // EPOCHS_PER_KEY % len(KEYS)])
            if epoch == int(WARM_UP_SHARE * epochs):
                gc.collect()
                gauge.start()
        await until(lambda: app.snapshot is not None and len(app.snapshot.runs[0].losses) == STEPS)
        gc.collect()
        gauge.check(MAX_GROWTH + LOSS_ARRAYS)


@fault("a worker's 400 epochs with images and checkpoints", times=1, seconds=3000)
def long_training(folder: Path, rng: random.Random) -> None:
    """A real training in this process holds no more memory after all epochs than after a hundred."""
    epochs, gauge = 400, ResourceGauge()
    run = tiny.new_run(folder, tiny.config(epochs=epochs))
    real = tiny.worker.sample_sheets.write_epoch_sheets

    def measured(run: RunDirectory, trainer: object, tick: object) -> None:
        real(run, trainer, tick)  # type: ignore[arg-type]
        if len(run.sample_sheets()) == epochs // 4:
            gauge.start()

    tiny.worker.sample_sheets.write_epoch_sheets = measured  # type: ignore[assignment]
    assert tiny.worker.main([str(run.path), "--threads", "1"]) == 0
    gauge.check(MAX_GROWTH)
    assert run.read_status().epoch == epochs
    assert len(os.listdir(run.samples)) == epochs + 1
