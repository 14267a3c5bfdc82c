"""Sampling levels: log SNRs at which the network is called; read from text and files, and mapped to a run's timesteps.

The unit is the natural logarithm of the signal-to-noise ratio, abar / (1 - abar).
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import tomli

from core.config.schema import RunConfig, ScheduleConfig
from core.errors import UserError
from core.files.untrusted import open_regular
from core.sampling_names import Spacing
from core.schedules import make_schedule
from core.spacing import MIN_LEVEL, inference_timesteps, nearest_timesteps

MAX_LEVELS: Final = 10_000
_SIZE_LIMIT: Final = 1 << 20
_EXPECTED: Final = "expected log SNRs, such as -8,-4,0,4,8, or a file of them"


def read_levels(given: str) -> tuple[float, ...]:
    """Read levels from a list or a file.

    A list is separated by commas or spaces. A file holds the same, or one level a line with ``#`` before comments; or
    a list in JSON; or TOML with the list as ``levels``, alone or in ``[sample]``. ``-inf`` is pure noise.

    Args:
        given: the list, or the path of the file.

    Returns:
        The levels from the noisiest on, without duplicates.

    Raises:
        UserError: no list and no file that can be read, or something else than numbers.
    """
    try:
        return _checked(_parse(given), given)
    except ValueError:
        path = Path(given)
    try:
        with open_regular(path) as file:
            data = file.read(_SIZE_LIMIT + 1)
        if len(data) > _SIZE_LIMIT:
            raise UserError(f"{path}: more than {_SIZE_LIMIT:,} bytes; {_EXPECTED}")
        return _checked(_parse(data.decode("utf-8")), str(path))
    except FileNotFoundError as error:
        raise UserError(f"levels {given}: no list and no file; {_EXPECTED}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; {_EXPECTED}") from error


def visited_timesteps(config: RunConfig) -> list[int]:
    """List the timesteps 0..T-1 at which a run's own sampling calls the network, descending.

    Raises:
        UserError: more steps than the schedule has, or an invalid schedule.
    """
    sample, timesteps = config.sample, config.schedule.timesteps
    if sample.levels is None and sample.spacing == "uniform":
        return inference_timesteps(timesteps, sample.steps)
    log_snr = make_schedule(**msgspec.structs.asdict(config.schedule)).log_snr
    if sample.levels is not None:
        return nearest_timesteps(log_snr, sample.levels)
    return inference_timesteps(timesteps, sample.steps, spacing=sample.spacing, log_snr=log_snr)


def sampling_calls(config: RunConfig) -> int:
    """Count the network calls of a run's own sampling."""
    sample = config.sample
    return (
        sample.steps or config.schedule.timesteps if sample.levels is None else len(visited_timesteps(config))
    )


def schedule_levels(
    schedule: ScheduleConfig, steps: int | None = None, spacing: Spacing = "uniform"
) -> tuple[float, ...]:
    """Return the levels at which a run with this schedule would call its network, from the noisiest on.

    Raises:
        UserError: an invalid schedule, or more steps than it has.
    """
    log_snr = make_schedule(**msgspec.structs.asdict(schedule)).log_snr
    visited = inference_timesteps(len(log_snr), steps, spacing=spacing, log_snr=log_snr)
    return tuple(round(max(float(log_snr[t]), MIN_LEVEL), 6) for t in visited)


def levels_note(config: RunConfig) -> str:
    """Say how a run's levels were mapped, if not each to a timestep of its own; empty otherwise."""
    levels = config.sample.levels
    if levels is None:
        return ""
    log_snr = np.maximum(make_schedule(**msgspec.structs.asdict(config.schedule)).log_snr, MIN_LEVEL)
    noisier = levels_beyond(log_snr, levels)
    cleaner = sum(level > log_snr[0] + _half_step(log_snr, 0) for level in levels)
    parts = []
    if noisier:
        parts.append(
            f"{noisier} of {len(levels)} levels are noisier than its last, log SNR {log_snr[-1]:.3g}"
        )
    if cleaner:
        parts.append(
            f"{cleaner} of {len(levels)} levels are cleaner than its first, log SNR {log_snr[0]:.3g}"
        )
    calls = len(visited_timesteps(config))
    if not parts and calls == len(levels):
        return ""
    fitted = f"{len(levels)} levels are {calls} of its {len(log_snr)} timesteps"
    return "; ".join([*parts, fitted])


def levels_beyond(log_snr: np.ndarray[Any, np.dtype[np.float64]], levels: Sequence[float]) -> int:
    """Count the levels that are noisier than all timesteps of a schedule, by more than half its last step.

    Args:
        log_snr: [T] of the schedule.
        levels: log SNRs.
    """
    return int(sum(level < log_snr[-1] - _half_step(log_snr, -1) for level in levels))


def _half_step(log_snr: np.ndarray[Any, np.dtype[np.float64]], end: int) -> float:
    """Half the distance of an end of the schedule from its neighbour."""
    return 0.0 if len(log_snr) < 2 else abs(float(log_snr[end] - log_snr[-2 if end else 1])) / 2


def _parse(text: str) -> list[Any]:
    """Parse a list of numbers in one of the formats of `read_levels`.

    Raises:
        ValueError: it is in none of them.
    """
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return found
    if re.search(r"^\s*levels\s*=", text, re.MULTILINE):
        table = tomli.loads(text)
        found = table.get("levels", table.get("sample", {}).get("levels"))
        if isinstance(found, list):
            return found
        raise ValueError("levels is not a list")
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return [float(word) for line in lines for word in re.split(r"[\s,]+", line.strip()) if word]


def _checked(values: Sequence[Any], source: str) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise UserError(f"levels {source}: {_EXPECTED}, got {str(value)[:40]}")
        if not -1000 <= value <= 1000 and value != -math.inf:
            raise UserError(f"levels {source}: expected log SNRs from -1000 to 1000, got {value:g}")
    if not 1 <= len(values) <= MAX_LEVELS:
        raise UserError(f"levels {source}: expected from 1 to {MAX_LEVELS:,} log SNRs, got {len(values):,}")
    return tuple(sorted({max(float(value), MIN_LEVEL) for value in values}))
