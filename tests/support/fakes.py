"""Runs on disk that look as if they had trained: any state, any progress, losses, pictures.

Everything is drawn from a seed, and ids and times can be fixed, so that snapshots of what shows them are
stable.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config.schema import DataConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.imaging.sheet import write_sheet
from core.runs import EpochRecord, MetricsWriter, ProcessIdentity, RunDirectory, State, Status
from core.runs.process import boot_id, host_name

CREATED = datetime(2026, 11, 24, 10, 15, 2, tzinfo=UTC)
FIVE = ("linear", "sine", "x^1.5", "x^2", "x^10")

LIVE_PROCESS = ProcessIdentity.current()
"""The test itself: what a live run has behind it."""
DEAD_PROCESS = ProcessIdentity(host_name(), 2**22 + 1, 1.0, boot_id())
"""A pid that Linux never gives: what a crashed run had behind it."""


def make_run(
    root: Path,
    *,
    state: State = State.FINISHED,
    schedule: str = "linear",
    dataset: str = "high",
    epochs: int = 10,
    done: int | None = None,
    steps_per_epoch: int = 40,
    nan_from: int | None = None,
    seed: int = 0,
    group: str = "quick-20261124-101502",
    created: datetime = CREATED,
    run_id: str | None = None,
    now: float | None = None,
    process: ProcessIdentity | None = None,
    count: int = 4,
    size: int = 32,
    colour: bool = False,
    images: bool = True,
    config: RunConfig | None = None,
    **status: object,
) -> RunDirectory:
    """One run.

    Args:
        root: the runs folder.
        state: CRASHED is written as running with a dead process behind it, as a kill -9 leaves it.
        done: whole epochs trained; all of them when finished, none when queued, and else half.
        nan_from: the step from which on all losses are NaN.
        run_id: the folder's name; made from `created`, the data and the schedule unless given.
        now: the last heartbeat; `created` and the time trained unless given.
        process: what is behind it; this test for a live state, a dead one for CRASHED, unless given.
        count: pictures on a sheet.
        size: pixels a side.
        config: instead of what the other arguments would make.
        status: fields of `Status` to set to something else.
    """
    if done is None:
        done = {State.FINISHED: epochs, State.QUEUED: 0, State.STARTING: 0}.get(state, epochs // 2)
    config = config or RunConfig(
        recipe="quick",
        data=DataConfig(dataset=dataset),
        schedule=ScheduleConfig(name=schedule, timesteps=1000),
        train=TrainConfig(epochs=epochs, seed=seed),
        sample=SampleConfig(count=count),
    )
    stamp = created.strftime("%Y%m%d-%H%M%S")
    run_id = run_id or f"{stamp}-{dataset}-{schedule.replace('^', '')}-s{seed}-{seed:04x}"
    run = RunDirectory.create(
        root, config, group=group, created=created, run_id=run_id, provenance={"host": host_name()}
    )
    losses = fake_losses(done * steps_per_epoch, schedule=schedule, seed=seed)
    losses[(nan_from or len(losses) + 1) - 1 :] = np.nan
    write_metrics(run, losses, steps_per_epoch=steps_per_epoch)
    if images:
        write_images(run, done, epochs=epochs, count=count, size=size, colour=colour, seed=seed)
    if state is not State.QUEUED:
        run.log.write_text(f"--- {created.isoformat()} worker on cpu, 1 thread\ntraining {schedule}\n")
    if state is not State.QUEUED and done:
        run.checkpoint.parent.mkdir()
        run.checkpoint.write_bytes(b"")
    if process is None and state is State.CRASHED:
        process = DEAD_PROCESS
    if process is None and state.is_live:
        process = LIVE_PROCESS
    elapsed = done * steps_per_epoch * 0.1
    written = State.RUNNING if state is State.CRASHED else state
    values = {
        "state": written,
        "epoch": done,
        "epochs": epochs,
        "step": done * steps_per_epoch,
        "steps": epochs * steps_per_epoch,
        "images_per_second": 320.0 if state is State.RUNNING else 0.0,
        "elapsed": elapsed,
        "heartbeat": created.timestamp() + elapsed if now is None else now,
        "attempt": int(state is not State.QUEUED),
        "device": "" if state is State.QUEUED else "cpu",
        "threads": int(state is not State.QUEUED),
        "message": "starting" if state is State.STARTING else "",
        "error": "loss became NaN" if state is State.FAILED else "",
    }
    if process is not None:
        values |= msgspec.to_builtins(process)
    run.write_status(Status(**{**values, **status}), fsync=False)
    return run


def make_group(
    root: Path,
    states: Sequence[State] = (State.RUNNING, State.RUNNING, State.QUEUED, State.STOPPED, State.FAILED),
    *,
    schedules: Sequence[str] = FIVE,
    **each: object,
) -> list[RunDirectory]:
    """One run a schedule, queued a millisecond apart; `each` goes to `make_run`."""
    return [
        make_run(
            root,
            state=state,
            schedule=schedule,
            created=CREATED + timedelta(milliseconds=place),
            seed=0,
            **each,  # type: ignore[arg-type]  # keywords of make_run, whatever they are
        )
        for place, (state, schedule) in enumerate(zip(states, schedules, strict=True))
    ]


def fake_losses(steps: int, *, schedule: str = "linear", seed: int = 0) -> NDArray[np.float64]:
    """Losses that fall as those of a small network do, float64 [steps], noisy, a level for each schedule."""
    rng = np.random.default_rng([seed, *schedule.encode()])
    level = 0.02 + 0.004 * (FIVE.index(schedule) if schedule in FIVE else 5)
    x = np.arange(1, steps + 1)
    return (level + 0.9 * np.exp(-x / 30) + 0.1 / np.sqrt(x)) * rng.lognormal(0.0, 0.15, steps)


def write_metrics(run: RunDirectory, losses: NDArray[np.float64], *, steps_per_epoch: int) -> None:
    """Append losses, and the end of each whole epoch, as a worker does; a tenth of a second a step."""
    with MetricsWriter(run.metrics_file) as writer:
        for first in range(0, len(losses), steps_per_epoch):
            batch = losses[first : first + steps_per_epoch]
            epoch, last = first // steps_per_epoch + 1, first + len(batch)
            writer.append_steps(first + 1, epoch, last * 0.1, batch.tolist())
            if len(batch) == steps_per_epoch:
                writer.append_epoch(
                    EpochRecord(
                        epoch=epoch,
                        step=last,
                        elapsed=last * 0.1,
                        mean=float(batch.mean()),
                        min=float(batch.min()),
                        max=float(batch.max()),
                        heldout=float(batch.mean() * 1.05),
                        images_per_second=320.0,
                        learning_rate=1e-3,
                    )
                )


def write_images(
    run: RunDirectory, done: int, *, epochs: int, count: int, size: int, colour: bool, seed: int
) -> None:
    """A sheet for each epoch and a strip for the last, from noise to triangles as the epochs go by."""
    run.samples.mkdir()
    run.reverse.mkdir()
    meta = {"schedule": run.read().config.schedule.name}
    for epoch in range(1, done + 1):
        tiles = fake_images(count, size=size, clarity=epoch / epochs, colour=colour, seed=seed)
        notes = {**meta, "epoch": str(epoch)}
        write_sheet(run.samples / f"epoch-{epoch:04d}.png", tiles, columns=min(count, 8), meta=notes)
    if done:
        states = [
            fake_images(2, size=size, clarity=at, colour=colour, seed=seed) for at in np.linspace(0, 1, 5)
        ]
        strip = np.stack(states, axis=1).reshape(10, *states[0].shape[1:])
        write_sheet(run.reverse / f"epoch-{done:04d}.png", strip, columns=5, meta=meta)


def fake_images(
    count: int, *, size: int = 32, clarity: float = 1.0, colour: bool = False, seed: int = 0
) -> NDArray[np.uint8]:
    """Dark triangles on white under noise: uint8 [count, size, size], and a trailing 3 for colour."""
    rng = np.random.default_rng([seed, 7])
    y, x = np.mgrid[0:size, 0:size] / size
    tiles = np.empty((count, size, size))
    for tile in tiles:
        a, b, c = rng.uniform(0.05, 0.95, (3, 2))
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.all(np.array(sides) >= 0, axis=0) | np.all(np.array(sides) <= 0, axis=0)
        tile[:] = np.where(inside, 30.0, 255.0)
    noise = rng.normal(128.0, 90.0, tiles.shape)
    grey = np.clip(clarity * tiles + (1 - clarity) * noise, 0, 255).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey], axis=-1) if colour else grey


def tear(path: Path, bytes_off: int = 7) -> None:
    """Cut a file short, as a kill in the middle of an append leaves it."""
    os.truncate(path, path.stat().st_size - bytes_off)
