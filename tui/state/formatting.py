"""Text for runs and numbers: labels, durations, losses and settings as the screens show them."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
from rich.cells import cell_len, set_cell_size

from core.comparison.grouping import dataset_titles, derived_settings, file_titles
from core.config import RunConfig, ScheduleConfig, flatten
from core.config.schema import PRESET_WIDTHS
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs.status import State
from core.schedules import Schedule, make_schedule
from tui.state.snapshot import RunSnapshot, Snapshot

STATE_GLYPHS: Final = {
    State.QUEUED: "○",
    State.STARTING: "◔",
    State.RUNNING: "●",
    State.STOPPING: "◑",
    State.STOPPED: "■",
    State.FINISHED: "✔",
    State.FAILED: "✖",
    State.CRASHED: "✖",
}
NOTHING: Final = "–"
MAX_SHORT_LABEL: Final = 16
_NEVER_DISTINGUISHING: Final = frozenset({"schedule.name", "recipe"})


def run_labels(runs: Sequence[RunSnapshot], *, short: bool = False) -> dict[str, str]:
    """A label for each run, by id: its schedule, followed by the settings that differ where schedules repeat.

    Args:
        runs: the runs.
        short: use schedules alone if a label would be longer than `MAX_SHORT_LABEL`; digits tell such runs apart.
    """
    schedules = {run.id: run.label for run in runs}
    if len(set(schedules.values())) == len(runs):
        return schedules
    known = tuple((run.id, run.label, run.file.config) for run in runs)
    # Hashing very many configurations costs as much as computing the labels, which such callers keep anyway.
    make = _distinguishing_labels if len(known) < 100 else _distinguishing_labels.__wrapped__
    labels = dict(make(known))
    return schedules if short and max(map(len, labels.values())) > MAX_SHORT_LABEL else labels


@functools.lru_cache(maxsize=4096)
def _flat_config(config: RunConfig) -> dict[str, Any]:
    return flatten(msgspec.to_builtins(config.resolved()))


@functools.lru_cache(maxsize=8)
def _distinguishing_labels(runs: tuple[tuple[str, str, RunConfig], ...]) -> Mapping[str, str]:
    flat = {run_id: _flat_config(config) for run_id, _, config in runs}
    titles = dataset_titles(config for _, _, config in runs)
    files = file_titles(config.schedule.file for _, _, config in runs)
    keys = dict.fromkeys(key for settings in flat.values() for key in settings)
    hidden = _NEVER_DISTINGUISHING | derived_settings(config for _, _, config in runs)
    distinguishing = [
        key
        for key in keys
        if key not in hidden and len({repr(settings.get(key)) for settings in flat.values()}) > 1
    ]
    return {
        run_id: " ".join([label, *_distinguishing_values(flat[run_id], distinguishing, titles, files)])
        for run_id, label, _ in runs
    }


def _distinguishing_values(
    settings: dict[str, Any], keys: Iterable[str], titles: Mapping[str, str], files: Mapping[str, str]
) -> list[str]:
    details = []
    for key in keys:
        value, name = settings.get(key), key.rpartition(".")[2]
        if isinstance(value, bool):
            details.append(name if value else f"no {name}")
        elif key == "schedule.file" and value is None:
            continue
        elif isinstance(value, str):
            named = {"data.dataset": titles, "schedule.file": files}.get(key, {})
            details.append(named[value] if value in named else sanitize(value))
        else:
            details.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return details


def number(value: float | None) -> str:
    """A loss in at most seven characters; a dash for None.

    >>> number(0.02314), number(float("nan")), number(0.00012), number(None)
    ('0.0231', 'NaN', '1.2e-04', '–')
    """
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "NaN"
    if value != 0 and (abs(value) < 0.001 or abs(value) >= 1000):
        return f"{value:.1e}"
    return f"{value:.4f}"[:6] if abs(value) < 10 else f"{value:.2f}"


def recent_step_count(run: RunSnapshot) -> int:
    """The number of last steps whose mean loss is the run's `recent_loss`: an epoch, or half of fewer steps."""
    ends = [0, *(record.step for record in run.epochs)]
    epoch = ends[-1] - ends[-2] if run.epochs else len(run.losses)
    return min(max(1, epoch), math.ceil(len(run.losses) / 2))


def recent_loss(run: RunSnapshot) -> float | None:
    """The mean loss of the last `recent_step_count` steps, in which the run's curve ends.

    After a whole epoch, except the first, it is the epoch's mean. NaN if the last loss is not finite, None before the
    first.
    """
    if not len(run.losses):
        return None
    if not math.isfinite(run.losses[-1]):
        return math.nan
    tail = run.losses[-recent_step_count(run) :]
    return float(tail[np.isfinite(tail)].mean())


def heldout_loss(run: RunSnapshot) -> float | None:
    """The latest held-out loss; None if the last epoch has none."""
    if not run.epochs or math.isnan(run.epochs[-1].heldout):
        return None
    return run.epochs[-1].heldout


def problem(run: RunSnapshot) -> str:
    """A short error or warning about a run; empty if there is none."""
    if run.state is State.FAILED:
        return run.status.error or "failed without a message"
    if run.state is State.CRASHED:
        return run.status.error or run.crash_reason or "process is gone"
    return run.warning


def hms(seconds: float) -> str:
    """A duration as hours, minutes and seconds.

    >>> hms(192.4), hms(-1), hms(360000)
    ('00:03:12', '00:00:00', '100:00:00')
    """
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def approx_duration(seconds: float) -> str:
    """An estimated duration, rounded to minutes, hours or days.

    >>> approx_duration(20), approx_duration(754), approx_duration(9000), approx_duration(1e6)
    ('1 min', '13 min', '2.5 h', '12 days')
    """
    if not math.isfinite(seconds):
        return NOTHING
    minutes = max(1, math.ceil(seconds / 60))
    if minutes < 100:
        return f"{minutes} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def training_seconds(run: RunSnapshot, now: float) -> float:
    """Seconds of training so far; a running run's heartbeat is extrapolated by up to a minute."""
    since = now - run.status.heartbeat
    return run.status.elapsed + (min(max(since, 0.0), 60.0) if run.state is State.RUNNING else 0.0)


def created_at(run: RunSnapshot) -> datetime:
    """When the run was queued, in UTC."""
    return datetime.fromisoformat(run.file.created)


def images_per_second(runs: Iterable[RunSnapshot]) -> float:
    """Training throughput of all running runs together, in images per second."""
    return sum(run.status.images_per_second for run in runs if run.state is State.RUNNING)


def seconds_left(runs: Iterable[RunSnapshot]) -> float | None:
    """Estimated seconds until all live and queued runs are done; None if none is running."""
    pending = [run for run in runs if run.state.is_live or run.state is State.QUEUED]
    rate = images_per_second(pending)
    if rate <= 0:
        return None
    known = max((run.status.steps for run in pending), default=0)
    steps = sum(
        max(0, (run.status.steps or known) - run.status.step) * run.file.config.train.batch_size
        for run in pending
    )
    return steps / rate


def devices_text(runs: Sequence[RunSnapshot]) -> str:
    """The devices on which live runs train: `cpu 2x1` is two workers with one thread each."""
    live = [run.status for run in runs if run.state.is_live and run.status.device]
    devices: dict[str, list[int]] = {}
    for status in live:
        devices.setdefault(status.device, []).append(status.threads)
    parts = []
    for device, threads in sorted(devices.items()):
        each = f"x{max(threads)}" if device == "cpu" else ""
        parts.append(f"{device} {len(threads)}{each}" if each or len(threads) > 1 else device)
    return ", ".join(parts)


def shorten(text: str, width: int) -> str:
    """A text of at most so many cells; one that is cut ends in an ellipsis.

    >>> shorten("linear", 6), shorten("linear", 4), shorten("linear", 0)
    ('linear', 'lin…', '')
    """
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def first_fitting(texts: Sequence[str], width: int) -> str:
    """The first of some texts that fits into so many cells, else the last one, shortened.

    >>> first_fitting(["too small for a chart", "too small"], 12), first_fitting(["too small"], 5)
    ('too small', 'too …')
    """
    return next((text for text in texts if cell_len(text) <= width), shorten(texts[-1], width))


def pluralize(count: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


@functools.lru_cache(maxsize=64)
def build_schedule(config: ScheduleConfig) -> Schedule | None:
    """Make the schedule that a configuration names; None if that fails, say because its file is gone."""
    try:
        return make_schedule(**msgspec.structs.asdict(config))
    except UserError:
        return None


def settings_line(config: RunConfig) -> str:
    """The main settings of a run, in one line."""
    usual = config.model.width in (None, PRESET_WIDTHS[config.model.preset])
    network = config.model.preset + ("" if usual else f" width {config.model.width}")
    parts = [
        sanitize(config.data.title),
        f"T = {config.schedule.timesteps}",
        config.diffusion.prediction_type,
        network,
        f"batch {config.train.batch_size}",
        config.train.optimizer,
        f"seed {config.train.seed}",
    ]
    return " · ".join(parts)


def run_indices(snapshot: Snapshot, runs: Sequence[RunSnapshot]) -> dict[str, int]:
    """The index of each run, by id, which determines its colour and digit.

    For runs of one group it is the index within that group, as on the board.
    """
    if len({run.group for run in runs}) == 1:
        group = snapshot.runs_in_group(runs[0].group)
        indices = {run.id: index for index, run in enumerate(group)}
        return {run.id: indices[run.id] for run in runs}
    return {run.id: index for index, run in enumerate(runs)}


def setting_text(value: Any) -> str:
    """A configuration value as a recipe writes it; a dash for None.

    >>> [setting_text(value) for value in (None, True, 0.0001, "x^2", 3)]
    ['–', 'true', '0.0001', 'x^2', '3']
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-") if 1e-4 <= abs(value) < 1e6 else f"{value:g}"
    return sanitize(str(value))


def small_number(value: float | None) -> str:
    """A fraction that may be tiny, in at most seven characters.

    >>> [small_number(value) for value in (0.0, 4.04e-05, 0.1464, 1.0, None)]
    ['0', '4.0e-05', '0.1464', '1', '–']
    """
    if value == 0:
        return "0"
    return "1" if value == 1 else number(value)


LEVEL_MARKS: Final = {
    "good": ("✔", "$text-success"),
    "doubtful": ("▲", "$text-warning"),
    "bad": ("✖", "$text-error"),
}


def decibels_text(ratio: float) -> str:
    """A power ratio in decibels.

    >>> decibels_text(1.0), decibels_text(0.05), decibels_text(0.0)
    ('0 dB', '-13 dB', '-∞ dB')
    """
    if ratio <= 0:
        return "-∞ dB"
    return f"{10 * math.log10(ratio) + 0.0:.0f} dB" if math.isfinite(ratio) else "∞ dB"
