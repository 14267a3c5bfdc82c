"""The tables of a report: runs, their differences, schedules, metrics and provenance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.comparison.compare import Comparison, ComparisonRow, compare
from core.comparison.formatting import sampler_text
from core.comparison.grouping import Member, settings_table
from core.comparison.pooling import Score
from core.config import encode_toml
from core.figures.figure_data import FigureData, Series, distinct_schedules, distinguishing_setting_names
from core.figures.quality import BETTER_ARROWS, GENERAL_HEADLINE_METRICS, HEADLINE_METRICS
from core.files.sanitize import sanitize
from core.runs import METRICS, Metric
from core.runs.metric_definitions import better_direction
from core.statistics.estimate import Estimate

MISSING: Final = "–"
MAX_VALUES: Final = 40
MAX_DECIMALS: Final = 6


@dataclass(frozen=True)
class Cell:
    """A table cell: lines of text, smaller print after them, and whether it is among the best of its row."""

    lines: tuple[str, ...]
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Heads, and rows of as many cells; `numbers` are the indices of the columns that are aligned to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    title: str = ""
    note: str = ""


def run_table(data: FigureData) -> Table:
    """Return one row per run: its settings, state, progress and losses."""
    rows = []
    for series in data.series:
        for member in series.members:
            info, last = member.info, member.epochs[-1] if member.epochs else None
            rows.append(
                _text_row(
                    info.id,
                    series.title,
                    series.label,
                    str(member.config.train.seed),
                    info.state.value,
                    f"{info.status.epoch} of {info.status.epochs}",
                    _number_text(last.mean if last else None),
                    _number_text(last.heldout if last else None),
                )
            )
    heads = ("run", "data", "schedule", "seed", "state", "epochs", "loss", "held out")
    return Table(heads, tuple(rows), frozenset({3, 5, 6, 7}))


def difference_table(members: Sequence[Member]) -> Table:
    """Return one row per setting in which runs differ: each value, and the number of runs with it."""
    tables = [settings_table([member]) for member in members]
    rows = []
    for key in tables[0]:
        counts: dict[str, int] = {}
        for table in tables:
            counts[table[key]] = counts.get(table[key], 0) + 1
        if len(counts) > 1:
            some = list(counts.items())[:MAX_VALUES]
            texts = [f"{value} ({count} run{'s' * (count != 1)})" for value, count in some]
            texts += [f"and {len(counts) - len(some)} more"] * (len(counts) > len(some))
            rows.append((Cell((key,)), Cell(tuple(texts))))
    return Table(("setting", "values"), tuple(rows))


def common_settings(members: Sequence[Member]) -> str:
    """Return the settings that all runs share, as TOML."""
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


def schedule_table(data: FigureData) -> Table:
    """Return one row per schedule: how much of an image it leaves at the last step."""
    rows = []
    for label, _, schedule in distinct_schedules(member.config.schedule for member in data.members):
        rows.append(
            _text_row(
                label,
                f"{schedule.timesteps:,}",
                _number_text(schedule.terminal_alpha_bar),
                _number_text(schedule.terminal_snr),
                _number_text(schedule.prior_bits_per_dim()),
                schedule.diagnosis().text,
            )
        )
    heads = ("schedule", "T", "abar_T", "terminal SNR", "L_T of triangles, bits/dim", "diagnosis")
    return Table(heads, tuple(rows), frozenset({1, 2, 3, 4}))


def compare_all_series(data: FigureData) -> Comparison:
    """Compare the evaluations of all series, pooled over seeds, as ``core compare`` does."""
    return compare(data.members, by=distinguishing_setting_names(data))


def headline_table(data: FigureData, comparison: Comparison) -> Table | None:
    """Return the headline metrics of each data set, one column per schedule; None if no run was evaluated."""
    rows = []
    for dataset in data.datasets:
        series = [data.find(dataset, label) for label in data.labels]
        if any(one.evaluated for one in series if one is not None):
            head = Cell((data.titles[dataset],))
            names: tuple[str, ...] = HEADLINE_METRICS
            if any(_score(comparison, one, "kid") for one in series):
                names = GENERAL_HEADLINE_METRICS
            rows += [(head, *_metric_row(comparison, name, series)) for name in names]
    if not rows:
        return None
    heads = ("data", "", *data.labels)
    return Table(heads, tuple(rows), frozenset(range(2, len(heads))))


def result_tables(data: FigureData, comparison: Comparison) -> list[Table]:
    """Return a table per evaluated data set: a row per metric, a column per schedule, and one for real images."""
    found = []
    for dataset in data.datasets:
        evaluated = [series for series in data.on(dataset) if series.evaluated]
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
            heads = ("", *[series.label for series in evaluated], *["real images"] * bool(real))
            note = "; ".join(dict.fromkeys(_protocol_note(series) for series in evaluated))
            numbers = frozenset(range(1, len(heads)))
            found.append(Table(heads, tuple(rows), numbers, data.titles[dataset], note))
    return found


def provenance_table(members: Sequence[Member]) -> Table:
    """Return one row per key of the runs' provenance, with all its values."""
    counts: dict[str, dict[str, int]] = {}
    for member in members:
        provenance = {**member.info.file.provenance, "device": member.info.status.device}
        for key, value in provenance.items():
            if value:
                values = counts.setdefault(sanitize(key), {})
                values[sanitize(value)] = values.get(sanitize(value), 0) + 1
    rows = []
    for key, values in sorted(counts.items()):
        texts = list(values)[:MAX_VALUES]
        if len(values) > 1 or sum(values.values()) < len(members):
            texts = [f"{value} ({values[value]} run{'s' * (values[value] != 1)})" for value in texts]
        rows.append((Cell((key,)), Cell(tuple(texts))))
    return Table(("key", "value"), tuple(rows))


def _metric_row(comparison: Comparison, name: str, series: Sequence[Series | None]) -> tuple[Cell, ...]:
    metric = METRICS[name]
    rows = [row for one in series if (row := _row_of(comparison, one))]
    better = better_direction(name, {measured for row in rows for measured in row.scores})
    cells = []
    for one in series:
        score = _score(comparison, one, name)
        best = score is not None and _is_best(comparison, one, name)
        cells.append(estimate_cell(score.estimate if score else None, metric, best=best))
    return Cell((metric.title + BETTER_ARROWS[better],)), *cells


def _row_of(comparison: Comparison, series: Series | None) -> ComparisonRow | None:
    """Return the row of the comparison that holds the runs of the series."""
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
    """Format a value and its interval, shares as percentages, to as many digits as the interval allows."""
    if estimate is None or estimate.value is None:
        return Cell((MISSING,))
    scale, unit = (100.0, "%") if metric.share else (1.0, "")
    value, low, high = (
        None if number is None else number * scale for number in (estimate.value, estimate.low, estimate.high)
    )
    if value is None or low is None or high is None or not high > low:
        return Cell((_number_text(value) + unit,), best=best)
    digits = min(max(1 - math.floor(math.log10(high - low)), 0), MAX_DECIMALS)
    # Adding 0.0 turns a negative zero into a positive one.
    shown = [f"{round(number, digits) + 0.0:.{digits}f}".replace("-", "−") for number in (value, low, high)]
    return Cell((shown[0] + unit,), f"[{shown[1]}, {shown[2]}]", best)


def _protocol_note(series: Series) -> str:
    """State the samples, data, samplers and epochs of a series' evaluations."""
    protocols = {
        f"{evaluation.count:,} samples against {evaluation.heldout:,} held-out images, "
        f"{sampler_text(evaluation)}, after epoch {evaluation.epoch}"
        for _, evaluation in series.evaluated
    }
    return "; ".join(sorted(protocols))


def _number_text(value: float | None) -> str:
    if value is None or value != value:
        return MISSING
    return f"{value:.3g}".replace("-", "−")


def _text_row(*texts: str) -> tuple[Cell, ...]:
    return tuple(Cell((text,)) for text in texts)
