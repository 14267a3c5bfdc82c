"""Runs on disk that look as if they had trained: any state, any progress, losses, images.

Everything is drawn from a seed, and ids and times can be fixed, so that snapshots of what shows them are stable.
"""

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from core.config import DataConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.imaging.sheet import write_sheet
from core.runs import (
    METRICS,
    EpochRecord,
    Evaluation,
    MetricsWriter,
    ProcessIdentity,
    RunDirectory,
    State,
    Status,
    add_evaluation,
)
from core.runs.metric_definitions import GENERAL_GROUPS, GROUPS, OPTIONAL_GROUPS
from core.runs.process import boot_id, host_name
from core.runs.trajectory import TrajectorySpec, state_timesteps
from core.schedules import SCHEDULE_NAMES
from core.statistics.estimate import Estimate
from core.statistics.noise_error_bins import BINS, NoiseErrorBins
from tests.support.fake_images import fake_images, states, write_samples

TRIANGLE_METRICS: Final = {
    name: metric
    for name, metric in METRICS.items()
    if not any(name in GROUPS[group] for group in (*GENERAL_GROUPS, *OPTIONAL_GROUPS, "labels"))
}
"""The metrics of triangles that are measured by default: all but those of general images and of labels."""
CREATED: Final = datetime(2026, 11, 24, 10, 15, 2, tzinfo=UTC)
NOW: Final = CREATED.timestamp() + 192.0
"""The clock of the dashboard's tests."""
STEPS: Final = 40
"""Steps of an epoch."""

LIVE_PROCESS: Final = ProcessIdentity.current()
"""The test itself: the process behind a live run."""
DEAD_PROCESS: Final = ProcessIdentity(host_name(), 2**22 + 1, 1.0, boot_id())
"""A pid that Linux never gives: the process behind a crashed run."""


@dataclass(frozen=True, kw_only=True)
class RunProfile:
    """Invented numbers of a fake run. Snapshots show those of `DASHBOARD`, so they must not change."""

    losses: Callable[[int, str, int, int], NDArray[np.float64]]
    """From steps, schedule, seed and index to float64 [steps]."""
    write_images: Callable[..., None]
    write_log: Callable[[RunDirectory, State, str, datetime], None]
    status: Callable[[State, int, float], dict[str, Any]]
    """Fields of `Status` from the state, the epoch and the last heartbeat of a run that is not live."""
    seconds_per_step: float
    images_per_second: float
    heldout_ratio: float
    """Of the held-out loss to the mean of an epoch."""
    sample_count: int
    batch_size: int
    numbered_by_seed: bool
    """The id ends in the seed, not in the index."""
    has_checkpoint: bool
    provenance: dict[str, Any]


def _cli_losses(steps: int, schedule: str, seed: int, index: int) -> NDArray[np.float64]:
    """Losses that fall as those of a small network do, noisy, with a level for each schedule."""
    rng = np.random.default_rng([seed, *schedule.encode()])
    level = 0.02 + 0.004 * (SCHEDULE_NAMES.index(schedule) if schedule in SCHEDULE_NAMES else 5)
    x = np.arange(1, steps + 1)
    return (level + 0.9 * np.exp(-x / 30) + 0.1 / np.sqrt(x)) * rng.lognormal(0.0, 0.15, steps)


def _dashboard_losses(steps: int, schedule: str, seed: int, index: int) -> NDArray[np.float64]:
    """Losses that fall, noisy, with a level for each index."""
    x = np.arange(1, steps + 1)
    noise = np.random.default_rng(index).normal(0, 0.12, steps)
    return (0.9 / (1 + x / 18) + 0.021 + 0.002 * index) * np.exp(noise)


def _write_cli_images(
    run: RunDirectory, epoch: int, *, epochs: int, count: int, size: int, colour: bool, seed: int, **_: Any
) -> None:
    """A sheet for each epoch and a strip for the last, from noise to triangles as the epochs go by."""
    run.samples.mkdir()
    run.reverse.mkdir()
    meta = {"schedule": run.read().config.schedule.name}
    for number in range(1, epoch + 1):
        tiles = fake_images(count, size=size, clarity=number / epochs, colour=colour, seed=seed)
        notes = {**meta, "epoch": str(number)}
        write_sheet(run.samples / f"epoch-{number:04d}.png", tiles, columns=min(count, 8), meta=notes)
    if epoch:
        shown = [
            fake_images(2, size=size, clarity=at, colour=colour, seed=seed) for at in np.linspace(0, 1, 5)
        ]
        strip = np.stack(shown, axis=1).reshape(10, *shown[0].shape[1:])
        write_sheet(run.reverse / f"epoch-{epoch:04d}.png", strip, columns=5, meta=meta)


def _write_dashboard_images(
    run: RunDirectory, epoch: int, *, every: int, size: int, clean: bool, **_: Any
) -> None:
    """A sheet of triangles every so many epochs, clearer with each."""
    for number in range(every, epoch + 1, every):
        path = run.samples / f"epoch-{number:04d}.png"
        write_samples(path, min(0.97, number / 40), seed=3, size=size, clean=clean)


def _write_cli_log(run: RunDirectory, state: State, schedule: str, created: datetime) -> None:
    if state is not State.QUEUED:
        run.log.write_text(f"--- {created.isoformat()} worker on cpu, 1 thread\ntraining {schedule}\n")


def _write_dashboard_log(run: RunDirectory, state: State, schedule: str, created: datetime) -> None:
    lines = [f"2026-11-24 10:15:{second:02d} epoch {second} loss 0.0{second}\n" for second in range(10, 50)]
    run.log.write_text("".join(lines), encoding="utf-8")


def _cli_status(state: State, epoch: int, heartbeat: float) -> dict[str, Any]:
    started = state is not State.QUEUED
    return {
        "heartbeat": heartbeat,
        "attempt": int(started),
        "device": "cpu" if started else "",
        "threads": int(started),
        "message": "starting" if state is State.STARTING else "",
        "error": "loss became NaN" if state is State.FAILED else "",
    }


def _dashboard_status(state: State, epoch: int, heartbeat: float) -> dict[str, Any]:
    live = state.is_live or state is State.CRASHED
    fields = {
        "heartbeat": NOW if live else NOW - 60,
        "attempt": int(epoch > 0),
        "device": "cpu" if live else "",
        "threads": int(live),
        "message": "making 10,000 pictures" if state is State.STARTING else "",
    }
    return fields if epoch else {**fields, "steps": 0}


CLI: Final = RunProfile(
    losses=_cli_losses,
    write_images=_write_cli_images,
    write_log=_write_cli_log,
    status=_cli_status,
    seconds_per_step=0.1,
    images_per_second=320.0,
    heldout_ratio=1.05,
    sample_count=4,
    batch_size=TrainConfig().batch_size,
    numbered_by_seed=True,
    has_checkpoint=True,
    provenance={"host": host_name()},
)
DASHBOARD: Final = RunProfile(
    losses=_dashboard_losses,
    write_images=_write_dashboard_images,
    write_log=_write_dashboard_log,
    status=_dashboard_status,
    seconds_per_step=0.125,
    images_per_second=620.0,
    heldout_ratio=1.04,
    sample_count=16,
    batch_size=32,
    numbered_by_seed=False,
    has_checkpoint=False,
    provenance={},
)


def make_run(
    root: Path,
    schedule: str = "linear",
    *,
    profile: RunProfile = CLI,
    state: State = State.FINISHED,
    epoch: int | None = None,
    epochs: int = 10,
    steps_per_epoch: int = STEPS,
    index: int = 0,
    seed: int = 0,
    dataset: str = "high",
    group: str = "quick-20261124-101502",
    created: datetime = CREATED,
    run_id: str | None = None,
    nan_from: int | None = None,
    now: float | None = None,
    process: ProcessIdentity | None = None,
    images: bool = True,
    every: int = 1,
    count: int | None = None,
    size: int = 32,
    colour: bool = False,
    clean: bool = False,
    config: RunConfig | None = None,
    **status: object,
) -> RunDirectory:
    """Write a run that looks as if it had trained for `epoch` epochs.

    Args:
        root: the runs folder.
        schedule: the name of its noise schedule.
        profile: its invented numbers.
        state: CRASHED is written as running with a dead process behind it, as a kill -9 leaves it.
        epoch: whole epochs trained; all of them when finished, none when queued, and else half, unless given.
        index: among its siblings: it was queued so many milliseconds after `created`.
        run_id: the folder's name; made from `created`, the data and the schedule unless given.
        nan_from: the step from which on all losses are NaN.
        now: the last heartbeat; unless given, that of the profile.
        process: the process behind it; this test for a live state, a dead one for CRASHED, unless given.
        every: epochs between sheets.
        count: images on a sheet; as many as the profile has unless given.
        size: pixels a side.
        clean: draw images without greys, which makes small snapshots.
        config: instead of what the other arguments would make.
        status: fields of `Status` to set to something else.
    """
    if epoch is None:
        epoch = {State.FINISHED: epochs, State.QUEUED: 0, State.STARTING: 0}.get(state, epochs // 2)
    created += timedelta(milliseconds=index)
    count = profile.sample_count if count is None else count
    config = config or RunConfig(
        recipe="quick",
        data=DataConfig(dataset=dataset),
        schedule=ScheduleConfig(name=schedule, timesteps=1000),
        train=TrainConfig(epochs=epochs, batch_size=profile.batch_size, seed=seed),
        sample=SampleConfig(count=count, every=every),
    )
    number = seed if profile.numbered_by_seed else index
    name = f"{created:%Y%m%d-%H%M%S}-{dataset}-{schedule.replace('^', '')}-s{seed}-{number:04x}"
    run = RunDirectory.create(
        root,
        config,
        group=group,
        created=created,
        run_id=run_id or name,
        provenance=profile.provenance,
    )
    steps = epoch * steps_per_epoch
    losses = profile.losses(steps, schedule, seed, index)
    losses[(nan_from or steps + 1) - 1 :] = np.nan
    if epoch or profile.has_checkpoint:
        write_metrics(run, losses, steps_per_epoch=steps_per_epoch, profile=profile)
    if images:
        profile.write_images(
            run,
            epoch,
            epochs=epochs,
            every=every,
            count=count,
            size=size,
            colour=colour,
            clean=clean,
            seed=seed,
        )
    profile.write_log(run, state, schedule, created)
    if profile.has_checkpoint and epoch and state is not State.QUEUED:
        run.checkpoint.parent.mkdir()
        run.checkpoint.write_bytes(b"")
    if process is None and (state.is_live or state is State.CRASHED):
        process = DEAD_PROCESS if state is State.CRASHED else LIVE_PROCESS
    elapsed = steps * profile.seconds_per_step
    values = {
        "state": State.RUNNING if state is State.CRASHED else state,
        "epoch": epoch,
        "epochs": epochs,
        "step": steps,
        "steps": epochs * steps_per_epoch,
        "images_per_second": profile.images_per_second if state is State.RUNNING else 0.0,
        "elapsed": elapsed,
        **profile.status(state, epoch, created.timestamp() + elapsed),
        **({} if now is None else {"heartbeat": now}),
        **({} if process is None else msgspec.to_builtins(process)),
    }
    run.write_status(Status(**{**values, **status}), fsync=False)
    return run


dashboard_run = partial(make_run, profile=DASHBOARD, state=State.RUNNING, epoch=0, epochs=100)
"""A run as the dashboard's tests have them: by default one that has just started to train."""


def write_metrics(
    run: RunDirectory, losses: NDArray[np.float64], *, steps_per_epoch: int, profile: RunProfile = CLI
) -> None:
    """Append losses, and the end of each whole epoch, as a worker does."""
    with MetricsWriter(run.metrics_file) as writer:
        for first in range(0, len(losses), steps_per_epoch):
            part = losses[first : first + steps_per_epoch]
            epoch, last = first // steps_per_epoch + 1, first + len(part)
            elapsed = last * profile.seconds_per_step
            writer.append_steps(first + 1, epoch, elapsed, part.tolist())
            if len(part) < steps_per_epoch:
                continue
            finite = part[np.isfinite(part)]
            mean, low, high = (
                (float(finite.mean()), float(finite.min()), float(finite.max()))
                if len(finite)
                else (float("nan"),) * 3
            )
            writer.append_epoch(
                EpochRecord(
                    epoch=epoch,
                    step=last,
                    elapsed=elapsed,
                    mean=mean,
                    min=low,
                    max=high,
                    heldout=mean * profile.heldout_ratio,
                    images_per_second=profile.images_per_second,
                    learning_rate=1e-3,
                    noise_error=fake_noise_error(epoch) if len(finite) else None,
                )
            )


def fake_noise_error(epoch: int) -> NoiseErrorBins:
    """Errors that fall from epoch to epoch, most at a log SNR of 0; the first bin has no images."""
    log_snr = [-9.375 + 1.25 * index for index in range(BINS)]
    gains = [1.0 + 4.0 * np.exp(-((value / 4.0) ** 2)) / epoch for value in log_snr]
    errors = [float(gain / (1.0 + np.exp(-value))) for gain, value in zip(gains, log_snr, strict=True)]
    return NoiseErrorBins((0, *[64] * (BINS - 1)), (0.0, *log_snr[1:]), (0.0, *errors[1:]))


def add_heldout_noise_errors(metrics: Path, epochs: Collection[int]) -> None:
    """Give epochs of a file of metrics the errors of held-out images, ten a level, as after a sheet of samples."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines:
        if line["e"] in epochs and "noise" in line:
            line["heldout_noise"] = line["noise"] | {"n": [0, *[10] * (BINS - 1)]}
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def tear(path: Path, bytes_off: int = 7) -> None:
    """Cut a file short, as a kill in the middle of an append leaves it."""
    os.truncate(path, path.stat().st_size - bytes_off)


def write_trajectory(
    run: RunDirectory, spec: TrajectorySpec, *, epoch: int, size: int = 32, timesteps: int = 1000
) -> None:
    """Keep a trajectory with a run, as if it had been computed: predicted x0 is the last state, inverted."""
    xt = states(spec.steps + 1, size=size)
    x0 = np.repeat(255 - xt[-1:], len(xt), axis=0)
    spec.path(run).parent.mkdir(exist_ok=True)
    config = RunConfig(schedule=ScheduleConfig(timesteps=timesteps))
    notes = {"epoch": str(epoch), "timesteps": str(state_timesteps(config, spec.steps))}
    save_file({"xt": xt, "x0": x0}, spec.path(run), metadata=notes)


def write_evaluation(run: RunDirectory, level: float, *, half: float = 0.02, **changes: object) -> Evaluation:
    """Keep an evaluation with a run: metrics better the higher `level` is, with intervals of +- `half`."""
    metrics = {}
    for name, metric in TRIANGLE_METRICS.items():
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
