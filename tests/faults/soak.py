"""A night in minutes: as many steps, epochs and pictures as eight hours bring, through the code that meets them all."""

import os
import random
import time
from pathlib import Path

import numpy as np
import psutil

from core.imaging import read_sheet, write_sheet
from core.runs import EpochRecord, MetricsWriter, RunDirectory, State, Status
from tests.faults import tiny
from tests.faults.lab import fault
from tui.live import LiveReader

STEPS = 1_000_000
STEPS_A_LINE = 8
STEPS_AN_EPOCH = 1000
WARM = 0.3
GROWTH = 8 << 20
"""Bytes that memory may grow by after the first third, but for the losses themselves."""


class Gauge:
    """Memory and open files of this process, and how much they have grown."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.memory = self.handles = 0

    def start(self) -> None:
        self.memory, self.handles = self.process.memory_info().rss, self.process.num_fds()

    def check(self, allowed: int) -> None:
        grown = self.process.memory_info().rss - self.memory
        assert grown <= allowed, f"memory has grown by {grown >> 20} MiB"
        assert self.process.num_fds() <= self.handles, "open files were left"


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


@fault("a night's million steps, written and watched", times=1, seconds=1800)
def night(folder: Path, rng: random.Random) -> None:
    """Memory and file handles of writer and dashboard together stay flat."""
    run = RunDirectory.create(folder / "runs", tiny.config(epochs=STEPS // STEPS_AN_EPOCH), group="g")
    run.samples.mkdir()
    reader, gauge = LiveReader(run.path.parent), Gauge()
    picture = np.random.default_rng(0).integers(0, 256, (16, 32, 32), np.uint8)
    losses = [0.1] * STEPS_A_LINE
    with MetricsWriter(run.metrics_file) as metrics:
        for step in range(1, STEPS, STEPS_A_LINE):
            epoch = step // STEPS_AN_EPOCH + 1
            metrics.steps(step, epoch, step * 0.03, losses)
            if (step + STEPS_A_LINE - 1) % STEPS_AN_EPOCH == 0:
                metrics.epoch(_record(epoch, step + STEPS_A_LINE - 1))
                sheet = run.samples / f"epoch-{epoch:04d}.png"
                write_sheet(sheet, picture, columns=8)
                read_sheet(sheet)
                run.write_status(
                    Status(state=State.FINISHED, epoch=epoch, step=step, heartbeat=time.time()), fsync=False
                )
                reader.poll()
                if epoch == int(WARM * STEPS / STEPS_AN_EPOCH):
                    gauge.start()
    last = None
    for _ in range(3):
        last = reader.poll() or last
        time.sleep(1.1)  # an ended run is looked at once a second
    assert last is not None
    assert len(last.runs[0].losses) == STEPS
    assert len(last.runs[0].sheets) == STEPS // STEPS_AN_EPOCH
    # Steps and losses, 16 bytes each, in arrays that double; the old one lives until the new one is filled.
    gauge.check(GROWTH + 4 * 16 * STEPS)


@fault("a worker's 400 epochs with pictures and checkpoints", times=1, seconds=3000)
def worker_soak(folder: Path, rng: random.Random) -> None:
    """A real training in this process: what it holds after a hundred epochs it holds after all."""
    epochs, gauge = 400, Gauge()
    run = tiny.new_run(folder, tiny.config(epochs=epochs))
    real = tiny.worker.draw_epoch

    def measured(run: RunDirectory, trainer: object, tick: object) -> None:
        real(run, trainer, tick)  # type: ignore[arg-type]
        if len(run.sample_sheets()) == epochs // 4:
            gauge.start()

    tiny.worker.draw_epoch = measured  # type: ignore[assignment]
    assert tiny.worker.main([str(run.path), "--threads", "1"]) == 0
    gauge.check(GROWTH)
    assert run.read_status().epoch == epochs
    assert len(os.listdir(run.samples)) == epochs + 1
