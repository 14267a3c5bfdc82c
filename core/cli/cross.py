"""`core evaluate --cross`: a table of training schedule by sampling schedule."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from core.cli.output import emit, emit_json, format_table, note, stdout_width
from core.cli.progress import progress_bar
from core.comparison.formatting import MISSING, metric_title, value_text
from core.config import SamplingOverrides, ScheduleConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import RunInfo
from core.runs.cross import CrossCell, add_cross_cell, read_cross_cells

if TYPE_CHECKING:
    from core.cli.evaluation_session import EvaluationSession

DEFAULT_COUNT = 64


@dataclass(frozen=True)
class _Column:
    """A schedule, its label, and the levels at which its first run calls the network."""

    schedule: ScheduleConfig
    label: str
    levels: tuple[float, ...]


def evaluate_cross(
    session: "EvaluationSession",
    infos: Sequence[RunInfo],
    labels: dict[str, str],
    *,
    count: int,
    sampling: SamplingOverrides,
    seed: int,
    as_json: bool,
) -> None:
    """Evaluate each run at the levels of each schedule of the runs, and write the table.

    Cells that are kept with the runs already are not computed again.

    Raises:
        UserError: levels were given, or a run cannot be evaluated.
    """
    if sampling.levels is not None or sampling.levels_of is not None:
        raise UserError(
            "--cross takes the levels of the runs' schedules; expected no --levels and --levels-of"
        )
    columns = _columns(infos, labels, sampling)
    rows: list[tuple[RunInfo, list[CrossCell]]] = []
    with progress_bar("crossing", "cells") as report:
        for row, info in enumerate(infos):
            cells = _row(session, info, columns, count, sampling, seed, lambda done, row=row: report(
                row * len(columns) + done, len(infos) * len(columns)))  # fmt: skip
            rows.append((info, cells))
    if as_json:
        emit_json(_json(rows, columns, labels))
        return
    emit(_text(rows, columns, labels))
    if any(cell.beyond for _, cells in rows for cell in cells):
        note(
            "* some levels are noisier than all that the network was trained at; its last timestep stands for them"
        )


def _columns(infos: Sequence[RunInfo], labels: dict[str, str], sampling: SamplingOverrides) -> list[_Column]:
    from core.config.sampling_levels import schedule_levels

    columns: dict[ScheduleConfig, _Column] = {}
    for info in infos:
        config = replace(sampling, start=None).apply_to(info.file.config)
        if config.schedule not in columns:
            others = {
                one.file.config.schedule
                for one in infos
                if one.file.config.schedule.name == config.schedule.name
            }
            label = config.schedule.name if len(others) == 1 else labels[info.id]
            levels = config.sample.levels or schedule_levels(
                config.schedule, config.sample.steps, config.sample.spacing
            )
            columns[config.schedule] = _Column(config.schedule, label, tuple(sorted(levels)))
    return list(columns.values())


def _row(
    session: "EvaluationSession",
    info: RunInfo,
    columns: Sequence[_Column],
    count: int,
    sampling: SamplingOverrides,
    seed: int,
    report: Any,
) -> list[CrossCell]:
    from core.evaluation.cross import evaluate_cell, plan_cell
    from core.training.checkpoint import load_model

    run = info.directory
    session.label = sanitize(run.id)
    evaluator = session.evaluator_for(run)
    loaded = load_model(run, session.device)
    kept = {cell.settings: cell for cell in read_cross_cells(run)}
    cells = []
    for done, column in enumerate(columns, start=1):
        cell = plan_cell(
            loaded, column.label, column.levels, evaluator, count=count, sampling=sampling, seed=seed
        )
        if cell.settings in kept:
            cell = msgspec.structs.replace(cell, metrics=kept[cell.settings].metrics)
        else:
            try:
                cell = evaluate_cell(loaded, cell, evaluator, sampling=sampling)
            except UserError as error:
                raise UserError(f"{sanitize(run.id)}: {error}") from error
            add_cross_cell(run, cell)
        cells.append(cell)
        report(done)
    return cells


def _text(
    rows: Sequence[tuple[RunInfo, Sequence[CrossCell]]], columns: Sequence[_Column], labels: dict[str, str]
) -> str:
    first = rows[0][1][0]
    blocks = [
        f"Networks by row, sampled at the levels of the schedule in the column: {first.sampler}, {first.count} samples."
    ]
    for metric in dict.fromkeys(name for _, cells in rows for cell in cells for name in cell.metrics):
        table = [
            [
                labels[info.id],
                *(
                    value_text(metric, cell.metrics.get(metric)) + ("*" if cell.beyond else " ")
                    for cell in cells
                ),
            ]
            for info, cells in rows
        ]
        headers = [metric_title(metric), *(column.label + " " for column in columns)]
        blocks.append(format_table(headers, table, "l" + "r" * len(columns), width=stdout_width()))
    return "\n\n".join(blocks) if len(blocks) > 1 else f"{blocks[0]}\n{MISSING}"


def _json(
    rows: Sequence[tuple[RunInfo, Sequence[CrossCell]]], columns: Sequence[_Column], labels: dict[str, str]
) -> dict[str, Any]:
    return {
        "columns": [{"schedule": one.label, "levels": one.levels} for one in columns],
        "rows": [
            {
                "run": info.directory.id,
                "label": labels[info.id],
                "cells": [
                    {key: value for key, value in msgspec.to_builtins(cell).items() if key != "levels"}
                    for cell in cells
                ],
            }
            for info, cells in rows
        ],
    }
