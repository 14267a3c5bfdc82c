"""A comparison as text: tables that fit the terminal, loss charts in braille, or Markdown for a paper."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.cli.output import PIPE_WIDTH, format_table, number_text
from core.comparison.compare import LOSSES, Comparison, ComparisonRow
from core.comparison.formatting import MISSING, bracket_text, metric_title, narrow_texts, short_text
from core.imaging import braille_chart
from core.runs import METRICS, minmax_buckets
from core.runs.metric_definitions import GROUPS
from core.statistics.estimate import Estimate

TextRow = tuple[str, list[str]]
"""The header of a row, and one cell per column."""
Style = Literal["plain", "narrow", "markdown"]
MIN_WIDTH: Final = 40
MIN_LAST_COLUMN: Final = 24
CHART_WIDTH: Final = 22
CHART_HEIGHT: Final = 4


def comparison_text(comparison: Comparison, *, width: int, curves: bool) -> str:
    """Format everything in a comparison except its notes.

    Args:
        comparison: the compared rows and the findings.
        width: terminal columns to fit into; 0 for no limit.
        curves: draw the losses in braille.
    """
    parts = []
    for dataset in comparison.datasets:
        heading = _wrapped(_heading(dataset, comparison.rows_for(dataset)), width)
        parts.append(f"{heading}\n\n{_table(comparison, dataset, width)}")
        verdicts = _winners_text(comparison, dataset, width)
        if verdicts:
            parts.append(verdicts)
    if comparison.differences and len(comparison.rows) > 1:
        parts.append("settings that differ\n\n" + _settings_text(comparison, width))
    panels = _loss_charts(comparison.rows, width or PIPE_WIDTH) if curves else ""
    if panels:
        parts.append(panels)
    return "\n\n".join(parts)


def comparison_markdown(comparison: Comparison) -> str:
    """Format one table per data set, with intervals in brackets and the best of each line in bold."""
    parts = []
    for dataset in comparison.datasets:
        labels, groups = _table_rows(comparison, dataset, "markdown", with_real=True)
        table = [["", *labels], ["---", *("---:" for _ in labels)]]
        table += [[head, *cells] for lines in groups for head, cells in lines]
        body = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in table)
        parts.append(f"### {_escaped(_heading(dataset, comparison.rows_for(dataset)))}\n\n{body}")
    parts.append(
        "Values with 95% intervals. Bold: not clearly worse than the best of the line (two-sided, Holm's correction "
        f"for all {len(comparison.pairs)} pairs of numbers, 5% in all)."
    )
    return "\n\n".join(parts)


def _heading(dataset: str, rows: Sequence[ComparisonRow]) -> str:
    evaluated = [one for row in rows for one in row.evaluations]
    if not evaluated or len({one.protocol for one in evaluated}) > 1:
        return dataset
    one = evaluated[0]
    return f"{dataset}: {one.count} samples ({one.sampler}, {one.steps} steps) against {one.heldout} held-out images"


def _table(comparison: Comparison, dataset: str, width: int) -> str:
    """Format the widest table that fits; if none does, the narrowest in blocks of columns, one below the other."""
    styles: tuple[Style, ...] = ("plain", "narrow")
    for style in styles:
        for with_real in (True, False):
            labels, groups = _table_rows(comparison, dataset, style, with_real=with_real)
            if not width or sum(_widths(groups, labels)) + 2 * len(labels) <= width:
                return _stacked_tables(groups, labels, width)
    return _stacked_tables(groups, labels, width)


def _table_rows(
    comparison: Comparison, dataset: str, style: Style, *, with_real: bool
) -> tuple[list[str], list[list[TextRow]]]:
    """Return the column labels, and groups of rows: related metrics, losses, and facts about the runs."""
    rows = comparison.rows_for(dataset)
    real_metrics = comparison.real_metrics(dataset) if with_real else {}
    groups: list[list[TextRow]] = []
    for names in (*GROUPS.values(), LOSSES):
        measured = [name for name in names if any(name in row.scores for row in rows)]
        groups.append(
            [
                _metric_row(name, rows, comparison.best(dataset, name), style, real_metrics)
                for name in measured
            ]
        )
    terminals = [row.terminal for row in rows]
    facts = [
        ("abar_T", [number_text(found.alpha_bar) if found else MISSING for found in terminals]),
        ("SNR_T", [number_text(found.snr) if found else MISSING for found in terminals]),
        ("L_T triangles", [number_text(found.prior_bits) if found else MISSING for found in terminals]),
        ("epochs", [_range_text(len(member.epochs) for member in row.members) for row in rows]),
        ("seeds", [", ".join(map(str, row.seeds)) for row in rows]),
    ]
    groups.append([(head, cells + [""] * bool(real_metrics)) for head, cells in facts])
    return [row.label for row in rows] + ["real data"] * bool(real_metrics), [
        lines for lines in groups if lines
    ]


def _metric_row(
    name: str, rows: Sequence[ComparisonRow], best: Sequence[str], style: Style, real: Mapping[str, Estimate]
) -> TextRow:
    scores = [row.scores.get(name) for row in rows]
    estimates = [score.estimate if score else None for score in scores] + [real.get(name)] * bool(real)
    winners = set(best)
    marked = [row.label in winners for row in rows] + [False] * bool(real)
    if style == "markdown":
        texts = [bracket_text(name, estimate) for estimate in estimates]
        return metric_title(name), [
            f"**{text}**" if mark else text for text, mark in zip(texts, marked, strict=True)
        ]
    if style == "narrow":
        head, texts = narrow_texts(name, estimates)
    else:
        head, texts = metric_title(name), [short_text(name, estimate) for estimate in estimates]
    cells = [text + ("*" if mark else " " if best else "") for text, mark in zip(texts, marked, strict=True)]
    return head, cells


def _range_text(numbers: Iterable[int]) -> str:
    values = sorted(numbers)
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _widths(groups: Sequence[Sequence[TextRow]], labels: Sequence[str]) -> list[int]:
    """Return the width of the row headers, then of each column."""
    lines = [line for group in groups for line in group]
    columns = (
        max(len(label), *(len(cells[index]) for _, cells in lines)) for index, label in enumerate(labels)
    )
    return [max(len(head) for head, _ in lines), *columns]


def _stacked_tables(groups: Sequence[Sequence[TextRow]], labels: Sequence[str], width: int) -> str:
    """Format a table with one column per compared row; if it is too wide, as several stacked tables."""
    first, *widths = _widths(groups, labels)
    blocks: list[list[int]] = [[]]
    for index, wide in enumerate(widths):
        used = first + sum(widths[other] + 2 for other in blocks[-1])
        if width and blocks[-1] and used + 2 + wide > max(width, MIN_WIDTH):
            blocks.append([])
        blocks[-1].append(index)
    tables = []
    for indices in blocks:
        rows = [(head, *(cells[index] for index in indices)) for lines in groups for head, cells in lines]
        drawn = format_table(
            ("", *(labels[index] for index in indices)), rows, "l" + "r" * len(indices)
        ).splitlines()
        at = 1
        for lines in groups:  # a blank line before each group
            drawn.insert(at, "")
            at += len(lines) + 1
        tables.append("\n".join(drawn))
    return "\n\n".join(tables)


def _winners_text(comparison: Comparison, dataset: str, width: int) -> str:
    """List the metrics in which a row is better than the others by more than noise."""
    rows = comparison.rows_for(dataset)
    if len(rows) < 2:
        return ""
    winners: dict[str, list[str]] = {}
    undecided: list[str] = []
    incomparable: list[str] = []
    for name, metric in METRICS.items():
        if comparison.better(dataset, name) is None or sum(name in row.scores for row in rows) < 2:
            continue
        if not comparison.is_comparable(dataset, name):
            incomparable.append(metric.title)
            continue
        best = comparison.best(dataset, name)
        if best:
            winners.setdefault(", ".join(best), []).append(metric.title)
        else:
            undecided.append(metric.title)
    parts = []
    if winners:
        lines = [(labels, ", ".join(titles)) for labels, titles in winners.items()]
        parts.append(_table_or_paragraphs(("best, and not clearly worse", "at"), lines, width))
    if undecided:
        parts.append(_wrapped(f"no difference beyond noise: {', '.join(undecided)}", width))
    if incomparable:
        text = f"not compared, because half of T is another noise level under each schedule: {', '.join(incomparable)}"
        parts.append(_wrapped(text, width))
    if parts:
        parts.append(
            _wrapped(
                "* not clearly worse than the best of the line; a single * is the winner. Corrected for all "
                f"{len(comparison.pairs)} pairs of numbers (Holm): the chance that any of these claims is wrong is at "
                "most 5%. 1e-2 after a name: in hundredths.",
                width,
            )
        )
    return "\n\n".join(parts)


def _settings_text(comparison: Comparison, width: int) -> str:
    """List each setting in which rows differ, with its values and the rows that have them."""
    several = len(comparison.datasets) > 1
    names = [f"{row.dataset} {row.label}" if several else row.label for row in comparison.rows]
    rows = []
    for key, values in comparison.differences.items():
        for value in dict.fromkeys(values):
            owners = [name for name, own in zip(names, values, strict=True) if own == value]
            head = key if value == values[0] else ""
            rows.append((head, value, ", ".join(owners)))
    return _table_or_paragraphs(("setting", "value", "columns"), rows, width)


def _loss_charts(rows: Sequence[ComparisonRow], width: int) -> str:
    """Chart the loss of each row over its steps, all on the same axes; several runs as a band, lowest to highest."""
    members = [member for row in rows for member in row.members]
    last = max((member.last_step for member in members), default=0.0)
    if not last:
        return ""
    drawn = [[_binned_means(*member.read_losses(), last) for member in row.members] for row in rows]
    positive = np.concatenate([means[means > 0] for own in drawn for means in own])
    if not len(positive):
        return ""
    low, high = float(positive.min()), float(positive.max())
    high = high if high > low else low * 2
    panels = []
    several = len({row.dataset for row in rows}) > 1
    for row, own in zip(rows, drawn, strict=True):
        extents = [_connected(means) for means in own]
        lowest = np.fmin.reduce([extent[0] for extent in extents])
        highest = np.fmax.reduce([extent[1] for extent in extents])
        cells, _ = braille_chart([(lowest, highest)], CHART_HEIGHT, (low, high), log_y=True)
        label = f"{row.dataset} {row.label}" if several else row.label
        score = row.scores.get("loss")
        ending = number_text(score.estimate.value if score else None)
        head = textwrap.shorten(label, CHART_WIDTH - len(ending) - 1, placeholder="…")
        panels.append([f"{head:<{CHART_WIDTH - len(ending)}}{ending}", *("".join(line) for line in cells)])
    across = max(1, (width + 2) // (CHART_WIDTH + 2))
    text = [
        _wrapped(
            f"loss of steps 1 to {last:.0f}, logarithmic from {number_text(low)} to {number_text(high)}; "
            "beside the names, the last epoch's mean. Schedules differ in noise and so in the lowest possible loss.",
            width,
        )
    ]
    for first in range(0, len(panels), across):
        beside = zip(*panels[first : first + across], strict=True)
        text.append(
            "\n".join("  ".join(line.ljust(CHART_WIDTH) for line in lines).rstrip() for lines in beside)
        )
    return "\n\n".join(text)


def _binned_means(
    steps: NDArray[np.float64], losses: NDArray[np.float64], last: float
) -> NDArray[np.float64]:
    """Return the mean loss in each column of dots; NaN where it is missing or not positive."""
    *_, means = minmax_buckets(steps, losses, 2 * CHART_WIDTH, x_range=(0.0, last))
    return np.where(np.isfinite(means) & (means > 0), means, np.nan)


def _connected(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Extend each dot half way to both neighbours on a logarithmic axis, so that the dots form a line."""
    with np.errstate(divide="ignore"):
        logs = np.log(means)
    before, after = np.append(np.nan, logs[:-1]), np.append(logs[1:], np.nan)
    lowest = np.fmin(logs, np.fmin((logs + before) / 2, (logs + after) / 2))
    highest = np.fmax(logs, np.fmax((logs + before) / 2, (logs + after) / 2))
    return np.exp(lowest), np.exp(highest)


def _table_or_paragraphs(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Format a table whose last column is wrapped; without room for that column, one paragraph per row."""
    taken = sum(max(len(row[index]) for row in (heads, *rows)) + 2 for index in range(len(heads) - 1))
    if not width or width - taken >= MIN_LAST_COLUMN:
        return format_table(heads, rows, "l" * len(heads), width=width)
    lines = []
    for row in (heads, *rows):
        text = f"{' '.join(cell for cell in row[:-1] if cell)}: {row[-1]}"
        lines += textwrap.wrap(text, max(width, MIN_WIDTH), subsequent_indent="  ")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, max(width, MIN_WIDTH))) if width else text


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
