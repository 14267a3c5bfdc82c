"""The data of all figures: runs, read once and grouped so that those of a series differ only in their seed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from core.comparison.grouping import Member, dataset_titles, derived_settings, file_titles, read_members
from core.config import RunConfig, ScheduleConfig, flatten
from core.errors import UserError
from core.figures.style import SeriesStyle, printable_line, schedule_style
from core.files.sanitize import sanitize
from core.runs import Evaluation, RunInfo
from core.schedules import ALL_NAMES, Schedule, make_schedule, parse_power

MAX_SERIES: Final = 24
"""Limit of labels, because a figure cannot tell more of them apart."""
DATASET_ORDER: Final = ("low", "high", "array")
"""Data sets in the thesis's order."""

_DEFAULTS: Final = flatten(msgspec.to_builtins(RunConfig()))
_IGNORED_SETTINGS: Final = frozenset(
    {
        *(
            "recipe",
            "data.dataset",
            "data.heldout",
            "schedule.name",
            "train.seed",
            "train.checkpoint_seconds",
        ),
        *("train.compile", "sample.every", "sample.count", "sample.seed", "sample.reverse_every"),
        *("sample.reverse_count", "sample.reverse_states"),
    }
)
"""Settings that do not distinguish one kind of run from another."""


class CannotDrawError(Exception):
    """A figure is left out because the runs lack its data; the message names what is missing."""


@dataclass(frozen=True, eq=False)
class Series:
    """Runs on the same data that differ only in their seed, lowest seed first.

    `title` is the name of the data in a figure. `label` is the schedule's name, with the settings that distinguish the
    series from others of that schedule.
    """

    dataset: str
    title: str
    label: str
    style: SeriesStyle
    members: tuple[Member, ...]

    @property
    def first(self) -> Member:
        """The run whose images are shown."""
        return self.members[0]

    @property
    def evaluated(self) -> list[tuple[Member, Evaluation]]:
        """The evaluated members with their evaluations."""
        return [(member, member.evaluation) for member in self.members if member.evaluation is not None]


@dataclass(frozen=True, eq=False)
class FigureData:
    """All series, by data set in the thesis's order and then by schedule; `problems` lists unreadable files."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The data sets as the runs name them."""
        return tuple(dict.fromkeys(series.dataset for series in self.series))

    @cached_property
    def titles(self) -> dict[str, str]:
        """The name of each data set in a figure."""
        return {series.dataset: series.title for series in self.series}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of all series, each once, in the order of their schedules."""
        ranked = {series.label: _schedule_rank(series.first.config.schedule.name) for series in self.series}
        return tuple(sorted(ranked, key=lambda label: (ranked[label], len(label), label)))

    @cached_property
    def styles(self) -> dict[str, SeriesStyle]:
        """The style of each label, in the order of `labels`."""
        found = {series.label: series.style for series in self.series}
        return {label: found[label] for label in self.labels}

    @property
    def members(self) -> list[Member]:
        """All runs."""
        return [member for series in self.series for member in series.members]

    def find(self, dataset: str, label: str) -> Series | None:
        """Return the series of this data set and label, if there is one."""
        for series in self.series:
            if (series.dataset, series.label) == (dataset, label):
                return series
        return None

    def on(self, dataset: str) -> list[Series]:
        """Return the series trained on this data set."""
        return [series for series in self.series if series.dataset == dataset]


def load_figure_data(infos: Iterable[RunInfo]) -> FigureData:
    """Read everything that figures need of the runs except their images.

    Raises:
        UserError: there are no runs, or more kinds of them than `MAX_SERIES`.
    """
    members, problems = read_members(infos)
    if not members:
        raise UserError("no runs to draw; train some with core train, or name others")
    derived = derived_settings(member.config for member in members)
    labels = _labels_by_kind([member.config for member in members], derived)
    named = dataset_titles(member.config for member in members)
    titles = {name: printable_line(title) for name, title in named.items()}
    series: list[Series] = []
    for dataset in sorted({member.config.data.dataset for member in members}, key=_dataset_rank):
        for label, style in labels.values():
            alike = [
                member
                for member in members
                if member.config.data.dataset == dataset
                and labels[_kind_key(member.config, derived)][0] == label
            ]
            alike.sort(key=lambda member: (member.config.train.seed, member.info.id))
            if alike:
                series.append(Series(dataset, titles[dataset], label, style, tuple(alike)))
    data = FigureData(tuple(series), tuple(problems))
    if (count := len(data.labels)) > MAX_SERIES:
        raise UserError(
            f"these runs are of {count} kinds, and a figure tells at most {MAX_SERIES} apart; name fewer runs"
        )
    return data


def distinct_schedules(configs: Iterable[ScheduleConfig]) -> list[tuple[str, SeriesStyle, Schedule]]:
    """Return each schedule once with a distinct label and a style; schedules that cannot be made are left out."""
    distinct = sorted(set(configs), key=lambda config: _schedule_rank(config.name))
    found = []
    for name in dict.fromkeys(config.name for config in distinct):
        alike = [config for config in distinct if config.name == name]
        labels = _labels(name, [flatten({"schedule": msgspec.to_builtins(config)}) for config in alike])
        for variant, (label, config) in enumerate(
            sorted(zip(labels, alike, strict=True), key=_short_label_first)
        ):
            try:
                schedule = make_schedule(**msgspec.structs.asdict(config))
            except UserError:  # the file of a custom schedule no longer exists
                continue
            found.append((label, schedule_style(name, variant), schedule))
    return found


def seed_count_text(series: Sequence[Series]) -> str:
    """State the number of seeds per series, for a caption.

    >>> seed_count_text([])
    'no seed'
    """
    counts = sorted({len(one.members) for one in series})
    if not counts:
        return "no seed"
    if counts == [1]:
        return "one seed each"
    return f"{counts[0]} seeds each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds each"


def _labels_by_kind(
    configs: Sequence[RunConfig], derived: Collection[str]
) -> dict[str, tuple[str, SeriesStyle]]:
    """Return label and style of each kind of run, keyed by `_kind_key`, in the order of their schedules."""
    kinds = {_kind_key(config, derived): config for config in configs}
    found = {}
    for name in sorted({config.schedule.name for config in configs}, key=_schedule_rank):
        alike = [kind for kind, config in kinds.items() if config.schedule.name == name]
        labels = _labels(name, [_distinguishing_settings(kinds[kind], derived) for kind in alike])
        for variant, (label, kind) in enumerate(
            sorted(zip(labels, alike, strict=True), key=_short_label_first)
        ):
            found[kind] = label, schedule_style(name, variant)
    return found


def distinguishing_setting_names(data: FigureData) -> list[str]:
    """Return the dotted names of the settings that distinguish series: runs equal in all of them are one series."""
    derived = derived_settings(member.config for member in data.members)
    return ["data.dataset", "schedule.name", *_distinguishing_settings(data.members[0].config, derived)]


def _kind_key(config: RunConfig, derived: Collection[str]) -> str:
    """Return a key that is equal for runs that differ only in their data and ignored settings such as the seed."""
    return repr((config.schedule.name, _distinguishing_settings(config, derived)))


def _distinguishing_settings(config: RunConfig, derived: Collection[str]) -> dict[str, Any]:
    table = flatten(msgspec.to_builtins(config.resolved()))
    return {key: value for key, value in table.items() if key not in _IGNORED_SETTINGS and key not in derived}


def _labels(name: str, kinds: Sequence[dict[str, Any]]) -> list[str]:
    """Return a label for each kind: the schedule, and those differing settings that are not at their default."""
    keys = [key for key in kinds[0] if any(kind[key] != kinds[0][key] for kind in kinds)]
    labels: list[str] = []
    files = file_titles(kind.get("schedule.file") for kind in kinds)
    for kind in kinds:
        details = [
            _setting_text(key, files.get(kind[key], kind[key]) if key == "schedule.file" else kind[key])
            for key in keys
            if kind[key] != _DEFAULTS.get(key)
        ]
        label = printable_line(", ".join([sanitize(name), *details]))
        labels.append(label if label not in labels else f"{label} ({len(labels) + 1})")
    return labels


def _setting_text(key: str, value: Any) -> str:
    name = key.rpartition(".")[2].replace("_", " ")
    if key == "schedule.zero_terminal_snr":
        return "zero SNR"
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, str):
        return sanitize(value)
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


def _short_label_first(entry: tuple[str, Any]) -> tuple[int, str]:
    return len(entry[0]), entry[0]


def _dataset_rank(dataset: str) -> tuple[int, str]:
    known = dataset in DATASET_ORDER
    return (DATASET_ORDER.index(dataset) if known else len(DATASET_ORDER), dataset)


def _schedule_rank(name: str) -> tuple[float, float, str]:
    """Sort key: the thesis's schedules in its order, then the other built-in ones; powers by their exponent."""
    try:
        power = parse_power(name)
    except UserError:
        power = None
    index = ALL_NAMES.index("x^1.5" if power else name) if power or name in ALL_NAMES else len(ALL_NAMES)
    return index, power or 0.0, name
