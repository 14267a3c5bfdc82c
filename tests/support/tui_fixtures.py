"""Fake runs for the dashboard's tests: run directories with made-up numbers and drawn triangles."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from core.config import DataConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.imaging.sheet import write_sheet
from core.runs import METRICS, Evaluation, add_evaluation
from core.runs.directory import RunDirectory
from core.runs.metrics import EpochRecord, MetricsWriter
from core.runs.process import ProcessIdentity
from core.runs.status import State, Status
from core.runs.trajectory import TrajectorySpec, state_timesteps
from core.schedules import SCHEDULE_NAMES
from core.statistics.estimate import Estimate

START = datetime(2026, 11, 24, 10, 15, 2, tzinfo=UTC)
NOW = START.timestamp() + 192.0
THREE = ("linear", "sine", "x^10")
STEPS = 40
"""Steps an epoch."""


def triangles(count: int, size: int, seed: int) -> NDArray[np.float64]:
    """White triangles on black, smooth edges, in [0, 1]: [count, size, size]."""
    rng = np.random.default_rng(seed)
    images = []
    while len(images) < count:
        points = rng.uniform(0, size * 8, (3, 2))
        (ax, ay), (bx, by), (cx, cy) = points
        if abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) < (size * 8) ** 2 * 0.2:
            continue
        image = Image.new("L", (size * 8, size * 8))
        ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=255)
        images.append(np.asarray(image.resize((size, size), Image.Resampling.BOX)) / 255)
    return np.stack(images)


def sheet(
    path: Path, share: float, *, seed: int, count: int = 16, size: int = 32, clean: bool = False
) -> None:
    """Write a sheet that is `share` triangles and the rest noise; `clean` is black and white alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")  # readers never see half of it
    beside.write_bytes(_drawn(share, seed, count, size, clean))
    beside.replace(path)


@cache
def _drawn(share: float, seed: int, count: int, size: int, clean: bool) -> bytes:
    noise = np.random.default_rng(7).normal(0.5, 0.35, (count, size, size))
    shapes = triangles(count, size, seed)
    mixed = np.rint(shapes) if clean else np.clip(share * shapes + (1 - share) * noise, 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        write_sheet(path, (mixed * 255).astype(np.uint8), columns=4, meta={"seed": str(seed)})
        return path.read_bytes()


def fake_run(
    root: Path,
    schedule: str,
    *,
    state: State = State.RUNNING,
    epoch: int = 0,
    epochs: int = 100,
    place: int = 0,
    group: str = "quick-20261124-101502",
    created: datetime = START,
    dataset: str = "high",
    seed: int = 0,
    error: str = "",
    every: int = 1,
    size: int = 32,
    clean: bool = False,
    broken_after: int | None = None,
    process: ProcessIdentity | None = None,
) -> RunDirectory:
    """Make a run that looks as if it had trained for `epoch` epochs.

    Args:
        broken_after: losses are NaN from this step on.
        process: who is behind a live run; this process unless given.
        every: epochs between sheets.
        clean: draw pictures without greys, which makes small snapshots.
    """
    config = RunConfig(
        recipe="quick",
        data=DataConfig(dataset=dataset),
        schedule=ScheduleConfig(name=schedule, timesteps=1000),
        train=TrainConfig(epochs=epochs, batch_size=32, seed=seed),
        sample=SampleConfig(every=every),
    )
    made = created + timedelta(milliseconds=place)
    name = f"{created:%Y%m%d-%H%M%S}-{dataset}-{schedule.replace('^', '')}-s{seed}-{place:04x}"
    run = RunDirectory.create(root, config, group=group, created=made, run_id=name)
    rng = np.random.default_rng(place)
    if epoch:
        total = epoch * STEPS
        steps = np.arange(1, total + 1)
        losses = (0.9 / (1 + steps / 18) + 0.021 + 0.002 * place) * np.exp(rng.normal(0, 0.12, total))
        if broken_after is not None:
            losses[broken_after:] = np.nan
        with MetricsWriter(run.metrics_file) as writer:
            for number in range(1, epoch + 1):
                part = losses[(number - 1) * STEPS : number * STEPS]
                good = part[np.isfinite(part)]
                writer.append_steps((number - 1) * STEPS + 1, number, number * 5.0, part.tolist())
                mean = float(good.mean()) if len(good) else float("nan")
                writer.append_epoch(
                    EpochRecord(
                        epoch=number,
                        step=number * STEPS,
                        elapsed=number * 5.0,
                        mean=mean,
                        min=float(good.min()) if len(good) else float("nan"),
                        max=float(good.max()) if len(good) else float("nan"),
                        heldout=mean * 1.04,
                        images_per_second=620.0,
                        learning_rate=1e-3,
                    )
                )
        for number in range(every, epoch + 1, every):
            sheet(
                run.samples / f"epoch-{number:04d}.png",
                min(0.97, number / 40),
                seed=3,
                size=size,
                clean=clean,
            )
    process = process or ProcessIdentity.current()
    live = state.is_live or state is State.CRASHED
    run.write_status(
        Status(
            state=State.RUNNING if state is State.CRASHED else state,
            epoch=epoch,
            epochs=epochs,
            step=epoch * STEPS,
            steps=epochs * STEPS if epoch else 0,
            images_per_second=620.0 if state is State.RUNNING else 0.0,
            elapsed=epoch * 5.0,
            heartbeat=NOW if live else NOW - 60,
            attempt=1 if epoch else 0,
            host=process.host if live else "",
            pid=(999_999_999 if state is State.CRASHED else process.pid) if live else 0,
            pid_started=process.pid_started if live else 0.0,
            boot_id=process.boot_id if live else "",
            device="cpu" if live else "",
            threads=1 if live else 0,
            message="making 10,000 pictures" if state is State.STARTING else "",
            error=error,
        )
    )
    run.log.write_text(
        "".join(
            f"2026-11-24 10:15:{second:02d} epoch {second} loss 0.0{second}\n" for second in range(10, 50)
        ),
        encoding="utf-8",
    )
    return run


def states(count: int, *, starts: int = 5, size: int = 32, seed: int = 3) -> NDArray[np.uint8]:
    """From noise to triangles in black and white: [count, starts, size, size]."""
    noise = np.random.default_rng(7).integers(0, 2, (starts, size, size))
    order = np.random.default_rng(8).permutation(size * size).reshape(size, size) / size**2
    shapes = np.rint(triangles(starts, size, seed))
    left = np.linspace(1, 0, count)[:, None, None, None]
    return (np.where(order < left, noise, shapes) * 255).astype(np.uint8)


def strip(run: RunDirectory, epoch: int, *, count: int = 10, size: int = 32, seed: int = 3) -> None:
    """Write a strip of the reverse process, as a training does."""
    run.reverse.mkdir(exist_ok=True)
    rows = states(count, size=size, seed=seed).swapaxes(0, 1)
    write_sheet(run.reverse / f"epoch-{epoch:04d}.png", rows.reshape(-1, size, size), columns=count)


def trajectory(
    run: RunDirectory, spec: TrajectorySpec, *, epoch: int, size: int = 32, timesteps: int = 1000
) -> None:
    """Keep a walk with a run, as if it had been computed: what is foreseen is the last state, inverted."""
    xt = states(spec.steps + 1, size=size)
    x0 = np.repeat(255 - xt[-1:], len(xt), axis=0)
    spec.path(run).parent.mkdir(exist_ok=True)
    config = RunConfig(schedule=ScheduleConfig(timesteps=timesteps))
    notes = {"epoch": str(epoch), "timesteps": str(state_timesteps(config, spec.steps))}
    save_file({"xt": xt, "x0": x0}, spec.path(run), metadata=notes)


def evaluate(run: RunDirectory, level: float, *, half: float = 0.02, **changes: object) -> Evaluation:
    """Keep a judgement with a run: shares of this level, better the higher it is, with intervals of half this width."""
    metrics = {}
    for name, metric in METRICS.items():
        value = (level if metric.better != "lower" else 1 - level) * (1 if metric.share else 3)
        metrics[name] = Estimate(value, value - half, value + half)
    fields = {
        "created": "2026-11-24T12:00:00+00:00",
        "epoch": 40,
        "step": 40 * STEPS,
        "dataset": "high",
        "count": 500,
        "heldout": 1000,
        "sampler": "ddim",
        "steps": 50,
        "metrics": metrics,
        "real": {"coverage": Estimate(0.96, 0.95, 0.97)},
    }
    return add_evaluation(run, Evaluation(**{**fields, **changes}))  # type: ignore[arg-type]  # the fields above


def evaluated(root: Path) -> list[RunDirectory]:
    """A finished comparison of five schedules, judged: two are best, two clearly worse, and one was not judged."""
    runs = comparison(root, "finished", clean=True)
    for run, level in zip(runs, (0.94, 0.93, 0.7, 0.31), strict=False):
        evaluate(run, level)
    return runs


def three(root: Path, *, epochs: tuple[int, ...] = (2, 4), size: int = 32) -> list[RunDirectory]:
    """Three runs with strips and something that stands for a checkpoint."""
    runs = []
    for place, schedule in enumerate(THREE):
        run = fake_run(root, schedule, state=State.STOPPED, epoch=4, epochs=8, place=place, size=size)
        for epoch in epochs:
            strip(run, epoch, size=size, seed=3 + place)
        run.checkpoint.parent.mkdir()
        run.checkpoint.touch()
        runs.append(run)
    return runs


def comparison(root: Path, name: str, *, clean: bool = False) -> list[RunDirectory]:
    """Five runs, one a schedule, in one of the states that snapshots show: see `STATES`."""
    return [
        fake_run(root, schedule, place=place, clean=clean, **STATES[name][place])  # type: ignore[arg-type]  # rows of keywords
        for place, schedule in enumerate(SCHEDULE_NAMES)
    ]


def five(root: Path) -> None:
    """A finished comparison of five schedules, of few epochs."""
    for place, schedule in enumerate(SCHEDULE_NAMES):
        fake_run(root, schedule, state=State.FINISHED, epoch=3, epochs=3, place=place)


def _all(**same: object) -> Sequence[dict[str, object]]:
    return [same] * len(SCHEDULE_NAMES)


STATES: dict[str, Sequence[dict[str, object]]] = {
    "running": [
        {"epoch": 37},
        {"epoch": 36},
        {"state": State.STARTING},
        {"state": State.QUEUED},
        {"state": State.QUEUED},
    ],
    "stopped": _all(state=State.STOPPED, epoch=12),
    "failed": [
        {"epoch": 37},
        {"state": State.CRASHED, "epoch": 36},
        {"state": State.QUEUED},
        {"state": State.STOPPED, "epoch": 12},
        {
            "state": State.FAILED,
            "epoch": 3,
            "broken_after": 100,
            "error": "loss became NaN at step 101; the checkpoint of epoch 2 is kept",
        },
    ],
    "finished": _all(state=State.FINISHED, epoch=40, epochs=40),
}
