"""Runs side by side: their numbers, alone or pooled over seeds, and which differences are more than noise.

Torch-free: it reads what `core evaluate` has kept with the runs.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from core.comparison.grouping import (
    Member,
    dataset_titles,
    group_members,
    join_unique,
    row_labels,
    settings_table,
)
from core.comparison.pooling import Score, difference, holm, pool
from core.config import RunConfig, ScheduleConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import METRICS, Evaluation
from core.runs.results import GROUPS
from core.schedules import make_schedule
from core.statistics.estimate import Estimate

ALPHA: Final = 0.05
"""The chance that any of a comparison's claims is wrong."""
LOSSES: Final = ("loss", "heldout")
"""The last epoch's losses, of training and of held-out pictures. They are shown, and nobody wins by them: each schedule
has its own distribution of noise, and its own least loss."""
SAME_SCHEDULE_METRICS: Final = GROUPS["reconstruction"]
"""Held-out pictures are noised to half of T, which is another noise under each schedule: the one that adds the least by
then brings them back best, however it samples."""
_POOLED_SETTINGS: Final = ("recipe", "train.seed", "train.checkpoint_seconds", "train.compile", "sample.seed")
"""Settings in which runs may differ that are pooled, without a word."""


@dataclass(frozen=True)
class TerminalSignal:
    """What a schedule leaves of the picture at its last step; L_T in bits a dimension."""

    alpha_bar: float
    snr: float
    prior_bits: float


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One run, or several that are taken together.

    Attributes:
        label: short, and another than those of all rows of the same data.
        dataset: of all its members, or several joined by a comma; likewise `schedule`.
        schedule: its name.
        seeds: of the trainings, lowest first.
        members: the runs.
        scores: by the names of `METRICS` and of `LOSSES`; what nobody measured is missing.
        terminal: of the first member's schedule; None where it cannot be made.
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
        """The judgements of those members that have one."""
        return [member.evaluation for member in self.members if member.evaluation is not None]


@dataclass(frozen=True)
class PairwiseDifference:
    """Two rows of the same data, and whether the better one is better by more than noise.

    `difference` is better minus worse; `p` is for this pair alone, `adjusted` for there being so many.
    """

    dataset: str
    metric: str
    better: str
    worse: str
    difference: Estimate
    p: float
    adjusted: float

    @property
    def is_significant(self) -> bool:
        """Whether it may be believed; with all others that may, at a chance of `ALPHA` that any is wrong."""
        return self.adjusted < ALPHA


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows, best first where they were sorted; `notes` say what a reader must know before believing them.

    `differences` has the settings in which rows differ, each with its value in every row.
    """

    rows: tuple[ComparisonRow, ...]
    pairs: tuple[PairwiseDifference, ...]
    differences: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Those of the rows, each once."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows))

    @property
    def same_protocol(self) -> bool:
        """Whether all judgements were made in one way; nobody wins over a run that was judged in another."""
        return len(_protocols(self.rows)) < 2

    def rows_for(self, dataset: str) -> list[ComparisonRow]:
        """The rows on one data set: only they can be compared."""
        return [row for row in self.rows if row.dataset == dataset]

    def real_metrics(self, dataset: str) -> dict[str, Estimate]:
        """What training pictures scored that were judged as if they were samples; empty where nobody did."""
        found: dict[str, Estimate] = {}
        for row in self.rows_for(dataset):
            for evaluation in row.evaluations:
                found = evaluation.real | found
        return found

    def is_comparable(self, dataset: str, metric: str) -> bool:
        """Whether all rows on these data were asked the same question; see `OF_ONE_SCHEDULE`."""
        return metric not in SAME_SCHEDULE_METRICS or len(_schedules(self.rows_for(dataset))) < 2

    def best(self, dataset: str, metric: str) -> list[str]:
        """The labels of the best row and of all that are not clearly worse, the best first.

        Empty where neither direction is better, where fewer than two rows have a value or they are not `comparable`,
        and where nobody is clearly worse. One label alone is a winner.
        """
        better = METRICS[metric].better if metric in METRICS else None
        rows = [row for row in self.rows_for(dataset) if metric in row.scores]
        if better is None or len(rows) < 2 or not self.is_comparable(dataset, metric):
            return []
        rows.sort(key=lambda row: _rank_key(row, metric))
        beaten = {
            pair.worse
            for pair in self.pairs
            if (pair.dataset, pair.metric, pair.better) == (dataset, metric, rows[0].label)
            and pair.is_significant
        }
        return [row.label for row in rows if row.label not in beaten] if beaten else []


def compare(members: Sequence[Member], *, by: Sequence[str] = (), sort: str = "") -> Comparison:
    """Put runs side by side.

    Args:
        members: what `gather` read.
        by: names of `DIMENSIONS` or dotted settings such as `model.preset`: runs alike in all of them are one row.
            None gives each run its own.
        sort: a name of `METRICS` or `LOSSES`: best first, data set by data set. Empty keeps the runs' order.

    Raises:
        UserError: nothing to compare, or an unknown name; the message has those that are known.
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
    return Comparison(tuple(rows), tuple(_pairs(rows)), _differences(rows), tuple(_notes(rows, bool(by))))


def _score(groups: Sequence[Sequence[Member]]) -> list[dict[str, Score]]:
    """The scores of each group; variances between seeds are pooled over the groups on the same data."""
    scores: list[dict[str, Score]] = [{} for _ in groups]
    alike: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        alike[join_unique(member.config.data.dataset for member in group)].append(place)
    for places in alike.values():
        for metric in (*LOSSES, *METRICS):
            values = [[_value(member, metric) for member in groups[place]] for place in places]
            share = metric in METRICS and METRICS[metric].share
            for place, score in zip(places, pool(values, share=share), strict=True):
                if score is not None:
                    scores[place][metric] = score
    return scores


def _value(member: Member, metric: str) -> Estimate:
    if metric in LOSSES:
        last = member.epochs[-1] if member.epochs else None
        return Estimate((last.mean if metric == "loss" else last.heldout) if last else None)
    found = member.evaluation.metrics.get(metric) if member.evaluation else None
    return found or Estimate(None)


def _rank_key(row: ComparisonRow, metric: str) -> tuple[bool, float]:
    """Sorts the best first, and those without a value last."""
    score = row.scores.get(metric)
    if score is None or score.estimate.value is None:
        return True, 0.0
    higher = metric in METRICS and METRICS[metric].better == "higher"
    return False, -score.estimate.value if higher else score.estimate.value


def _pairs(rows: Sequence[ComparisonRow]) -> list[PairwiseDifference]:
    found = []
    for metric, meaning in METRICS.items():
        if meaning.better is None:
            continue
        ranked = sorted((row for row in rows if metric in row.scores), key=lambda row: _rank_key(row, metric))
        for place, better in enumerate(ranked):
            for worse in ranked[place + 1 :]:
                if better.dataset != worse.dataset or len(_protocols([better, worse])) > 1:
                    continue
                if metric in SAME_SCHEDULE_METRICS and len(_schedules([better, worse])) > 1:
                    continue
                delta = difference(better.scores[metric], worse.scores[metric])
                if delta is not None:
                    names = (better.dataset, metric, better.label, worse.label)
                    found.append(PairwiseDifference(*names, delta.estimate, delta.p, 1.0))
    adjusted = holm([pair.p for pair in found])
    return [
        PairwiseDifference(pair.dataset, pair.metric, pair.better, pair.worse, pair.difference, pair.p, value)
        for pair, value in zip(found, adjusted, strict=True)
    ]


def _protocols(rows: Sequence[ComparisonRow]) -> set[tuple[object, ...]]:
    return {one.protocol for row in rows for one in row.evaluations}


def _schedules(rows: Sequence[ComparisonRow]) -> set[ScheduleConfig]:
    return {member.config.schedule for row in rows for member in row.members}


def _differences(rows: Sequence[ComparisonRow]) -> dict[str, tuple[str, ...]]:
    tables = [settings_table(row.members) for row in rows]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = {key: tuple(table.get(key, "–") for table in tables) for key in keys}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def _terminal(config: RunConfig) -> TerminalSignal | None:
    try:
        schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    except UserError:  # a custom file that is gone
        return None
    return TerminalSignal(schedule.terminal_alpha_bar, schedule.terminal_snr, schedule.prior_bits_per_dim())


def _notes(rows: Sequence[ComparisonRow], pooled: bool) -> list[str]:
    notes = []
    if len(_protocols(rows)) > 1:
        notes.append(
            "not all runs were judged alike (samples, the way they are drawn or held-out pictures differ), and nobody "
            "wins over a run that was judged otherwise; core evaluate with the same options makes them comparable"
        )
    missing = [member.info.id for row in rows for member in row.members if member.evaluation is None]
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        notes.append(f"not judged yet: {some}; core evaluate {missing[0]}")
    stale = [
        f"{member.info.id} at epoch {member.evaluation.epoch}"
        for row in rows
        for member in row.members
        if member.evaluation is not None
        and member.epochs
        and member.evaluation.epoch < member.epochs[-1].epoch
    ]
    if stale:
        notes.append(f"trained further since they were judged: {', '.join(stale)}")
    for row in rows:
        first = settings_table(row.members[:1])
        mixed = [
            key
            for key, value in settings_table(row.members).items()
            if value != first[key] and key not in _POOLED_SETTINGS
        ]
        if mixed:
            notes.append(f"{row.label}: its runs differ in {', '.join(mixed)}, and not in their seed only")
    if any(row.evaluations for row in rows) and all(len(row.evaluations) <= 1 for row in rows):
        notes.append(
            "each column is one training: differences are between these networks; whether the settings cause them, "
            "several seeds tell" + ("" if pooled else " (--by dataset,schedule takes them together)")
        )
    return notes
