"""Finished runs for the dashboard, written as workers leave them but without training."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.imaging import write_sheet
from core.runs import EpochRecord, MetricsWriter, RunDirectory, State, Status
from core.schedules import SCHEDULE_NAMES

EPOCHS: Final = 16
_STEPS_PER_LINE: Final = 8
_CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)


def write_finished_runs(root: Path, count: int, steps: int) -> None:
    """Write finished runs, five per group, with a loss for each step and a sheet of samples for each epoch."""
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
    """Write losses as a worker does: a line for every few steps, and one for each epoch."""
    with MetricsWriter(run.metrics_file) as metrics:
        edges = np.linspace(0, len(losses), EPOCHS + 1).astype(int).tolist()
        for epoch, (first, last) in enumerate(itertools.pairwise(edges), start=1):
            for start in range(first, last, _STEPS_PER_LINE):
                part = losses[start : min(start + _STEPS_PER_LINE, last)]
                metrics.append_steps(start + 1, epoch, 0.03 * start, part)
            part = losses[first:last]
            metrics.append_epoch(
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
