"""A comparison as text: tables that fit the terminal, curves of braille, or Markdown for a paper."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.cli.output import format_table, number
from core.comparison.compare import LOSSES, Comparison, ComparisonRow
from core.comparison.formatting import MISSING, bracket_text, metric_title, narrow_texts, short_text
from core.imaging import braille_chart
from core.runs import METRICS, minmax_buckets
from core.runs.results import GROUPS
from core.statistics.estimate import Estimate

Line = tuple[str, list[str]]
"""The head of a line, and a cell a column."""
Style = Literal["plain", "narrow", "markdown"]
LEAST_WIDTH: Final = 40
LEAST_LAST: Final = 24
PIPE_WIDTH: Final = 80
CURVE_WIDTH: Final = 22
CURVE_HEIGHT: Final = 4


def comparison_text(comparison: Comparison, *, width: int, curves: bool) -> str:
    """All of a comparison but its notes.

    Args:
        comparison: rows and what was found.
        width: columns to fit into; 0 for any number.
        curves: whether braille can be shown.
    """
    parts = []
    for dataset in comparison.datasets:
        heading = _wrapped(_heading(dataset, comparison.rows_for(dataset)), width)
        parts.append(f"{heading}\n\n{_table(comparison, dataset, width)}")
        verdicts = _verdicts(comparison, dataset, width)
        if verdicts:
            parts.append(verdicts)
    if comparison.differences and len(comparison.rows) > 1:
        parts.append("settings that differ\n\n" + _settings(comparison, width))
    panels = _curves(comparison.rows, width or PIPE_WIDTH) if curves else ""
    if panels:
        parts.append(panels)
    return "\n\n".join(parts)


def comparison_markdown(comparison: Comparison) -> str:
    """One table a data set, with intervals in brackets, and the best of each line in bold."""
    parts = []
    for dataset in comparison.datasets:
        labels, groups = _lines(comparison, dataset, "markdown", with_real=True)
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
    return f"{dataset}: {one.count} samples ({one.sampler}, {one.steps} steps) against {one.heldout} held-out pictures"


def _table(comparison: Comparison, dataset: str, width: int) -> str:
    """The widest table that fits; where none does, the narrowest in blocks of columns under each other."""
    styles: tuple[Style, ...] = ("plain", "narrow")
    for style in styles:
        for with_real in (True, False):
            labels, groups = _lines(comparison, dataset, style, with_real=with_real)
            if not width or sum(_widths(groups, labels)) + 2 * len(labels) <= width:
                return _in_blocks(groups, labels, width)
    return _in_blocks(groups, labels, width)


def _lines(
    comparison: Comparison, dataset: str, style: Style, *, with_real: bool
) -> tuple[list[str], list[list[Line]]]:
    """The columns' labels, and groups of lines: metrics that belong together, losses, what was compared."""
    rows = comparison.rows_for(dataset)
    real = comparison.real_metrics(dataset) if with_real else {}
    groups: list[list[Line]] = []
    for names in (*GROUPS.values(), LOSSES):
        measured = [name for name in names if any(name in row.scores for row in rows)]
        groups.append([_line(name, rows, comparison.best(dataset, name), style, real) for name in measured])
    terminals = [row.terminal for row in rows]
    facts = [
        ("abar_T", [number(found.alpha_bar) if found else MISSING for found in terminals]),
        ("SNR_T", [number(found.snr) if found else MISSING for found in terminals]),
        ("L_T bits/dim", [number(found.prior_bits) if found else MISSING for found in terminals]),
        ("epochs", [_range(len(member.epochs) for member in row.members) for row in rows]),
        ("seeds", [", ".join(map(str, row.seeds)) for row in rows]),
    ]
    groups.append([(head, cells + [""] * bool(real)) for head, cells in facts])
    return [row.label for row in rows] + ["real data"] * bool(real), [lines for lines in groups if lines]


def _line(
    name: str, rows: Sequence[ComparisonRow], best: Sequence[str], style: Style, real: Mapping[str, Estimate]
) -> Line:
    scores = [row.scores.get(name) for row in rows]
    estimates = [score.estimate if score else None for score in scores] + [real.get(name)] * bool(real)
    marked = [row.label in best for row in rows] + [False] * bool(real)
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


def _range(numbers: Iterable[int]) -> str:
    values = sorted(numbers)
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _widths(groups: Sequence[Sequence[Line]], labels: Sequence[str]) -> list[int]:
    """Of the heads, then of each column."""
    lines = [line for group in groups for line in group]
    columns = (
        max(len(label), *(len(cells[place]) for _, cells in lines)) for place, label in enumerate(labels)
    )
    return [max(len(head) for head, _ in lines), *columns]


def _in_blocks(groups: Sequence[Sequence[Line]], labels: Sequence[str], width: int) -> str:
    """A table of a column a row of the comparison; where it is too wide, several under each other."""
    first, *widths = _widths(groups, labels)
    blocks: list[list[int]] = [[]]
    for place, wide in enumerate(widths):
        used = first + sum(widths[other] + 2 for other in blocks[-1])
        if width and blocks[-1] and used + 2 + wide > max(width, LEAST_WIDTH):
            blocks.append([])
        blocks[-1].append(place)
    tables = []
    for places in blocks:
        rows = [(head, *(cells[place] for place in places)) for lines in groups for head, cells in lines]
        drawn = format_table(
            ("", *(labels[place] for place in places)), rows, "l" + "r" * len(places)
        ).splitlines()
        at = 1
        for lines in groups:  # a blank line before each group
            drawn.insert(at, "")
            at += len(lines) + 1
        tables.append("\n".join(drawn))
    return "\n\n".join(tables)


def _verdicts(comparison: Comparison, dataset: str, width: int) -> str:
    """Who is better at what, by more than noise."""
    rows = comparison.rows_for(dataset)
    if len(rows) < 2:
        return ""
    told: dict[str, list[str]] = {}
    untold: list[str] = []
    other: list[str] = []
    for name, metric in METRICS.items():
        if metric.better is None or sum(name in row.scores for row in rows) < 2:
            continue
        if not comparison.is_comparable(dataset, name):
            other.append(metric.title)
            continue
        best = comparison.best(dataset, name)
        if best:
            told.setdefault(", ".join(best), []).append(metric.title)
        else:
            untold.append(metric.title)
    parts = []
    if told:
        lines = [(labels, ", ".join(titles)) for labels, titles in told.items()]
        parts.append(_last_wrapped(("best, and not clearly worse", "at"), lines, width))
    if untold:
        parts.append(_wrapped(f"no difference beyond noise: {', '.join(untold)}", width))
    if other:
        text = f"not to be compared, as half of T is another noise under each schedule: {', '.join(other)}"
        parts.append(_wrapped(text, width))
    if parts:
        parts.append(
            _wrapped(
                "* not clearly worse than the best of the line; alone, it is the winner. Corrected for all "
                f"{len(comparison.pairs)} pairs of numbers (Holm): the chance that any such claim is wrong is at "
                "most 5%. 1e-2 after a name: in hundredths.",
                width,
            )
        )
    return "\n\n".join(parts)


def _settings(comparison: Comparison, width: int) -> str:
    """Each setting in which rows differ, with its values and who has them."""
    several = len(comparison.datasets) > 1
    names = [f"{row.dataset} {row.label}" if several else row.label for row in comparison.rows]
    rows = []
    for key, values in comparison.differences.items():
        for value in dict.fromkeys(values):
            owners = [name for name, own in zip(names, values, strict=True) if own == value]
            head = key if value == values[0] else ""
            rows.append((head, value, ", ".join(owners)))
    return _last_wrapped(("setting", "value", "of"), rows, width)


def _curves(rows: Sequence[ComparisonRow], width: int) -> str:
    """The losses of each row over its steps, all on the same axes; of several runs, from lowest to highest."""
    members = [member for row in rows for member in row.members]
    last = max((float(member.steps[-1]) for member in members if len(member.steps)), default=0.0)
    if not last:
        return ""
    drawn = [[_means(member.steps, member.losses, last) for member in row.members] for row in rows]
    positive = np.concatenate([means[means > 0] for own in drawn for means in own])
    if not len(positive):
        return ""
    low, high = float(positive.min()), float(positive.max())
    high = high if high > low else low * 2
    panels = []
    several = len({row.dataset for row in rows}) > 1
    for row, own in zip(rows, drawn, strict=True):
        extents = [_joined_up(means) for means in own]
        lowest = np.fmin.reduce([extent[0] for extent in extents])
        highest = np.fmax.reduce([extent[1] for extent in extents])
        cells, _ = braille_chart([(lowest, highest)], CURVE_HEIGHT, (low, high), log_y=True)
        label = f"{row.dataset} {row.label}" if several else row.label
        score = row.scores.get("loss")
        ending = number(score.estimate.value if score else None)
        head = textwrap.shorten(label, CURVE_WIDTH - len(ending) - 1, placeholder="…")
        panels.append([f"{head:<{CURVE_WIDTH - len(ending)}}{ending}", *("".join(line) for line in cells)])
    across = max(1, (width + 2) // (CURVE_WIDTH + 2))
    text = [
        _wrapped(
            f"loss of steps 1 to {last:.0f}, logarithmic from {number(low)} to {number(high)}; beside the names, the "
            "last epoch's mean. Schedules differ in their noise and so in their least loss.",
            width,
        )
    ]
    for first in range(0, len(panels), across):
        beside = zip(*panels[first : first + across], strict=True)
        text.append(
            "\n".join("  ".join(line.ljust(CURVE_WIDTH) for line in lines).rstrip() for lines in beside)
        )
    return "\n\n".join(text)


def _means(steps: NDArray[np.float64], losses: NDArray[np.float64], last: float) -> NDArray[np.float64]:
    """The mean loss in each column of dots; NaN where there is none that can be drawn."""
    *_, means = minmax_buckets(steps, losses, 2 * CURVE_WIDTH, x_range=(0.0, last))
    return np.where(np.isfinite(means) & (means > 0), means, np.nan)


def _joined_up(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Strokes that reach half way to both neighbours, on a logarithmic axis, so that dots make a line."""
    with np.errstate(divide="ignore"):
        logs = np.log(means)
    before, after = np.append(np.nan, logs[:-1]), np.append(logs[1:], np.nan)
    lowest = np.fmin(logs, np.fmin((logs + before) / 2, (logs + after) / 2))
    highest = np.fmax(logs, np.fmax((logs + before) / 2, (logs + after) / 2))
    return np.exp(lowest), np.exp(highest)


def _last_wrapped(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A table whose last column is wrapped; where its others leave no room for that, a paragraph a row."""
    taken = sum(max(len(row[place]) for row in (heads, *rows)) + 2 for place in range(len(heads) - 1))
    if not width or width - taken >= LEAST_LAST:
        return format_table(heads, rows, "l" * len(heads), width=width)
    lines = []
    for row in (heads, *rows):
        text = f"{' '.join(cell for cell in row[:-1] if cell)}: {row[-1]}"
        lines += textwrap.wrap(text, max(width, LEAST_WIDTH), subsequent_indent="  ")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, max(width, LEAST_WIDTH))) if width else text


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
