"""`core evaluate`: sample quality of trained runs, or of images in a file."""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from core.cli.describe import run_labels
from core.cli.evaluation_session import EvaluationSession
from core.cli.noise_text import noise_json, noise_text
from core.cli.options import (
    COUNT,
    SEED,
    all_option,
    checkpoint_option,
    device_option,
    json_option,
    runs_option,
    sampling_options,
)
from core.cli.output import emit, emit_json, format_table, print_error, stdout_width
from core.cli.restoration_text import restoration_text
from core.cli.run_selection import select_runs
from core.comparison.formatting import MISSING, interval_text, metric_title, sampler_text, value_text
from core.config import RunConfig, SamplingOverrides
from core.errors import EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths
from core.runs import Evaluation, RunStore
from core.runs.metric_definitions import DEFAULT_GROUPS, GROUPS, OPTIONAL_GROUPS, better_direction
from core.runs.progress import reporting_evaluation

DEFAULT_COUNT = 500


@click.command("evaluate")
@click.argument("names", nargs=-1, metavar="[RUN|FILE.npy]...")
@all_option
@click.option(
    "--new", "only_new", is_flag=True, help="Skip runs that were evaluated with these options before."
)
@runs_option
@click.option(
    "--dataset",
    metavar="NAME",
    help="For files: the data to compare their images with; runs have their own.",
)
@click.option(
    "--count",
    type=COUNT,
    metavar="N",
    help=f"Number of samples; by default, {DEFAULT_COUNT} of a run and all of a file.",
)
@click.option(
    "--heldout",
    type=COUNT,
    metavar="N",
    help="Number of held-out images to compare with; by default, all.",
)
@sampling_options("Network calls per image; by default, the run's own.")
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N")
@click.option(
    "--only",
    metavar="GROUP,...",
    help=f"Groups of metrics, of {', '.join(GROUPS)}; by default, all for the data but {', '.join(OPTIONAL_GROUPS)}.",
)
@click.option(
    "--cross", is_flag=True, help="Sample each run at the levels of each run's schedule: a table of shapes."
)
@checkpoint_option
@device_option
@json_option
def command(
    names: tuple[str, ...],
    everything: bool,
    only_new: bool,
    root: Path,
    dataset: str | None,
    count: int | None,
    heldout: int | None,
    sampling: SamplingOverrides,
    seed: int,
    only: str | None,
    cross: bool,
    checkpoint: Literal["last", "best"],
    device: str,
    as_json: bool,
) -> None:
    """Evaluate samples (shape, grey, distribution, novelty) and the network that drew them.

    The network is measured by likelihood, noise and reconstruction.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, latest, the name of a group, or a
    folder of runs. Without one, the newest group is evaluated. The numbers are kept with the run, for core
    compare. FILE.npy holds images from any source, [N,C,H,W] or [N,H,W], floats from 0 to 1 or uint8,
    which are compared with --dataset.
    """
    files = [name for name in names if name.lower().endswith(".npy") or os.path.isfile(name)]
    selectors = [name for name in names if name not in files]
    groups = _parse_groups(only)
    _check_options(files, bool(selectors) or everything or not files, dataset, groups, sampling)
    if cross and (files or only is not None or only_new):
        raise UserError(
            "--cross is for runs, without files, --only and --new; kept cells are not computed again"
        )
    session = EvaluationSession(heldout, seed, groups, explicit=only is not None, checkpoint=checkpoint)
    results: list[tuple[str, Evaluation]] = []
    configs: dict[str, RunConfig] = {}
    errors: list[str] = []
    for name in files:
        evaluation = session.evaluate_file(Path(name), dataset or "", count)
        results.append((name, evaluation))
        if not as_json:
            emit(_evaluation_text(sanitize(name), evaluation))
    if selectors or everything or not files:
        infos = select_runs(RunStore(root), selectors, everything=everything)
        short = run_labels(infos)
        session.prepare(device, [info.directory for info in infos])
        if cross:
            from core.cli.cross import DEFAULT_COUNT as CROSS_COUNT
            from core.cli.cross import evaluate_cross

            session.hidden_stage = "fitting samples"
            evaluate_cross(
                session,
                infos,
                short,
                count=count or CROSS_COUNT,
                sampling=sampling,
                seed=seed,
                as_json=as_json,
            )
            return
        for info in infos:
            try:
                session.label = short[info.id]
                with reporting_evaluation(info.directory) as session.report:
                    evaluation = session.evaluate_run(
                        info.directory, count or DEFAULT_COUNT, sampling, only_new=only_new
                    )
            except UserError as error:
                if len(infos) == 1:
                    raise
                if str(error) not in errors:  # one about the options is the same for each run
                    print_error(str(error))
                errors.append(str(error))
                continue
            results.append((info.directory.id, evaluation))
            config = configs[info.directory.id] = config_with_absolute_paths(info.directory.read())
            if not as_json:
                emit(_evaluation_text(info.id, evaluation))
                if text := noise_text(evaluation, config):
                    emit(text)
                if text := restoration_text(evaluation):
                    emit(text)
    if as_json:
        emit_json(
            [
                _evaluation_json(name, evaluation, None if name in files else configs.get(name))
                for name, evaluation in results
            ]
        )
    if errors:
        raise click.exceptions.Exit(EXIT_USAGE)


def _parse_groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return DEFAULT_GROUPS
    requested = [name.strip() for name in only.split(",")]
    for name in requested:
        if name not in GROUPS:
            raise UserError(f"--only {only}: unknown group {name!r}; expected some of {', '.join(GROUPS)}")
    return tuple(name for name in GROUPS if name in requested)


def _check_options(
    files: Sequence[str],
    runs: bool,
    dataset: str | None,
    groups: Sequence[str],
    sampling: SamplingOverrides,
) -> None:
    if files and not dataset:
        raise UserError(
            f"{sanitize(files[0])}: name the data to compare its images with, for example --dataset high"
        )
    if dataset and not files:
        raise UserError(
            f"--dataset {dataset}: is for files; a run is compared with the data that it was trained on"
        )
    if not runs and sampling != SamplingOverrides():
        options = ", ".join(f"--{field.name.replace('_', '-')}" for field in fields(sampling))
        raise UserError(f"{options} are for runs; the images of a file are drawn already")
    if (
        not runs
        and not {"likelihood", "noise", "reconstruction", "restoration"}.isdisjoint(groups)
        and tuple(groups) != DEFAULT_GROUPS
    ):
        raise UserError(
            "--only likelihood, noise, reconstruction and restoration need a run: images in a file have no network"
        )


def _evaluation_text(name: str, evaluation: Evaluation) -> str:
    """Format the metrics of one run or file, group by group, beside the scores of real images."""
    sampler = f" by {sampler_text(evaluation)}" if evaluation.sampler else ""
    epoch = f"epoch {evaluation.epoch}, " if evaluation.sampler else ""
    against = f"{evaluation.heldout} held-out images of {evaluation.dataset}"
    heading = f"{name}: {epoch}{evaluation.count} samples{sampler} against {against}"
    width = stdout_width()
    lines = [*(textwrap.wrap(heading, width) if width else [heading]), ""]
    rows: list[tuple[str, ...]] = []
    breaks: list[int] = []
    for metrics in GROUPS.values():
        measured = [metric for metric in metrics if metric in evaluation.metrics]
        if measured:
            breaks.append(len(rows))
        for metric in measured:
            estimate = evaluation.metrics[metric]
            rows.append(
                (
                    metric_title(metric),
                    value_text(metric, estimate),
                    interval_text(metric, estimate),
                    value_text(metric, evaluation.real.get(metric)),
                    better_direction(metric, evaluation.metrics) or MISSING,
                )
            )
    table = format_table(("", "value", "95% interval", "real data", "better"), rows, "lrrrl").splitlines()
    for index in reversed(breaks):
        table.insert(index + 1, "")
    return "\n".join([*lines, *table, "", *_class_lines(evaluation)])


def _class_lines(evaluation: Evaluation) -> list[str]:
    """Format the metrics of each class as a table; no lines without classes."""
    if not evaluation.classes:
        return []
    names = list(dict.fromkeys(key for one in evaluation.classes for key in one.metrics))
    rows = [
        (sanitize(one.name), str(one.count), *(value_text(key, one.metrics.get(key)) for key in names))
        for one in evaluation.classes
    ]
    headings = ("class", "samples", *(metric_title(key) for key in names))
    return [*format_table(headings, rows, "l" + "r" * (1 + len(names))).splitlines(), ""]


def _evaluation_json(name: str, evaluation: Evaluation, config: RunConfig | None) -> dict[str, Any]:
    """Return an evaluation with stable keys; `config` is that of the run, None for a file."""
    table = {"run": name if config else None, "file": None if config else name}
    found = {key: value for key, value in msgspec.to_builtins(evaluation).items() if key != "format_version"}
    for key in ("levels", "guidance_interval"):  # null without, as in the settings of a run
        found[key] = found[key] or None
    return table | found | {"noise": noise_json(evaluation, config)}
