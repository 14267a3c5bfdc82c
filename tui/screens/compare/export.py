"""Exports of a comparison: its numbers as CSV, and the wall of its images.

Makers run in a thread, so each reads files through a cache of its own.
"""

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
from core.runs.metric_definitions import METRICS
from core.runs.results import Evaluation, read_evaluations
from tui.export.image_files import gif, png, render_wall
from tui.export.item import ExportItem
from tui.screens.compare.summary import run_metrics, setting_differences
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.gallery import SampleGallery, all_epochs
from tui.widgets.images.image_wall import WallColumn

FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would compute text with one of these prefixes."""


def table_item(runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> ExportItem:
    """Return a table with a line for each run: metrics, the comparable evaluation, settings in which runs differ.

    Args:
        runs: at least one.
        labels: of the runs, by id.
    """

    def table() -> bytes:
        keys = [difference.key for difference in setting_differences(runs)]
        evaluated = select_evaluations([_evaluations(run) for run in runs])
        lines = [
            _row(run, labels[run.id], keys, evaluation)
            for run, evaluation in zip(runs, evaluated, strict=True)
        ]
        file = io.StringIO()
        writer = csv.DictWriter(file, _column_names(lines), restval="")
        writer.writeheader()
        writer.writerows(lines)
        return file.getvalue().encode()

    return ExportItem("table.csv", table)


def wall_items(
    runs: Sequence[RunSnapshot],
    epoch: int | None,
    *,
    labels: Mapping[str, str],
    places: Mapping[str, int],
    variables: Mapping[str, str],
) -> list[ExportItem]:
    """Return the wall at an epoch, and animated through all epochs; nothing where there are no images.

    Args:
        runs: a column each.
        epoch: whose images; None for each run's latest.
        labels: of the runs, by id.
        places: of the runs, by id: their color and number.
        variables: of the theme.
    """
    epochs = all_epochs(runs)
    gallery = SampleGallery()

    def columns(epoch: int | None) -> list[list[WallColumn]]:
        return [gallery.columns(runs, epoch, labels=labels, places=places, per_run=1, variables=variables)]

    items = [ExportItem("wall.png", lambda: png(render_wall(columns(epoch))))] if epochs else []
    if len(epochs) > 1:
        items.append(ExportItem("wall.gif", lambda: gif(columns, epochs)))
    return items


def _row(
    run: RunSnapshot, label: str, keys: Sequence[str], evaluation: Evaluation | None
) -> dict[str, object]:
    settings = flatten(msgspec.to_builtins(run.file.config.resolved()))
    cells = {
        "run": run.id,
        "name": label,
        **flatten(dataclasses.asdict(run_metrics(run))),
        **{key: settings.get(key) for key in keys},
        **_evaluation_cells(evaluation),
    }
    return {key: _cell(value) for key, value in cells.items()}


def _column_names(lines: Sequence[dict[str, object]]) -> list[str]:
    """Return the columns of all lines, those of evaluations in the order of `METRICS`."""
    found = dict.fromkeys(key for line in lines for key in line)
    metrics = [key for name in METRICS for key in (name, f"{name}.low", f"{name}.high") if key in found]
    return [*(key for key in found if key not in metrics), *metrics]


def _evaluations(run: RunSnapshot) -> list[Evaluation]:
    """Return a run's evaluations, without those that a replay has not reached yet."""
    try:
        return [evaluation for evaluation in read_evaluations(run.run) if run.is_shown_at(evaluation.epoch)]
    except UserError:
        return []


def _evaluation_cells(evaluation: Evaluation | None) -> dict[str, object]:
    """Return each metric with the bounds of its 95% interval, after the epoch and number of samples."""
    if evaluation is None:
        return {}
    cells: dict[str, object] = {"judged epoch": evaluation.epoch, "samples": evaluation.count}
    for name in METRICS:
        if (estimate := evaluation.metrics.get(name)) is not None:
            cells |= {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
    return cells


def _cell(value: object) -> object:
    """Return a value for the table; text that a spreadsheet would compute is quoted."""
    if isinstance(value, Enum):
        value = str(value.value)
    if isinstance(value, str) and value.startswith(FORMULA_PREFIXES):
        return f"'{value}"
    return "" if value is None else value
