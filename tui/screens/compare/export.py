"""The numbers of runs side by side as CSV: how they train, how good their samples are, and what sets them apart."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from core.comparison.grouping import select_evaluations
from core.config import flatten
from core.errors import UserError
from core.runs.results import METRICS, Evaluation, read_evaluations
from tui.export.item import ExportItem
from tui.screens.compare.summary import differences, figures
from tui.state.snapshot import RunSnapshot

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins so would be computed by a spreadsheet."""


def table_item(runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> ExportItem:
    """A line a run: its numbers, the judgement that can be compared, and the settings in which runs differ.

    Args:
        runs: at least one.
        labels: what each run is called, by id.
    """

    def table() -> bytes:
        telling = [difference.key for difference in differences(runs)]
        evaluated = select_evaluations([_evaluations(run) for run in runs])
        lines = [
            _line(run, labels[run.id], telling, evaluation)
            for run, evaluation in zip(runs, evaluated, strict=True)
        ]
        kept = io.StringIO()
        writer = csv.DictWriter(kept, _headings(lines), restval="")
        writer.writeheader()
        writer.writerows(lines)
        return kept.getvalue().encode()

    return ExportItem("table.csv", table)


def _line(
    run: RunSnapshot, label: str, telling: Sequence[str], evaluation: Evaluation | None
) -> dict[str, object]:
    settings = flatten(msgspec.to_builtins(run.file.config.resolved()))
    cells = {
        "run": run.id,
        "name": label,
        **flatten(dataclasses.asdict(figures(run))),
        **{key: settings.get(key) for key in telling},
        **_evaluation(evaluation),
    }
    return {key: _cell(value) for key, value in cells.items()}


def _headings(lines: Sequence[dict[str, object]]) -> list[str]:
    """The columns of all lines; of judgements in the order of `METRICS`, whichever run has which."""
    found = dict.fromkeys(key for line in lines for key in line)
    metrics = [key for name in METRICS for key in (name, f"{name}.low", f"{name}.high") if key in found]
    return [*(key for key in found if key not in metrics), *metrics]


def _evaluations(run: RunSnapshot) -> list[Evaluation]:
    """All judgements, but of no later epoch than the run has reached, as there may be in a replay."""
    try:
        return [one for one in read_evaluations(run.run) if one.epoch <= run.status.epoch]
    except UserError:
        return []


def _evaluation(evaluation: Evaluation | None) -> dict[str, object]:
    """Each measured value with the bounds of its 95% interval, and what was judged."""
    if evaluation is None:
        return {}
    cells: dict[str, object] = {"judged epoch": evaluation.epoch, "samples": evaluation.count}
    for name in METRICS:
        if (estimate := evaluation.metrics.get(name)) is not None:
            cells |= {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
    return cells


def _cell(value: object) -> object:
    """A value of a table; text stays text in whatever opens the file."""
    if isinstance(value, Enum):
        value = str(value.value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value
