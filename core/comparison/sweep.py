"""A metric against a setting: the mean of each value with its interval over seeds; torch-free."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.comparison.compare import LOSSES, POOLED_SETTINGS, metric_value
from core.comparison.grouping import (
    Member,
    dataset_titles,
    derived_settings,
    file_titles,
    flat_settings,
    value_text,
)
from core.comparison.pooling import Score, pool
from core.errors import UserError, did_you_mean
from core.runs import METRICS
from core.runs.metric_definitions import better_direction

MAX_LINES: Final = 6
"""Lines of a data set; with more, runs are pooled over the settings that the lines would differ in."""
_ALIASES: Final = {"seed": "train.seed", "dataset": "data.dataset", "schedule": "schedule.name"}
_MIN_LOG_RATIO: Final = 8.0
"""Smallest ratio of the largest value to the smallest for a logarithmic axis."""


@dataclass(frozen=True)
class SweepPoint:
    """All runs of a line with one value of the setting.

    Attributes:
        value: the value; a number unless the sweep is categorical.
        text: the value as text.
        score: mean of the metric, with its interval over seeds and images.
        seeds: training seeds, lowest first.
        runs: number of runs that were measured.
    """

    value: Any
    text: str
    score: Score
    seeds: tuple[int, ...]
    runs: int


@dataclass(frozen=True)
class SweepLine:
    """Points of the runs that are alike but for the setting and the seed, in the order of the values."""

    label: str
    dataset: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True)
class Sweep:
    """A metric against a setting.

    Attributes:
        setting: dotted name of the setting.
        metric: name of `METRICS` or of `LOSSES`.
        numeric: all values are numbers; otherwise they are categories, which no line joins.
        log: the values are spaced geometrically, so the axis is logarithmic.
        lines: at least one point each; none if no run was measured.
        notes: warnings for the reader.
        better: the better direction of the metric on these data; None if neither is.
    """

    setting: str
    metric: str
    numeric: bool
    log: bool
    lines: tuple[SweepLine, ...]
    notes: tuple[str, ...]
    better: Literal["higher", "lower"] | None = None

    @property
    def values(self) -> list[tuple[Any, str]]:
        """Values of all lines with their texts, each once, in order."""
        found = {point.text: point.value for line in self.lines for point in line.points}
        return sorted(((value, text) for text, value in found.items()), key=lambda one: _sort_key(one[0]))


def swept_settings(members: Sequence[Member]) -> list[str]:
    """List the settings that differ between runs, numeric ones first.

    Seeds and the like are left out, and what recipe `images` derived from the images.
    """
    tables = _tables(members)
    hidden = {*POOLED_SETTINGS, *derived_settings(member.config for member in members)}
    keys = [key for key in _varying(tables) if key not in hidden]
    return sorted(keys, key=lambda key: not _is_numeric([table.get(key) for table in tables]))


def swept_metrics(members: Sequence[Member]) -> list[str]:
    """List the metrics and losses that were measured of any run: those with a better direction first."""
    measured = {name for one in members if one.evaluation for name in one.evaluation.metrics}
    names = [name for name in METRICS if name in measured]
    names.sort(key=lambda name: better_direction(name, measured) is None)
    return names + [name for name in reversed(LOSSES) if any(one.epochs for one in members)]


def sweep(members: Sequence[Member], setting: str = "", metric: str = "") -> Sweep:
    """Pool runs over their seeds for each value of a setting.

    Runs that differ in other settings are lines of their own. Settings that follow from the swept one make none. If a
    data set would have more than `MAX_LINES`, its lines are those of its noise schedules, or else one line.

    Args:
        members: the runs.
        setting: a dotted setting, ``seed``, ``dataset`` or ``schedule``; the only one that varies for ``auto``.
        metric: a name of `METRICS` or `LOSSES`; the first that was measured unless given.

    Raises:
        UserError: no runs, an unknown name, or a choice that is left to the user.
    """
    if not members:
        raise UserError("no runs to compare; train some with core train, or name others")
    tables = _tables(members)
    key = _setting(setting, members, tables)
    name = _metric(metric, members)
    others = [one for one in _varying(tables) if one not in (*POOLED_SETTINGS, key, "data.dataset")]
    others = [one for one in others if not _follows(one, key, tables)]
    values = [table.get(key) for table in tables]
    numeric = _is_numeric(values)
    titles = dataset_titles(member.config for member in members)
    by_dataset: dict[str, list[int]] = defaultdict(list)
    for index, member in enumerate(members):
        by_dataset["" if key == "data.dataset" else titles[member.config.data.dataset]].append(index)
    lines: list[SweepLine] = []
    notes: list[str] = []
    for dataset, indices in by_dataset.items():
        keys = _line_keys(others, [tables[index] for index in indices])
        pooled = [
            one
            for one in others
            if one not in keys and len({repr(tables[index].get(one)) for index in indices}) > 1
        ]
        if pooled:
            where = f"{dataset}: " if dataset and len(by_dataset) > 1 else ""
            notes.append(f"{where}pooled over {', '.join(pooled)} too, not only over seeds")
        lines += _lines(members, tables, indices, key, keys, name, dataset)
    missing = sum(metric_value(member, name).value is None for member in members)
    if missing:
        notes.append(f"{missing} of {len(members)} runs have no {name} yet")
    if lines and all(point.runs == 1 for line in lines for point in line.points):
        notes.append(
            "one run for each value: only several seeds show whether the setting makes the difference"
        )
    log = numeric and _is_geometric(np.array(values, dtype=np.float64))
    measured = {metric for one in members if one.evaluation for metric in one.evaluation.metrics}
    better = better_direction(name, measured)
    return Sweep(key, name, numeric, log, tuple(lines), tuple(notes), better)


def _lines(
    members: Sequence[Member],
    tables: Sequence[dict[str, Any]],
    indices: Sequence[int],
    key: str,
    keys: Sequence[str],
    metric: str,
    dataset: str,
) -> list[SweepLine]:
    """Make the lines of one data set; the variance between seeds is that of all their points."""
    files = file_titles(table.get("schedule.file") for table in tables)
    tables = [table | {"schedule.file": files.get(str(table.get("schedule.file")))} for table in tables]
    cells: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in indices:
        label = " ".join(_part(one, tables[index].get(one)) for one in keys)
        cells[label, value_text(tables[index].get(key))].append(index)
    values = [[metric_value(members[index], metric) for index in cell] for cell in cells.values()]
    share = metric in METRICS and METRICS[metric].share
    found: dict[str, list[SweepPoint]] = defaultdict(list)
    for ((label, text), cell), group, score in zip(
        cells.items(), values, pool(values, share=share), strict=True
    ):
        if score is None or score.estimate.value is None or not math.isfinite(score.estimate.value):
            continue
        measured = [index for index, one in zip(cell, group, strict=True) if one.value is not None]
        seeds = tuple(sorted({members[index].config.train.seed for index in measured}))
        found[label].append(SweepPoint(tables[cell[0]].get(key), text, score, seeds, len(measured)))
    return [
        SweepLine(label, dataset, tuple(sorted(points, key=lambda point: _sort_key(point.value))))
        for label, points in found.items()
    ]


def _setting(name: str, members: Sequence[Member], tables: Sequence[dict[str, Any]]) -> str:
    key = "" if name == "auto" else _ALIASES.get(name, name)
    if key:
        if key not in tables[0]:
            hint = did_you_mean(key, tables[0])
            expected = ", ".join(swept_settings(members)) or "a dotted setting such as train.learning_rate"
            raise UserError(f"--sweep {name}: no such setting; {hint} expected one that differs: {expected}")
        if len({repr(table.get(key)) for table in tables}) < 2:
            differing = ", ".join(swept_settings(members)) or "none does"
            raise UserError(
                f"--sweep {name}: is the same in all these runs; settings that differ: {differing}"
            )
        return key
    keys = swept_settings(members)
    numeric = [one for one in keys if _is_numeric([table.get(one) for table in tables])]
    for candidates in (numeric, keys):
        if len(candidates) == 1:
            return candidates[0]
    if not keys:
        raise UserError("these runs differ in no setting but their seed, so there is nothing to sweep")
    raise UserError(f"several settings differ, so name the one to sweep: {', '.join(keys)}")


def _metric(name: str, members: Sequence[Member]) -> str:
    known = swept_metrics(members)
    if name and name not in METRICS and name not in LOSSES:
        hint = did_you_mean(name, [*LOSSES, *METRICS])
        raise UserError(
            f"--metric {name}: no such metric; {hint} expected one of {', '.join([*LOSSES, *METRICS])}"
        )
    return name or (known[0] if known else LOSSES[-1])


def _line_keys(others: Sequence[str], tables: Sequence[dict[str, Any]]) -> list[str]:
    """Return the settings that tell lines apart, of which there are at most `MAX_LINES`."""
    schedule = [one for one in others if one.startswith("schedule.")]
    for keys in (list(others), schedule, [one for one in schedule if one == "schedule.name"]):
        varying = [one for one in keys if len({repr(table.get(one)) for table in tables}) > 1]
        if len({tuple(repr(table.get(one)) for one in varying) for table in tables}) <= MAX_LINES:
            return varying
    return []


def _part(key: str, value: Any) -> str:
    text = value_text(value)
    return text if key == "schedule.name" else f"{key.rpartition('.')[2]}={text}"


def _tables(members: Sequence[Member]) -> list[dict[str, Any]]:
    return [flat_settings(member) for member in members]


def _varying(tables: Sequence[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({repr(table.get(key)) for table in tables}) > 1]


def _follows(other: str, key: str, tables: Sequence[dict[str, Any]]) -> bool:
    """Return whether runs with the same value of `key` all have the same value of `other`."""
    seen: dict[str, str] = {}
    return all(
        seen.setdefault(repr(table.get(key)), value) == value
        for table in tables
        for value in [repr(table.get(other))]
    )


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )


def _is_geometric(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Return whether values are above 0, far apart, and more evenly spaced on a logarithmic axis than on a linear one.

    >>> _is_geometric([1, 2, 4, 8, 16]), _is_geometric([0, 1, 10, 100]), _is_geometric([10, 20, 30, 80])
    (True, False, False)
    """
    ordered = np.unique(np.asarray(values, dtype=np.float64))
    if len(ordered) < 2 or ordered[0] <= 0 or ordered[-1] / ordered[0] < _MIN_LOG_RATIO:
        return False
    gaps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    return len(ordered) == 2 or bool(ratios.std() / ratios.mean() < gaps.std() / gaps.mean())


def _sort_key(value: Any) -> tuple[int, float, list[tuple[str, float]]]:
    """Order numbers first, then texts by their words and by the numbers in them: x^2 before x^10."""
    if _is_numeric([value]):
        return 0, float(value), []
    parts = re.split(r"(\d+(?:\.\d+)?)", "" if value is None else str(value))
    numbers = [float(number) for number in parts[1::2]]
    return 1, 0.0, list(zip(parts[::2], [*numbers, 0.0], strict=True))
