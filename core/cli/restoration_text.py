"""Restoration in an evaluation as text: a table of methods by task."""

from core.cli.output import format_table
from core.comparison.formatting import MISSING
from core.runs import Evaluation
from core.runs.restoration import GAIN, restoration_rows
from core.statistics.estimate import Estimate


def restoration_text(evaluation: Evaluation) -> str:
    """Format what a run and simple baselines made of degraded images; empty if that was not measured."""
    rows = restoration_rows(evaluation)
    if not rows:
        return ""
    lines: list[tuple[str, ...]] = []
    tasks = ""
    breaks: list[int] = []
    for row in rows:
        if row.task != tasks:
            breaks.append(len(lines))
        name = "gain over the best" if row.method == GAIN else row.method
        lines.append(
            (
                row.task if row.task != tasks else "",
                name,
                _number(row.psnr, 2),
                f"{_bound(row.psnr.low)} to {_bound(row.psnr.high)}" if row.psnr.low is not None else MISSING,
                _number(row.pooled, 2),
                _number(row.ssim, 3),
                _number(row.iou, 3),
            )
        )
        tasks = row.task
    table = format_table(
        ("", "", "PSNR", "95% interval", "of MSE", "SSIM", "IoU"), lines, "llrrrrr"
    ).splitlines()
    for index in reversed(breaks):
        table.insert(index + 1, "")
    return "\n".join([*table, ""])


def _number(estimate: Estimate, digits: int) -> str:
    return MISSING if estimate.value is None else f"{estimate.value:.{digits}f}"


def _bound(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
