"""Comparison of runs: their metrics, alone or pooled over seeds, and which differences are more than noise.

Torch-free, because it reads the evaluations that `core evaluate` keeps with the runs.
"""

import functools
from collections import defaultdict
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.comparison.grouping import (
    Member,
    dataset_titles,
    group_members,
    join_unique,
    row_labels,
    settings_table,
)
from core.comparison.pairs import ALPHA as ALPHA
from core.comparison.pairs import PairwiseDifferences
from core.comparison.pooling import Score, differences, pool
from core.comparison.trained_further import is_before
from core.config import RunConfig, ScheduleConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import METRICS, Evaluation
from core.runs.metric_definitions import GROUPS, better_direction
from core.schedules import make_schedule
from core.statistics.estimate import Estimate

LOSSES: Final = ("loss", "heldout")
"""The last epoch's losses, of training and of held-out images.

They are shown but decide no winner, because each schedule has its own distribution of noise and so its own least loss.
"""
SAME_SCHEDULE_METRICS: Final = GROUPS["reconstruction"]
"""Metrics that are compared within one schedule only.

Reconstruction noises held-out images to T/2. That is a different noise level under each schedule, and the schedule that
has added the least noise scores best whatever its samples look like.
"""
POOLED_SETTINGS: Final = ("recipe", "train.seed", "train.checkpoint_seconds", "train.compile", "sample.seed")
"""Settings in which pooled runs may differ without a note."""


@dataclass(frozen=True)
class TerminalSignal:
    """Signal of the image that a schedule leaves at its last step; `prior_bits` is L_T in bits a dimension."""

    alpha_bar: float
    snr: float
    prior_bits: float


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One run, or several pooled runs.

    Attributes:
        label: short name, unique among the rows on the same data.
        dataset: data set of all members, or several joined by commas.
        schedule: name of the schedule, likewise.
        seeds: training seeds, lowest first.
        members: the runs.
        scores: by the names of `METRICS` and of `LOSSES`; without those that were not measured.
        terminal: of the first member's schedule; None where the schedule cannot be made.
    """

    label: str
    dataset: str
    schedule: str
    seeds: tuple[int, ...]
    members: tuple[Member, ...]
    scores: dict[str, Score]
    terminal: TerminalSignal | None

    @property
    def evaluations(self) -> list[Evaluation]:
        """Evaluations of the members that have one."""
        return [member.evaluation for member in self.members if member.evaluation is not None]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of a comparison.

    Attributes:
        rows: the rows, best first if they were sorted.
        pairs: tests of all pairs of rows that can be compared.
        differences: settings in which rows differ, each with its value in every row.
        notes: warnings for the reader of the rows.
    """

    rows: tuple[ComparisonRow, ...]
    pairs: PairwiseDifferences
    differences: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets of the rows, each once."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows))

    @property
    def same_protocol(self) -> bool:
        """True if all evaluations share a protocol; rows with different protocols are not compared."""
        return len(_protocols(self.rows)) < 2

    def rows_for(self, dataset: str) -> list[ComparisonRow]:
        """Select the rows on one data set; only they can be compared."""
        return [row for row in self.rows if row.dataset == dataset]

    def real_metrics(self, dataset: str) -> dict[str, Estimate]:
        """Return the metrics of training images evaluated as if they were samples; empty if there are none."""
        metrics: dict[str, Estimate] = {}
        for row in self.rows_for(dataset):
            for evaluation in row.evaluations:
                metrics = evaluation.real | metrics
        return metrics

    def is_comparable(self, dataset: str, metric: str) -> bool:
        """Return whether the metric can be compared between all rows on these data; see `SAME_SCHEDULE_METRICS`."""
        return metric not in SAME_SCHEDULE_METRICS or len(_schedules(self.rows_for(dataset))) < 2

    def better(self, dataset: str, metric: str) -> Literal["higher", "lower"] | None:
        """Return the better direction of a metric on these data; see `better_direction`."""
        return better_direction(metric, {name for row in self.rows_for(dataset) for name in row.scores})

    def best(self, dataset: str, metric: str) -> list[str]:
        """List the labels of the best row and of all rows that are not significantly worse, best first.

        Empty if neither direction is better, if fewer than two rows have a value, if they are not `is_comparable`, or
        if no row is significantly worse. A single label is the winner.
        """
        better = self.better(dataset, metric)
        rows = [row for row in self.rows_for(dataset) if metric in row.scores]
        if better is None or len(rows) < 2 or not self.is_comparable(dataset, metric):
            return []
        rows.sort(key=lambda row: _rank_key(row, metric))
        significantly_worse = self.pairs.significantly_worse(dataset, metric, rows[0].label)
        if not significantly_worse:
            return []
        return [row.label for row in rows if row.label not in significantly_worse]


def compare(members: Sequence[Member], *, by: Sequence[str] = (), sort: str = "") -> Comparison:
    """Compare runs.

    Args:
        members: the runs, as `read_members` returns them.
        by: names of `DIMENSIONS` or dotted settings such as `model.preset`; runs alike in all of them form one row.
            Without names, each run is a row.
        sort: a name of `METRICS` or `LOSSES`, to sort best first within each data set. Empty keeps the runs' order.

    Raises:
        UserError: no runs, or an unknown name; the message lists the known names.
    """
    if not members:
        raise UserError("no runs to compare; train some with core train, or name others")
    if sort and sort not in METRICS and sort not in LOSSES:
        raise UserError(f"--sort {sort}: expected one of {', '.join([*LOSSES, *METRICS])}")
    groups = group_members(members, by)
    titles = dataset_titles(member.config for member in members)
    rows = [
        ComparisonRow(
            label=label,
            dataset=join_unique(titles[member.config.data.dataset] for member in group),
            schedule=join_unique(sanitize(member.config.schedule.name) for member in group),
            seeds=tuple(sorted({member.config.train.seed for member in group})),
            members=tuple(group),
            scores=scores,
            terminal=_terminal(group[0].config),
        )
        for group, scores, label in zip(groups, _score(groups), row_labels(groups, by), strict=True)
    ]
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    if sort:
        rows.sort(key=lambda row: _rank_key(row, sort))
    rows.sort(key=lambda row: datasets.index(row.dataset))
    return Comparison(tuple(rows), _pairs(rows), _differences(rows), tuple(_notes(rows, bool(by))))


def _score(groups: Sequence[Sequence[Member]]) -> list[dict[str, Score]]:
    """Score each group; variances between seeds are pooled over the groups on the same data."""
    scores: list[dict[str, Score]] = [{} for _ in groups]
    by_dataset: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        by_dataset[join_unique(member.config.data.dataset for member in group)].append(index)
    for indices in by_dataset.values():
        for metric in (*LOSSES, *METRICS):
            values = [[metric_value(member, metric) for member in groups[index]] for index in indices]
            share = metric in METRICS and METRICS[metric].share
            for index, score in zip(indices, pool(values, share=share), strict=True):
                if score is not None:
                    scores[index][metric] = score
    return scores


def metric_value(member: Member, metric: str) -> Estimate:
    """A run's value of one of `METRICS` or `LOSSES`; without a value where it was not measured."""
    if metric in LOSSES:
        last = member.epochs[-1] if member.epochs else None
        return Estimate((last.mean if metric == "loss" else last.heldout) if last else None)
    estimate = member.evaluation.metrics.get(metric) if member.evaluation else None
    return estimate or Estimate(None)


def _rank_key(row: ComparisonRow, metric: str) -> tuple[bool, float]:
    """Sort key: the best first, and rows without a value last."""
    score = row.scores.get(metric)
    if score is None or score.estimate.value is None:
        return True, 0.0
    higher = metric in METRICS and METRICS[metric].better == "higher"
    return False, -score.estimate.value if higher else score.estimate.value


def _pairs(rows: Sequence[ComparisonRow]) -> PairwiseDifferences:
    datasets = _numbers([{row.dataset} for row in rows])
    protocols = _numbers([_protocols([row]) for row in rows])
    schedules = _numbers([_schedules([row]) for row in rows])
    indices, values = [np.empty((0, 3), np.uint32)], [np.empty((0, 4))]
    measured_on: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        measured_on[row.dataset].update(row.scores)
    for number, (metric, definition) in enumerate(METRICS.items()):
        if definition.better is None:
            continue
        directed = {name for name, found in measured_on.items() if better_direction(metric, found)}
        measured = [
            index for index, row in enumerate(rows) if metric in row.scores and row.dataset in directed
        ]
        ranked = sorted(measured, key=lambda index: _rank_key(rows[index], metric))
        scores, order = [rows[index].scores[metric] for index in ranked], np.array(ranked, np.uint32)
        better, worse = _combinations(len(ranked))
        alike = [datasets, protocols, *([schedules] if metric in SAME_SCHEDULE_METRICS else [])]
        is_tested = np.logical_and.reduce([_agree(one[order])[better, worse] for one in alike])
        better, worse = better[is_tested], worse[is_tested]
        found = differences(scores, better, worse)
        known = ~np.isnan(found[:, 3])
        pairs = [order[better[known]], order[worse[known]]]
        indices.append(np.stack([np.full_like(pairs[0], number), *pairs], axis=1))
        values.append(found[known])
    labels = [(row.dataset, row.label) for row in rows]
    return PairwiseDifferences(labels, list(METRICS), np.concatenate(indices), np.concatenate(values))


def _numbers(sets: Sequence[Set[Hashable]]) -> NDArray[np.intp]:
    """Number the only element of each set, from 0; -1 for an empty set, and -2 for one of several elements."""
    known: dict[Hashable, int] = {}
    return np.array(
        [
            known.setdefault(next(iter(one)), len(known)) if len(one) == 1 else -2 if one else -1
            for one in sets
        ],
        np.intp,
    )


def _agree(numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which two of N sets, numbered by `_numbers`, have no two different elements together: [N, N]."""
    one, other = numbers[:, None], numbers[None, :]
    agree: NDArray[np.bool_] = (one > -2) & (other > -2) & ((one == other) | (one == -1) | (other == -1))
    return agree


@functools.lru_cache(maxsize=1)
def _combinations(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the two indices of each pair, in the order of `itertools.combinations`; those of all metrics are alike."""
    return np.triu_indices(count, 1)


def _protocols(rows: Sequence[ComparisonRow]) -> set[tuple[object, ...]]:
    return {evaluation.protocol for row in rows for evaluation in row.evaluations}


def _schedules(rows: Sequence[ComparisonRow]) -> set[ScheduleConfig]:
    return {member.config.schedule for row in rows for member in row.members}


def _differences(rows: Sequence[ComparisonRow]) -> dict[str, tuple[str, ...]]:
    tables = [settings_table(row.members) for row in rows]
    keys = dict.fromkeys(key for table in tables for key in table)
    by_key = {key: tuple(table.get(key, "–") for table in tables) for key in keys}
    return {key: values for key, values in by_key.items() if len(set(values)) > 1}


def _terminal(config: RunConfig) -> TerminalSignal | None:
    try:
        schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    except UserError:  # a custom file that no longer exists
        return None
    return TerminalSignal(schedule.terminal_alpha_bar, schedule.terminal_snr, schedule.prior_bits_per_dim())


def _notes(rows: Sequence[ComparisonRow], pooled: bool) -> list[str]:
    notes = []
    if len(_protocols(rows)) > 1:
        notes.append(
            "not all runs were evaluated alike (samples, how they are drawn or held-out images differ), and no run "
            "wins over one evaluated otherwise; core evaluate with the same options makes them comparable"
        )
    infos = [member.info for row in rows for member in row.members if member.evaluation is None]
    if infos:
        missing = [info.id for info in infos]
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        groups = " ".join(dict.fromkeys(info.file.group or info.id for info in infos))
        arguments = missing[0] if len(missing) == 1 else f"{groups} --new"
        notes.append(f"not evaluated yet: {some}; core evaluate {arguments}")
    stale = [
        f"{member.info.id} at epoch {member.evaluation.epoch}"
        for row in rows
        for member in row.members
        if member.evaluation is not None and member.epochs and is_before(member.evaluation, member.epochs[-1])
    ]
    if stale:
        notes.append(f"trained further since they were evaluated: {', '.join(stale)}")
    for row in rows:
        first = settings_table(row.members[:1])
        mixed = [
            key
            for key, value in settings_table(row.members).items()
            if value != first[key] and key not in POOLED_SETTINGS
        ]
        if mixed:
            notes.append(f"{row.label}: its runs differ in {', '.join(mixed)}, not only in their seed")
    if any(row.evaluations for row in rows) and all(len(row.evaluations) <= 1 for row in rows):
        notes.append(
            "each column is one training: differences are between these networks; only several seeds "
            "show whether the settings cause them" + ("" if pooled else " (--by dataset,schedule pools them)")
        )
    return notes
