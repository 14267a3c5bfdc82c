"""A sweep as text: a table of its points, and a chart in braille with the interval of each point."""

import csv
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.cli.output import PIPE_WIDTH, format_table
from core.comparison.formatting import MISSING, bracket_text, metric_title, short_text
from core.comparison.sweep import Sweep, SweepLine
from core.imaging import braille_chart
from core.statistics.estimate import Estimate

Floats = NDArray[np.float64]
CHART_HEIGHT: Final = 8
CHART_WIDTH: Final = 44
_PAD: Final = 0.05


def sweep_text(sweep: Sweep, *, width: int, curves: bool) -> str:
    """Format the points as a table with a row for each, and numeric sweeps as a chart for each line as well.

    Args:
        sweep: the points.
        width: terminal columns to fit into; 0 for no limit.
        curves: draw charts in braille.
    """
    parts = [f"{metric_title(sweep.metric)}{_direction(sweep)} against {sweep.setting}"]
    datasets, labels = {line.dataset for line in sweep.lines}, {line.label for line in sweep.lines}
    heads = [sweep.setting, metric_title(sweep.metric), "runs"]
    rows = []
    for line in sweep.lines:
        name = [line.dataset] * (len(datasets) > 1) + [line.label] * (len(labels) > 1)
        for point in line.points:
            value = short_text(sweep.metric, point.score.estimate)
            rows.append([*name, point.text, value, str(point.runs)])
    names = ["data"] * (len(datasets) > 1) + ["line"] * (len(labels) > 1)
    parts.append(format_table([*names, *heads], rows, "l" * len(names) + "rrr", width=width))
    if curves and sweep.numeric:
        parts += [chart for line in sweep.lines if (chart := _chart(sweep, line, width or PIPE_WIDTH))]
    return "\n\n".join(parts)


def sweep_markdown(sweep: Sweep) -> str:
    """Format a Markdown table with a row for each value and a column for each line."""
    names = [" ".join(filter(None, (line.dataset, line.label))).replace("|", "\\|") for line in sweep.lines]
    found = [{point.text: point for point in line.points} for line in sweep.lines]
    table = [[sweep.setting, *names], ["---:", *("---:" for _ in names)]]
    for _, text in sweep.values:
        cells = [
            bracket_text(sweep.metric, one[text].score.estimate) if text in one else MISSING for one in found
        ]
        table.append([text.replace("|", "\\|"), *cells])
    body = "\n".join("| " + " | ".join(line) + " |" for line in table)
    return f"### {metric_title(sweep.metric)}\n\n{body}\n\nMeans with 95% intervals over seeds and images."


def sweep_json(sweep: Sweep, notes: list[str]) -> dict[str, Any]:
    """Return the sweep as builtins; docs/cli.md documents the keys."""
    return {
        "sweep": sweep.setting,
        "metric": sweep.metric,
        "numeric": sweep.numeric,
        "log": sweep.log,
        "lines": [
            {
                "label": line.label,
                "dataset": line.dataset,
                "points": [
                    {
                        "value": point.value,
                        "runs": point.runs,
                        "seeds": list(point.seeds),
                        "estimate": point.score.estimate,
                    }
                    for point in line.points
                ],
            }
            for line in sweep.lines
        ],
        "notes": notes,
    }


def sweep_csv(sweep: Sweep) -> str:
    """Write one line for each point: its line, value, runs, and the metric followed by its two bounds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    name = sweep.metric
    writer.writerow(["dataset", "label", sweep.setting, "runs", name, f"{name}_low", f"{name}_high"])
    for line in sweep.lines:
        for point in line.points:
            estimate = point.score.estimate
            cells = (
                line.dataset,
                line.label,
                point.value,
                point.runs,
                estimate.value,
                estimate.low,
                estimate.high,
            )
            writer.writerow(["" if cell is None else cell for cell in cells])
    return out.getvalue().rstrip("\n")


def _direction(sweep: Sweep) -> str:
    return f" ({sweep.better} is better)" if sweep.better else ""


def _chart(sweep: Sweep, line: SweepLine, width: int) -> str:
    """Draw the line through the means, and a stroke from end to end of each interval; empty below two points."""
    if len(line.points) < 2:
        return ""
    lows, highs = zip(
        *(
            (low, high)
            for one in sweep.lines
            for point in one.points
            for low, high in [_bounds(point.score.estimate)]
        ),
        strict=True,
    )
    low, high = min(lows), max(highs)
    pad = (high - low) * _PAD or abs(high) * _PAD or 1.0
    labels = [short_text(sweep.metric, Estimate(value)) for value in (high, low)]
    gutter = max(map(len, labels))
    cells = max(8, min(CHART_WIDTH, width - gutter - 2))
    x = _axis(
        [float(value) for value, _ in sweep.values], [float(point.value) for point in line.points], sweep.log
    )
    columns = np.rint(x * (2 * cells - 1)).astype(int)
    means = np.array([point.score.estimate.value for point in line.points], dtype=np.float64)
    through = np.interp(np.arange(2 * cells), columns, means, left=np.nan, right=np.nan)
    middle = (through[1:] + through[:-1]) / 2
    before, after = np.append(np.nan, middle), np.append(middle, np.nan)
    lowest, highest = np.fmin(through, np.fmin(before, after)), np.fmax(through, np.fmax(before, after))
    lowest[np.isnan(through)] = highest[np.isnan(through)] = np.nan
    for column, point in zip(columns, line.points, strict=True):
        bottom, top = _bounds(point.score.estimate)
        lowest[column], highest[column] = min(lowest[column], bottom), max(highest[column], top)
    drawn, _ = braille_chart([(lowest, highest)], CHART_HEIGHT, (low - pad, high + pad))
    lines = ["".join(row).rstrip() for row in drawn]
    heads = [labels[0], *[""] * (CHART_HEIGHT - 2), labels[1]]
    first, last = sweep.values[0][1], sweep.values[-1][1]
    axis = f"{first}{('logarithmic' if sweep.log else '').center(cells - len(first) - len(last))}{last}"
    title = " ".join(filter(None, (line.dataset, line.label)))
    return "\n".join(
        [
            title,
            *(f"{head:>{gutter}} │{text}" for head, text in zip(heads, lines, strict=True)),
            f"{'':{gutter}}  {axis}",
        ]
    )


def _axis(values: list[float], own: list[float], log: bool) -> Floats:
    """Positions of a line's values on the axis of all, from 0 to 1."""
    everything, found = np.array(values), np.array(own)
    if log:
        everything, found = np.log(everything), np.log(found)
    low, high = everything.min(), everything.max()
    positions: Floats = (found - low) / ((high - low) or 1.0)
    return positions


def _bounds(estimate: Estimate) -> tuple[float, float]:
    value = float("nan") if estimate.value is None else estimate.value
    low = value if estimate.low is None else estimate.low
    return low, value if estimate.high is None else estimate.high
