"""A run as the commands describe it: JSON with stable keys, table rows and text."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from core.cli.output import duration_text, number_text
from core.comparison.grouping import dataset_titles, file_titles
from core.config import encode_toml
from core.config.trained_with import TrainedWith
from core.files.sanitize import sanitize
from core.imaging import sparkline
from core.runs import EpochRecord, MetricsTail, RunDirectory, RunInfo, State
from core.runs.copies import Copy, read_copy
from core.runs.monitoring import MONITORED, monitor_text, monitor_title, plateau_json, plateau_text

TREND_WIDTH = 16


def read_epochs(info: RunInfo) -> list[EpochRecord]:
    """Read all epochs that the run has logged so far, in order."""
    tail = MetricsTail(info.directory.metrics_file, epochs_only=True)
    tail.poll()
    return list(tail.epochs)


def loss_trend(epochs: Sequence[EpochRecord], width: int = TREND_WIDTH) -> str:
    """Draw the mean loss of each epoch as a line of bars on a logarithmic scale."""
    return sparkline([record.mean for record in epochs], width)


def run_json(info: RunInfo, epochs: Sequence[EpochRecord], *, queue: str | None = None) -> dict[str, Any]:
    """Return the keys that every command gives for a run; documented in docs/cli.md.

    Args:
        info: the run.
        epochs: its epochs, from `read_epochs`.
        queue: the run's job in another engine's queue, from `core.launch.engines.job_notes`.
    """
    status, config = info.status, info.file.config
    last = epochs[-1] if epochs else None
    return {
        "id": info.directory.id,
        "path": str(info.directory.path),
        "group": info.file.group,
        "created": info.file.created,
        "recipe": config.recipe,
        "dataset": config.data.dataset,
        "schedule": config.schedule.name,
        "seed": config.train.seed,
        "tags": list(info.file.tags),
        "state": info.state.value,
        "epoch": status.epoch,
        "epochs": status.epochs,
        "step": status.step,
        "steps": status.steps,
        "loss": last.mean if last else None,
        "heldout": last.heldout if last else None,
        "images_per_second": status.images_per_second,
        "elapsed": status.elapsed,
        "device": status.device,
        "threads": status.threads,
        "precision": sanitize(status.trained_with.precision) if status.trained_with else "",
        "images": _images_json(status.trained_with),
        "best": plateau_json(epochs, config.train.monitor),
        "ended_by": status.ended_by,
        "ending": status.ending,
        "message": status.message or info.warning,
        "error": status.error,
        "engine": sanitize(status.engine),
        "job": sanitize(status.job),
        "queue": queue or "",
        "copy_of": copy.source if (copy := read_copy(info.directory.path)) else None,
    }


def _images_json(trained_with: TrainedWith | None) -> dict[str, Any] | None:
    if trained_with is None:
        return None
    return {
        "train": trained_with.train,
        "heldout": trained_with.heldout,
        "channels": trained_with.channels,
        "size": trained_with.size,
        "fingerprint": sanitize(trained_with.fingerprint),
        "notes": [sanitize(note) for note in trained_with.notes],
    }


def images_lines(info: RunInfo) -> list[str]:
    """Describe the images that a run is trained on: counts and shape, and a line for each note. Empty if unknown."""
    trained_with = info.status.trained_with
    return [] if trained_with is None else [trained_with.images_text, *map(sanitize, trained_with.notes)]


def run_details_json(info: RunInfo, epochs: Sequence[EpochRecord]) -> dict[str, Any]:
    """Return `run_json` together with the run's configuration, provenance, epochs and files."""
    run = info.directory
    return {
        **run_json(info, epochs),
        "config": msgspec.to_builtins(info.file.config),
        "provenance": dict(info.file.provenance),
        "history": [msgspec.to_builtins(record) for record in epochs],
        "files": {
            "samples": [{"epoch": epoch, "path": str(path)} for epoch, path in run.sample_sheets()],
            "reverse": [{"epoch": epoch, "path": str(path)} for epoch, path in run.reverse_strips()],
            "checkpoint": str(run.checkpoint) if run.checkpoint.exists() else None,
            "best_checkpoint": str(run.best_checkpoint) if run.best_checkpoint.exists() else None,
            "metrics": str(run.metrics_file) if run.metrics_file.exists() else None,
            "log": str(run.log) if run.log.exists() else None,
        },
    }


def run_row(info: RunInfo, epochs: Sequence[EpochRecord], *, queue: str | None = None) -> tuple[str, ...]:
    """Return the cells of one line of ``core runs list``; for `queue` see `run_json`."""
    last = epochs[-1] if epochs else None
    return (
        info.id,
        f"{info.state.value} ({queue})" if queue else info.state.value,
        f"{info.status.epoch}/{info.status.epochs}",
        number_text(last.mean if last else None),
        number_text(last.heldout if last else None),
        duration_text(info.status.elapsed),
        loss_trend(epochs),
        sanitize(info.status.error or info.warning),
    )


ROW_HEADERS = ("run", "state", "epoch", "loss", "held out", "time", "trend", "error")
ROW_ALIGN = "llrrrrll"


def run_text(info: RunInfo, epochs: Sequence[EpochRecord]) -> str:
    """Describe a run on one page: state, progress, files, and its configuration as TOML."""
    status, file, run = info.status, info.file, info.directory
    last = epochs[-1] if epochs else None
    sheets, strips = run.sample_sheets(), run.reverse_strips()
    where = f"{status.device}, {status.threads} thread{'s' * (status.threads != 1)}" if status.device else ""
    speed = f"{status.images_per_second:.0f} images/s" if status.images_per_second else ""
    lines = [
        ("state", f"{info.state.value} {status.message}"),
        ("ended by", status.ending if info.state is State.FINISHED else ""),
        ("error", status.error),
        ("warning", info.warning),
        ("path", str(run.path)),
        ("copy of", _copy_text(read_copy(run.path))),
        ("group", file.group),
        ("tags", ", ".join(file.tags)),
        ("created", file.created),
        ("progress", f"epoch {status.epoch} of {status.epochs}, step {status.step} of {status.steps}"),
        ("time", ", ".join(filter(None, (duration_text(status.elapsed), speed, where)))),
        ("loss", f"{number_text(last.mean)} (held out {number_text(last.heldout)})" if last else ""),
        ("trend", loss_trend(epochs, 40)),
        ("best", plateau_text(epochs, file.config.train.monitor)),
        *(("note" if index else "images", line) for index, line in enumerate(images_lines(info))),
        ("samples", str(sheets[-1][1]) if sheets else ""),
        ("reverse", str(strips[-1][1]) if strips else ""),
        ("checkpoint", str(run.checkpoint) if run.checkpoint.exists() else ""),
        ("best kept", str(run.best_checkpoint) if run.best_checkpoint.exists() else ""),
        ("weights", _weights_text(run)),
        ("log", str(run.log) if run.log.exists() else ""),
        *sorted(file.provenance.items()),
    ]
    head = [
        info.id,
        *(f"  {sanitize(name):<11} {sanitize(text).strip()}" for name, text in lines if text.strip()),
    ]
    return "\n".join([*head, "", sanitize(encode_toml(file.config), lines=True).rstrip()])


def _weights_text(run: RunDirectory) -> str:
    """Describe the sizes of the files of weights; empty if there are none."""
    sizes = {}
    for path in (run.checkpoint, run.previous_checkpoint, run.best_checkpoint):
        with contextlib.suppress(OSError):
            sizes[path.stem] = path.stat().st_size / 1e6
    parts = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
    return f"{sum(sizes.values()):.1f} MB: {parts}" if sizes else ""


def _copy_text(copy: Copy | None) -> str:
    return "" if copy is None else copy.source + " (removed there)" * copy.is_gone


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """Describe the end of an epoch for a log."""
    text = f"epoch {record.epoch} of {epochs}, loss {number_text(record.mean)}"
    if not math.isnan(record.heldout):
        text += f", held out {number_text(record.heldout)}"
    for name in MONITORED:
        if name in record.quality:
            text += f", {monitor_title(name)} {monitor_text(record.quality[name], name)}"
    if record.images_per_second:
        text += f", {record.images_per_second:.0f} images/s"
    return text


def run_labels(infos: Sequence[RunInfo]) -> dict[str, str]:
    """Return a short name for each run by its id: as little of its configuration as tells the runs apart."""
    configs = [info.file.config for info in infos]
    titles = dataset_titles(configs)
    files = file_titles(one.schedule.file for one in configs)
    shown = files if len(files) > 1 else {}
    schedules = [f"{one.schedule.name} {shown.get(one.schedule.file or '', '')}".rstrip() for one in configs]
    parts = [
        (schedule, titles[one.data.dataset], f"s{one.train.seed}")
        for one, schedule in zip(configs, schedules, strict=True)
    ]
    for length in range(1, 4):
        names = [sanitize(" ".join(part[:length])) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip((info.id for info in infos), names, strict=True))
    return {info.id: info.id for info in infos}
