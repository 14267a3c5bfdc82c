"""What figures are drawn from: runs read once, those that differ in their seed only taken together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from core.comparison.grouping import Member, dataset_titles, read_members
from core.config import RunConfig, ScheduleConfig, flatten
from core.errors import UserError
from core.figures.style import SeriesStyle, readable, style_of
from core.files.sanitize import sanitize
from core.runs import Evaluation, RunInfo
from core.schedules import ALL_NAMES, Schedule, make_schedule, parse_power

MOST_SERIES: Final = 24
"""More kinds of runs than this no figure can tell apart."""
DATASET_ORDER: Final = ("low", "high", "array")
"""The thesis's order."""

_DEFAULTS: Final = flatten(msgspec.to_builtins(RunConfig()))
_NOT_TELLING: Final = frozenset(
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
"""Settings that make no different kind of run."""


@dataclass(frozen=True, eq=False)
class Series:
    """Runs on the same data that differ in their seed only, lowest seed first.

    `title` is what to call the data; `label` the schedule's name, and what else tells the series from others of
    that schedule.
    """

    dataset: str
    title: str
    label: str
    style: SeriesStyle
    members: tuple[Member, ...]

    @property
    def first(self) -> Member:
        """The one whose pictures are shown."""
        return self.members[0]

    @property
    def evaluated(self) -> list[tuple[Member, Evaluation]]:
        """The members that were judged, with their judgements."""
        return [(member, member.evaluation) for member in self.members if member.evaluation is not None]


@dataclass(frozen=True, eq=False)
class FigureData:
    """All series, by data set in the thesis's order and then by schedule; `problems` could not be read."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """As the runs name them."""
        return tuple(dict.fromkeys(series.dataset for series in self.series))

    @cached_property
    def titles(self) -> dict[str, str]:
        """What to call each data set."""
        return {series.dataset: series.title for series in self.series}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of all series, each once, in the order of their schedules."""
        ranked = {series.label: _rank(series.first.config.schedule.name) for series in self.series}
        return tuple(sorted(ranked, key=lambda label: (ranked[label], len(label), label)))

    @cached_property
    def styles(self) -> dict[str, SeriesStyle]:
        """The look of each label."""
        found = {series.label: series.style for series in self.series}
        return {label: found[label] for label in self.labels}

    @property
    def members(self) -> list[Member]:
        """All runs."""
        return [member for series in self.series for member in series.members]

    def at(self, dataset: str, label: str) -> Series | None:
        """The runs of one cell of the grid, if there are any."""
        for series in self.series:
            if (series.dataset, series.label) == (dataset, label):
                return series
        return None

    def of(self, dataset: str) -> list[Series]:
        """The series on one data set."""
        return [series for series in self.series if series.dataset == dataset]


def gather(infos: Iterable[RunInfo]) -> FigureData:
    """Read all that figures need of the runs, but for their pictures.

    Raises:
        UserError: no runs, or more kinds of them than a figure can tell apart.
    """
    members, problems = read_members(infos)
    if not members:
        raise UserError("no runs to draw; train some with core train, or name others")
    labels = _label_all([member.config for member in members])
    named = dataset_titles(member.config for member in members)
    titles = {name: readable(title) for name, title in named.items()}
    series: list[Series] = []
    for dataset in sorted({member.config.data.dataset for member in members}, key=_dataset_rank):
        for label, look in labels.values():
            alike = [
                member
                for member in members
                if member.config.data.dataset == dataset and labels[_kind(member.config)][0] == label
            ]
            alike.sort(key=lambda member: (member.config.train.seed, member.info.id))
            if alike:
                series.append(Series(dataset, titles[dataset], label, look, tuple(alike)))
    material = FigureData(tuple(series), tuple(problems))
    if (count := len(material.labels)) > MOST_SERIES:
        raise UserError(
            f"these runs are of {count} kinds, and a figure tells at most {MOST_SERIES} apart; name fewer runs"
        )
    return material


def schedules_of(configs: Iterable[ScheduleConfig]) -> list[tuple[str, SeriesStyle, Schedule]]:
    """Each schedule once, with a label that tells it from the others; those that cannot be made are left out."""
    distinct = sorted(set(configs), key=lambda config: _rank(config.name))
    found = []
    for name in dict.fromkeys(config.name for config in distinct):
        alike = [config for config in distinct if config.name == name]
        labels = _labels(name, [flatten({"schedule": msgspec.to_builtins(config)}) for config in alike])
        for variant, (label, config) in enumerate(sorted(zip(labels, alike, strict=True), key=_by_label)):
            try:
                schedule = make_schedule(**msgspec.structs.asdict(config))
            except UserError:  # a custom file that is gone
                continue
            found.append((label, style_of(name, variant), schedule))
    return found


def seeds_in_words(series: Sequence[Series]) -> str:
    """How many seeds there are of each series, for a caption.

    >>> seeds_in_words([])
    'no seed'
    """
    counts = sorted({len(one.members) for one in series})
    if not counts:
        return "no seed"
    if counts == [1]:
        return "one seed each"
    return f"{counts[0]} seeds each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds each"


def _label_all(configs: Sequence[RunConfig]) -> dict[str, tuple[str, SeriesStyle]]:
    """Label and look of each kind of run, by `_kind`, in the order of their schedules."""
    kinds = {_kind(config): config for config in configs}
    found = {}
    for name in sorted({config.schedule.name for config in configs}, key=_rank):
        alike = [kind for kind, config in kinds.items() if config.schedule.name == name]
        labels = _labels(name, [_telling(kinds[kind]) for kind in alike])
        for variant, (label, kind) in enumerate(sorted(zip(labels, alike, strict=True), key=_by_label)):
            found[kind] = label, style_of(name, variant)
    return found


def telling_settings(material: FigureData) -> list[str]:
    """The dotted names of all settings that make kinds of runs: those alike in all of them are one series."""
    return ["data.dataset", "schedule.name", *_telling(material.members[0].config)]


def _kind(config: RunConfig) -> str:
    """The same for runs that differ in their data and seed only."""
    return repr((config.schedule.name, _telling(config)))


def _telling(config: RunConfig) -> dict[str, Any]:
    table = flatten(msgspec.to_builtins(config.resolved()))
    return {key: value for key, value in table.items() if key not in _NOT_TELLING}


def _labels(name: str, kinds: Sequence[dict[str, Any]]) -> list[str]:
    """A label for each kind: the schedule, and the settings in which kinds differ where they are unusual."""
    keys = [key for key in kinds[0] if any(kind[key] != kinds[0][key] for kind in kinds)]
    labels: list[str] = []
    for kind in kinds:
        details = [_detail(key, kind[key]) for key in keys if kind[key] != _DEFAULTS.get(key)]
        label = readable(", ".join([sanitize(name), *details]))
        labels.append(label if label not in labels else f"{label} ({len(labels) + 1})")
    return labels


def _detail(key: str, value: Any) -> str:
    words = key.rpartition(".")[2].replace("_", " ")
    if key == "schedule.zero_terminal_snr":
        return "zero SNR"
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if isinstance(value, str):
        return sanitize(value)
    return f"{words} {value:g}" if isinstance(value, int | float) else f"{words} {value}"


def _by_label(entry: tuple[str, Any]) -> tuple[int, str]:
    return len(entry[0]), entry[0]


def _dataset_rank(dataset: str) -> tuple[int, str]:
    known = dataset in DATASET_ORDER
    return (DATASET_ORDER.index(dataset) if known else len(DATASET_ORDER), dataset)


def _rank(name: str) -> tuple[float, float, str]:
    """Schedules in the thesis's order, then the other built-in ones; powers by their exponent."""
    try:
        power = parse_power(name)
    except UserError:
        power = None
    place = ALL_NAMES.index("x^1.5" if power else name) if power or name in ALL_NAMES else len(ALL_NAMES)
    return place, power or 0.0, name
