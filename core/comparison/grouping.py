"""Runs of a comparison: reading them, grouping them into rows, and labelling the rows."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig, flatten
from core.errors import UserError
from core.files.sanitize import sanitize
from core.recipes.images_rule import DERIVED
from core.runs import EpochRecord, Evaluation, MetricsTail, RunInfo, read_evaluations

Losses = NDArray[np.float64]

DIMENSIONS: Final = ("dataset", "schedule", "seed")
_ALIASES: Final = {"dataset": "data.dataset", "seed": "train.seed"}
_NOT_IN_LABELS: Final = ("recipe", "data.dataset", "schedule.name")
_MAX_FILE_TITLE: Final = 20


@dataclass(frozen=True, eq=False)
class Member:
    """One run: its description, its epochs, and the evaluation that is compared.

    `read_losses` returns the numbers of the steps and their losses, float64 [n] each. They are read when they are
    needed and not kept, because those of hundreds of runs would fill the memory. `last_step` is the last of the steps.
    """

    info: RunInfo
    epochs: tuple[EpochRecord, ...]
    last_step: float
    read_losses: Callable[[], tuple[Losses, Losses]]
    evaluation: Evaluation | None

    @property
    def config(self) -> RunConfig:
        """Configuration of the run."""
        return self.info.file.config


def read_members(infos: Iterable[RunInfo]) -> tuple[list[Member], list[str]]:
    """Read the data of a comparison; `select_evaluations` selects one evaluation of each run.

    Returns:
        The runs, and messages about evaluations that could not be read.
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
        path = info.directory.metrics_file
        tail = _read_metrics(path)
        last_step = float(tail.steps[-1]) if len(tail.steps) else 0.0
        members.append(
            Member(info, tuple(tail.epochs), last_step, functools.partial(_read_losses, path), evaluation)
        )
    return members, problems


def _read_metrics(path: Path) -> MetricsTail:
    tail = MetricsTail(path)
    tail.poll()
    return tail


def _read_losses(path: Path) -> tuple[Losses, Losses]:
    tail = _read_metrics(path)
    return tail.steps, tail.losses


def select_evaluations(evaluated: Sequence[Sequence[Evaluation]]) -> list[Evaluation | None]:
    """Select one evaluation of each run, with a protocol that all evaluated runs share; None where a run has none.

    Of several shared protocols (`Evaluation.protocol`) it is the one with the most metrics, and of those the newest.
    Without a shared protocol, the newest evaluation of each run is selected.

    Args:
        evaluated: evaluations of each run, oldest first.
    """
    protocol = _shared_protocol(evaluated)
    candidates = [
        [one for one in evaluations if protocol is None or one.protocol == protocol]
        for evaluations in evaluated
    ]
    return [evaluations[-1] if evaluations else None for evaluations in candidates]


def group_members(members: Sequence[Member], by: Sequence[str]) -> list[list[Member]]:
    """Group runs that are alike in all named settings; groups are in the order of their first runs.

    Args:
        members: runs.
        by: names of `DIMENSIONS`, where ``schedule`` means all its settings, or dotted settings such as
            `model.preset`. Without names, each run is a group.

    Raises:
        UserError: an unknown name; the message lists the known names.
    """
    groups: dict[tuple[str, ...], list[Member]] = defaultdict(list)
    for index, member in enumerate(members):
        table = flat_settings(member)
        values = []
        for name in by:
            keys = _matching_keys(name, table)
            if not keys:
                raise UserError(f"--by {name}: expected one of {', '.join((*DIMENSIONS, *table))}")
            values += [repr(table[key]) for key in keys]
        groups[tuple(values) if by else (str(index),)].append(member)
    return list(groups.values())


def dataset_titles(configs: Iterable[RunConfig]) -> dict[str, str]:
    """Title of each data set: its name or the last part of its path, or all of its path if titles would clash."""
    short = {config.data.dataset: sanitize(config.data.title) for config in configs}
    return {
        name: title if list(short.values()).count(title) == 1 else sanitize(name)
        for name, title in short.items()
    }


def derived_settings(configs: Iterable[RunConfig]) -> set[str]:
    """Names of the settings that recipe `images` took from its rule in all runs; none if other recipes are among them.

    Runs do not record what the user set. But the rule gives the same to the same images, so a setting in which runs on
    the same images differ is the user's.
    """
    configs = list(configs)
    if any(config.recipe != "images" for config in configs):
        return set()
    values: dict[str, dict[str, set[str]]] = {key: defaultdict(set) for key in DERIVED}
    for config in configs:
        table = flatten(msgspec.to_builtins(config))
        for key, sources in DERIVED.items():
            origin = repr((config.data, [table.get(source) for source in sources]))
            values[key][origin].add(repr(table.get(key)))
    return {key for key, found in values.items() if all(len(one) == 1 for one in found.values())}


def file_titles(files: Iterable[str | None]) -> dict[str, str]:
    """Short title of each file of betas: its stem if these differ, else its name, its folder too, or all its path."""
    names = list(dict.fromkeys(filter(None, files)))
    paths = [Path(name) for name in names]
    for titles in (
        [_without_middle(path.stem) for path in paths],
        [path.name for path in paths],
        [f"{path.parent.name}/{path.stem}" for path in paths],
        names,
    ):
        if len(set(titles)) == len(names):
            return dict(zip(names, map(sanitize, titles), strict=True))
    return {}


def _without_middle(text: str) -> str:
    half = _MAX_FILE_TITLE // 2
    return text if len(text) <= _MAX_FILE_TITLE else f"{text[:half]}…{text[1 - half :]}"


def row_labels(groups: Sequence[Sequence[Member]], by: Sequence[str]) -> list[str]:
    """Short label of each group: its schedule, and the settings that distinguish it from others on the same data."""
    labels = [join_unique(sanitize(member.config.schedule.name) for member in group) for group in groups]
    datasets = [join_unique(member.config.data.dataset for member in group) for group in groups]
    tables = [settings_table(group) for group in groups]
    hidden = set(_NOT_IN_LABELS)
    if not by:
        hidden |= derived_settings(member.config for group in groups for member in group)
    files = file_titles(member.config.schedule.file for group in groups for member in group)
    for group, table in zip(groups, tables, strict=True):
        names = [member.config.schedule.file for member in group]
        table["schedule.file"] = join_unique(files[name] if name else value_text(name) for name in names)
    for clash in _duplicate_labels(labels, datasets):
        table = tables[clash[0]]
        keys = [key for name in by for key in _matching_keys(name, table)] or list(table)
        for key in sorted(keys, key=lambda key: key != "train.seed"):
            if key in hidden:
                continue
            longer = [
                " ".join(filter(None, (labels[index], _label_part(key, tables[index][key]))))
                for index in clash
            ]
            if len(set(longer)) > len({labels[index] for index in clash}):
                for index, label in zip(clash, longer, strict=True):
                    labels[index] = label
    for clash in _duplicate_labels(labels, datasets):  # runs with the same settings: only the id differs
        for index in clash:
            labels[index] += f" {groups[index][0].info.id[-4:]}"
    for clash in _duplicate_labels(labels, datasets):
        for number, index in enumerate(clash, start=1):
            labels[index] += f" ({number})"
    return labels


def settings_table(members: Sequence[Member]) -> dict[str, str]:
    """Settings of several runs as text, by their dotted names; where runs differ, all their values."""
    tables = [flat_settings(member) for member in members]
    return {key: join_unique(value_text(table[key]) for table in tables) for key in tables[0]}


def join_unique(texts: Iterable[str]) -> str:
    """Join texts by commas, each once."""
    return ", ".join(dict.fromkeys(texts))


def _matching_keys(name: str, table: Mapping[str, Any]) -> list[str]:
    """List the settings that a name of `group_members` stands for."""
    name = _ALIASES.get(name, name)
    return [key for key in table if key == name or (name == "schedule" and key.startswith("schedule."))]


def _duplicate_labels(labels: Sequence[str], datasets: Sequence[str]) -> list[list[int]]:
    """List the indices of groups on the same data that share a label, for each such label."""
    indices: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, name in enumerate(zip(datasets, labels, strict=True)):
        indices[name].append(index)
    return [clash for clash in indices.values() if len(clash) > 1]


def _label_part(key: str, value: str) -> str:
    if key == "train.seed":
        return f"s{value}"
    if key == "schedule.file":
        return value
    if key == "schedule.zero_terminal_snr":
        return "zero-SNR" if value == "true" else ""
    return f"{key.rpartition('.')[2]}={value}"


def flat_settings(member: Member) -> dict[str, Any]:
    """Settings of a run by their dotted names."""
    return flatten(msgspec.to_builtins(member.config.resolved()))


def value_text(value: Any) -> str:
    """A setting's value as text."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return sanitize(f"{value:g}" if isinstance(value, float) else str(value))


def _shared_protocol(evaluated: Sequence[Sequence[Evaluation]]) -> tuple[object, ...] | None:
    nonempty = [evaluations for evaluations in evaluated if evaluations]
    protocols = [{one.protocol for one in evaluations} for evaluations in nonempty]
    shared = set.intersection(*protocols) if protocols else set()

    def rank(protocol: tuple[object, ...]) -> tuple[int, str]:
        matching = [one for evaluations in nonempty for one in evaluations if one.protocol == protocol]
        return sum(len(one.metrics) for one in matching), max(one.created for one in matching)

    return max(shared, key=rank, default=None)
