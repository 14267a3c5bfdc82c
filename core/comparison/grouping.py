"""The runs of a comparison: what is read of them, which of them are one row, and what a row is called."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig, flatten
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import EpochRecord, Evaluation, MetricsTail, RunInfo, read_evaluations

DIMENSIONS: Final = ("dataset", "schedule", "seed")
_ALIASES: Final = {"dataset": "data.dataset", "seed": "train.seed"}
_NOT_IN_LABELS: Final = ("recipe", "data.dataset", "schedule.name")


@dataclass(frozen=True, eq=False)
class Member:
    """One run: what it says of itself, its epochs, the losses of its steps, and the judgement that is compared."""

    info: RunInfo
    epochs: tuple[EpochRecord, ...]
    steps: NDArray[np.float64]
    losses: NDArray[np.float64]
    evaluation: Evaluation | None

    @property
    def config(self) -> RunConfig:
        """What it was asked to train."""
        return self.info.file.config


def read_members(infos: Iterable[RunInfo]) -> tuple[list[Member], list[str]]:
    """Read what a comparison needs of the runs.

    Of a run's judgements one is taken: see `fitting_hints`.

    Returns:
        The runs, and what could not be read.
    """
    infos, problems = list(infos), []
    evaluated: list[list[Evaluation]] = []
    for info in infos:
        try:
            evaluated.append(read_evaluations(info.directory))
        except UserError as error:
            evaluated.append([])
            problems.append(sanitize(str(error)))
    members = []
    for info, evaluation in zip(infos, select_evaluations(evaluated), strict=True):
        tail = MetricsTail(info.directory.metrics_file)
        tail.poll()
        members.append(Member(info, tuple(tail.epochs), tail.steps, tail.losses, evaluation))
    return members, problems


def select_evaluations(evaluated: Sequence[Sequence[Evaluation]]) -> list[Evaluation | None]:
    """One judgement of each run, so that runs can be compared; None where a run has none.

    That is taken whose protocol (`Evaluation.protocol`) all judged runs share; where there are several, the one that
    measured most, and the newest of those. Where they share none, each run's newest is taken.

    Args:
        judged: of each run, the oldest first.
    """
    protocol = _shared_protocol(evaluated)
    fit = [[one for one in found if protocol is None or one.protocol == protocol] for found in evaluated]
    return [found[-1] if found else None for found in fit]


def group_members(members: Sequence[Member], by: Sequence[str]) -> list[list[Member]]:
    """Those that are alike in all that is named, together, in the order of the first of each.

    Args:
        members: runs.
        by: names of `DIMENSIONS`, where the schedule is all its settings, or dotted settings such as `model.preset`.
            None leaves each run by itself.

    Raises:
        UserError: an unknown name; the message has those that are known.
    """
    groups: dict[tuple[str, ...], list[Member]] = defaultdict(list)
    for place, member in enumerate(members):
        table = _flat_settings(member)
        key = []
        for name in by:
            chosen = _matching_keys(name, table)
            if not chosen:
                raise UserError(f"--by {name}: expected one of {', '.join((*DIMENSIONS, *table))}")
            key += [repr(table[key]) for key in chosen]
        groups[tuple(key) if by else (str(place),)].append(member)
    return list(groups.values())


def dataset_titles(configs: Iterable[RunConfig]) -> dict[str, str]:
    """What to call each data set: its name or the last part of its path, unless another one has that too."""
    short = {config.data.dataset: sanitize(config.data.title) for config in configs}
    return {
        name: title if list(short.values()).count(title) == 1 else sanitize(name)
        for name, title in short.items()
    }


def row_labels(groups: Sequence[Sequence[Member]], by: Sequence[str]) -> list[str]:
    """A short name for each group: its schedule, and what else tells it from others on the same data."""
    labels = [join_unique(sanitize(member.config.schedule.name) for member in group) for group in groups]
    datasets = [join_unique(member.config.data.dataset for member in group) for group in groups]
    tables = [settings_table(group) for group in groups]
    for clash in _duplicate_labels(labels, datasets):
        names = [key for name in by for key in _matching_keys(name, tables[clash[0]])] or list(
            tables[clash[0]]
        )
        for key in sorted(names, key=lambda key: key != "train.seed"):
            if key in _NOT_IN_LABELS:
                continue
            longer = [
                " ".join(filter(None, (labels[place], _label_part(key, tables[place][key]))))
                for place in clash
            ]
            if len(set(longer)) > len({labels[place] for place in clash}):
                for place, label in zip(clash, longer, strict=True):
                    labels[place] = label
    for clash in _duplicate_labels(labels, datasets):  # runs of one kind: the end of the id is what is left
        for place in clash:
            labels[place] += f" {groups[place][0].info.id[-4:]}"
    for clash in _duplicate_labels(labels, datasets):
        for number, place in enumerate(clash, start=1):
            labels[place] += f" ({number})"
    return labels


def settings_table(members: Sequence[Member]) -> dict[str, str]:
    """The settings of several runs as text, by their dotted names; where runs differ, all their values."""
    tables = [_flat_settings(member) for member in members]
    return {key: join_unique(_value_text(table[key]) for table in tables) for key in tables[0]}


def join_unique(texts: Iterable[str]) -> str:
    """Texts apart by commas, each once."""
    return ", ".join(dict.fromkeys(texts))


def _matching_keys(name: str, table: Mapping[str, Any]) -> list[str]:
    """The settings that a name of `group_members` stands for."""
    name = _ALIASES.get(name, name)
    return [key for key in table if key == name or (name == "schedule" and key.startswith("schedule."))]


def _duplicate_labels(labels: Sequence[str], datasets: Sequence[str]) -> list[list[int]]:
    """Places of labels that several groups on the same data have."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, name in enumerate(zip(datasets, labels, strict=True)):
        places[name].append(place)
    return [clash for clash in places.values() if len(clash) > 1]


def _label_part(key: str, value: str) -> str:
    if key == "train.seed":
        return f"s{value}"
    if key == "schedule.zero_terminal_snr":
        return "zero-SNR" if value == "true" else ""
    return f"{key.rpartition('.')[2]}={value}"


def _flat_settings(member: Member) -> dict[str, Any]:
    return flatten(msgspec.to_builtins(member.config.resolved()))


def _value_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return sanitize(f"{value:g}" if isinstance(value, float) else str(value))


def _shared_protocol(evaluated: Sequence[Sequence[Evaluation]]) -> tuple[object, ...] | None:
    found = [evaluations for evaluations in evaluated if evaluations]
    protocols = [{one.protocol for one in evaluations} for evaluations in found]
    shared = set.intersection(*protocols) if protocols else set()

    def rank(protocol: tuple[object, ...]) -> tuple[int, str]:
        chosen = [one for evaluations in found for one in evaluations if one.protocol == protocol]
        return sum(len(one.metrics) for one in chosen), max(one.created for one in chosen)

    return max(shared, key=rank, default=None)
