"""The tables of a report: what runs there are, how they differ, what was measured, what they were made with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.comparison.compare import Comparison, ComparisonRow, compare
from core.comparison.formatting import sampler_text
from core.comparison.grouping import Member, settings_table
from core.comparison.pooling import Score
from core.config import encode_toml
from core.figures.figure_data import FigureData, Series, schedules_of, telling_settings
from core.figures.quality import HEADLINE
from core.files.sanitize import sanitize
from core.runs import METRICS, Metric
from core.statistics.estimate import Estimate

NOTHING: Final = "–"
MOST_VALUES: Final = 40
MOST_DIGITS: Final = 6
_ARROWS: Final = {"higher": "↑", "lower": "↓", None: ""}


@dataclass(frozen=True)
class Cell:
    """What a table says in one place: its lines, smaller print after them, and whether it is of its row's best."""

    lines: tuple[str, ...]
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Heads and rows, as many cells each as heads; `numbers` tells columns that are aligned to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    title: str = ""
    note: str = ""


def run_table(material: FigureData) -> Table:
    """One row a run: where it stands."""
    rows = []
    for series in material.series:
        for member in series.members:
            info, last = member.info, member.epochs[-1] if member.epochs else None
            rows.append(
                _row(
                    info.id,
                    series.title,
                    series.label,
                    str(member.config.train.seed),
                    info.state.value,
                    f"{info.status.epoch} of {info.status.epochs}",
                    _number(last.mean if last else None),
                    _number(last.heldout if last else None),
                )
            )
    heads = ("run", "data", "schedule", "seed", "state", "epochs", "loss", "held out")
    return Table(heads, tuple(rows), frozenset({3, 5, 6, 7}))


def difference_table(members: Sequence[Member]) -> Table:
    """One row a setting in which runs differ: each value, and how many runs have it."""
    tables = [settings_table([member]) for member in members]
    rows = []
    for key in tables[0]:
        counts: dict[str, int] = {}
        for table in tables:
            counts[table[key]] = counts.get(table[key], 0) + 1
        if len(counts) > 1:
            some = list(counts.items())[:MOST_VALUES]
            words = [f"{value} ({count} run{'s' * (count != 1)})" for value, count in some]
            words += [f"and {len(counts) - len(some)} more"] * (len(counts) > len(some))
            rows.append((Cell((key,)), Cell(tuple(words))))
    return Table(("setting", "values"), tuple(rows))


def common_settings(members: Sequence[Member]) -> str:
    """The settings that all runs share, as TOML."""
    tables = [settings_table([member]) for member in members]
    shared = {key for key, value in tables[0].items() if all(table[key] == value for table in tables)}
    lines = encode_toml(members[0].config).splitlines()
    kept, section = [], ""
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]") + "."
        key = line.partition(" = ")[0]
        if " = " not in line or section + key in shared:
            kept.append(line)
    return sanitize("\n".join(kept), lines=True).strip()


def schedule_table(material: FigureData) -> Table:
    """One row a schedule: what it leaves of a picture at its last step."""
    rows = []
    for label, _, schedule in schedules_of(member.config.schedule for member in material.members):
        rows.append(
            _row(
                label,
                f"{schedule.timesteps:,}",
                _number(schedule.terminal_alpha_bar),
                _number(schedule.terminal_snr),
                _number(schedule.prior_bits_per_dim()),
                schedule.diagnosis().text,
            )
        )
    heads = ("schedule", "T", "abar_T", "terminal SNR", "L_T, bits/dim", "diagnosis")
    return Table(heads, tuple(rows), frozenset({1, 2, 3, 4}))


def compare_series(material: FigureData) -> Comparison:
    """The judgements of all series, those of several seeds taken together, as ``core compare`` does it."""
    return compare(material.members, by=telling_settings(material))


def headline_table(material: FigureData, comparison: Comparison) -> Table | None:
    """For each data set the few metrics that decide, one column a schedule; None where no run was judged."""
    rows = []
    for dataset in material.datasets:
        series = [material.at(dataset, label) for label in material.labels]
        if any(one.evaluated for one in series if one is not None):
            head = Cell((material.titles[dataset],))
            rows += [(head, *_metric_row(comparison, name, series)) for name in HEADLINE]
    if not rows:
        return None
    heads = ("data", "", *material.labels)
    return Table(heads, tuple(rows), frozenset(range(2, len(heads))))


def result_tables(material: FigureData, comparison: Comparison) -> list[Table]:
    """For each data set that was judged: one row a metric, one column a schedule, and one for real pictures."""
    found = []
    for dataset in material.datasets:
        evaluated = [series for series in material.of(dataset) if series.evaluated]
        names = [name for name in METRICS if any(_score(comparison, one, name) for one in evaluated)]
        real: dict[str, Estimate] = {}
        for series in evaluated:
            for _, evaluation in series.evaluated:
                real = evaluation.real | real
        rows = []
        for name in names:
            ending = (estimate_cell(real.get(name), METRICS[name]),) if real else ()
            rows.append((*_metric_row(comparison, name, evaluated), *ending))
        if rows:
            heads = ("", *[series.label for series in evaluated], *["real pictures"] * bool(real))
            note = "; ".join(dict.fromkeys(_settings_of(series) for series in evaluated))
            numbers = frozenset(range(1, len(heads)))
            found.append(Table(heads, tuple(rows), numbers, material.titles[dataset], note))
    return found


def provenance_table(members: Sequence[Member]) -> Table:
    """One row for each thing that runs say of their making, with all values that it has."""
    counts: dict[str, dict[str, int]] = {}
    for member in members:
        told = {**member.info.file.provenance, "device": member.info.status.device}
        for key, value in told.items():
            if value:
                values = counts.setdefault(sanitize(key), {})
                values[sanitize(value)] = values.get(sanitize(value), 0) + 1
    rows = []
    for key, values in sorted(counts.items()):
        words = list(values)[:MOST_VALUES]
        if len(values) > 1 or sum(values.values()) < len(members):
            words = [f"{value} ({values[value]} run{'s' * (values[value] != 1)})" for value in words]
        rows.append((Cell((key,)), Cell(tuple(words))))
    return Table(("what", "value"), tuple(rows))


def _metric_row(comparison: Comparison, name: str, series: Sequence[Series | None]) -> tuple[Cell, ...]:
    metric = METRICS[name]
    cells = []
    for one in series:
        score = _score(comparison, one, name)
        best = score is not None and _is_best(comparison, one, name)
        cells.append(estimate_cell(score.estimate if score else None, metric, best=best))
    return Cell((f"{metric.title} {_ARROWS[metric.better]}".strip(),)), *cells


def _row_of(comparison: Comparison, series: Series | None) -> ComparisonRow | None:
    """The row of a comparison that has the very runs of a series."""
    if series is None:
        return None
    return next(row for row in comparison.rows if series.first in row.members)


def _score(comparison: Comparison, series: Series | None, name: str) -> Score | None:
    row = _row_of(comparison, series)
    return row.scores.get(name) if row is not None else None


def _is_best(comparison: Comparison, series: Series | None, name: str) -> bool:
    row = _row_of(comparison, series)
    return row is not None and row.label in comparison.best(row.dataset, name)


def estimate_cell(estimate: Estimate | None, metric: Metric, *, best: bool = False) -> Cell:
    """A value and its interval, shares as percentages, to as many digits as the interval allows."""
    if estimate is None or estimate.value is None:
        return Cell((NOTHING,))
    scale, unit = (100.0, "%") if metric.share else (1.0, "")
    value, low, high = (
        None if number is None else number * scale for number in (estimate.value, estimate.low, estimate.high)
    )
    if value is None or low is None or high is None or not high > low:
        return Cell((_number(value) + unit,), best=best)
    digits = min(max(1 - math.floor(math.log10(high - low)), 0), MOST_DIGITS)
    # Adding nothing makes a zero of a negative one.
    shown = [f"{round(number, digits) + 0.0:.{digits}f}".replace("-", "−") for number in (value, low, high)]
    return Cell((shown[0] + unit,), f"[{shown[1]}, {shown[2]}]", best)


def _settings_of(series: Series) -> str:
    """What a series was judged on."""
    ways = {
        f"{evaluation.count:,} samples against {evaluation.heldout:,} held-out pictures, "
        f"{sampler_text(evaluation)}, after epoch {evaluation.epoch}"
        for _, evaluation in series.evaluated
    }
    return "; ".join(sorted(ways))


def _number(value: float | None) -> str:
    if value is None or value != value:
        return NOTHING
    return f"{value:.3g}".replace("-", "−")


def _row(*texts: str) -> tuple[Cell, ...]:
    return tuple(Cell((text,)) for text in texts)
