"""Noise errors of an evaluation as text and JSON: where the network fails or memorises, and its bound in parts."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from core.cli.output import format_table, number_text, stdout_width
from core.comparison.formatting import MISSING
from core.config import RunConfig
from core.runs import Evaluation
from core.runs.noise_errors import (
    Range,
    ScheduleBounds,
    memorised,
    noise_error_curve,
    schedule_bounds,
    worse_than_linear,
)
from core.statistics.predicted_bound import BoundVariance

_ROWS: Final = 9
_NOTHING: Final = 1e-9
_COLUMNS: Final = (
    ("held out", "noise_error"),
    ("training", "noise_error.train"),
    ("linear", "noise_error.linear"),
    ("memorised", "noise_error.ideal"),
)


def noise_text(evaluation: Evaluation, config: RunConfig) -> str:
    """Format the noise errors of a run's evaluation; empty if they were not measured."""
    curve = noise_error_curve(evaluation)
    if curve is None:
        return ""
    columns = [(title, evaluation.curves[key]) for title, key in _COLUMNS if key in evaluation.curves]
    count = len(curve.log_snr)
    rows_shown = min(count, _ROWS)
    shown = [round(index * (count - 1) / max(rows_shown - 1, 1)) for index in reversed(range(rows_shown))]
    rows = [
        [f"{curve.log_snr[index]:.1f}", *(_number(values[index]) for _, values in columns)] for index in shown
    ]
    table = format_table(("log SNR", *(title for title, _ in columns)), rows, "r" * (len(columns) + 1))
    lines = [
        "Error of the predicted noise, by log SNR: of the network on held-out and on training images, of the linear "
        "denoiser, and of a network that has memorised its training images.",
        "",
        *table.splitlines(),
        "",
        *noise_sentences(evaluation),
    ]
    bounds = schedule_bounds(evaluation, config.schedule)
    if bounds:
        lines += ["", *_bound_lines(bounds, config.diffusion.variance)]
    width = stdout_width()
    return "\n".join([part for line in lines for part in _wrapped(line, width)] + [""])


def noise_sentences(evaluation: Evaluation) -> list[str]:
    """Return where the network fails and where it memorises, a sentence each; empty if it was not measured."""
    if noise_error_curve(evaluation) is None:
        return []
    found = []
    if noise_error_curve(evaluation, "linear") is not None:
        worse = worse_than_linear(evaluation)
        found.append(
            f"Worse than a linear denoiser at log SNR {_ranges_text(worse)}."
            if worse
            else "Not clearly worse than a linear denoiser at any noise level."
        )
    levels = memorised(evaluation)
    found.append(
        f"Memorises at log SNR {_ranges_text(levels)}: training images have a clearly lower error than held-out ones."
        if levels
        else "No memorising: training and held-out images do not clearly differ at any noise level."
    )
    return found


def noise_json(evaluation: Evaluation, config: RunConfig | None) -> dict[str, Any] | None:
    """Return what `noise_text` shows beyond metrics and curves, with stable keys; None if it was not measured."""
    if config is None or noise_error_curve(evaluation) is None:
        return None
    return {
        "worse_than_linear": worse_than_linear(evaluation),
        "memorised": memorised(evaluation),
        "sentences": noise_sentences(evaluation),
        "bounds": [
            {
                "schedule": bound.name,
                "own": bound.own,
                "extrapolated": bound.extrapolated,
                **{
                    name: {**asdict(parts), "middle": parts.middle, "total": parts.total}
                    for name, parts in bound.parts.items()
                },
            }
            for bound in schedule_bounds(evaluation, config.schedule)
        ],
    }


def _bound_lines(bounds: Sequence[ScheduleBounds], variance: BoundVariance) -> list[str]:
    headers = ("", "L_T", "network", "steps", "variance", "L_0", "total", "beta_tilde", "optimal")
    rows = []
    for bound in bounds:
        parts = bound.parts[variance]
        mark = " *" if bound.extrapolated else ""
        values = (parts.prior, parts.network, parts.steps, parts.variance, parts.decoder, parts.total)
        rows.append(
            [
                bound.name + mark,
                *(MISSING if value is None else f"{value:.3f}" for value in values),
                f"{bound.parts['beta_tilde'].total:.3f}",
                f"{bound.parts['optimal'].total:.3f}",
            ]
        )
    lines = [
        f"The bound in bits a dimension, predicted from these errors: with the schedule {bounds[0].name} and the "
        f"variance {variance} of the run, and of the same network under other schedules and variances.",
        "",
        *format_table(headers, rows, "l" + "r" * 8).splitlines(),
    ]
    if any(bound.extrapolated for bound in bounds):
        lines += [
            "",
            "* begins with less noise than was measured, and is extrapolated.",
        ]
    return lines


def _ranges_text(ranges: Sequence[Range]) -> str:
    """Format ranges as `from -10.1 to -6.3`, or `-6.3` for one level."""
    return " and ".join(
        f"{low:.1f}" if low == high else f"from {low:.1f} to {high:.1f}" for low, high in ranges
    )


def _number(value: float | None) -> str:
    return MISSING if value is None else number_text(value if value > _NOTHING else 0.0)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width) if width and " " in line and not line.startswith(" ") else [line]
