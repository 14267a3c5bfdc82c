"""`core evaluate`: how good the samples of trained runs are, or any pictures in a file."""

import contextlib
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.cli.describe import labels
from core.cli.options import device_option, json_option, prepare_torch, runs_option, sampling_options
from core.cli.output import emit, emit_json, format_table, note, print_error, stdout_width
from core.cli.progress import Report, counting
from core.cli.run_selection import chosen_runs
from core.comparison.formatting import MISSING, interval_text, metric_title, sampler_text, value_text
from core.config import SamplingOverrides
from core.errors import EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths
from core.runs import METRICS, Evaluation, RunDirectory, RunStore, add_evaluation, read_evaluations
from core.runs.progress import ProgressCallback, reporting_evaluation
from core.runs.results import GROUPS

if TYPE_CHECKING:
    from core.evaluation.evaluator import Evaluator

COUNT = 500
SEED_LIMIT = 2**63 - 1


@click.command("evaluate")
@click.argument("names", nargs=-1, metavar="[RUN|FILE.npy]...")
@click.option("--all", "everything", is_flag=True, help="All runs of the folder.")
@click.option(
    "--new", "only_new", is_flag=True, help="Leave out runs that were judged with these options before."
)
@runs_option
@click.option(
    "--dataset",
    metavar="NAME",
    help="For files: the data that their pictures should look like; a run has its own.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help=f"Samples: {COUNT} of a run and all of a file unless given.",
)
@click.option(
    "--heldout", type=click.IntRange(1), metavar="N", help="Held-out pictures to measure against; all."
)
@sampling_options("Network calls a picture; the run's own unless given.")
@click.option("--seed", type=click.IntRange(0, SEED_LIMIT), default=0, show_default=True, metavar="N")
@click.option("--only", metavar="GROUP,...", help=f"Of {', '.join(GROUPS)}; all unless given.")
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
    drawing: SamplingOverrides,
    seed: int,
    only: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Judge how good samples are: their shape, grey, distribution, novelty; and the network behind them.

    RUN is an id, the beginning of exactly one id, the path of a run's folder, latest, or the name of a
    group, or a folder of runs; without one, the newest group is judged. The numbers are kept with the run, for core
    compare. FILE.npy holds pictures from anywhere, [N,C,H,W] or [N,H,W], of floats from 0 to 1 or of
    uint8, to be judged against --dataset.
    """
    files = [name for name in names if name.lower().endswith(".npy") or os.path.isfile(name)]
    selectors = [name for name in names if name not in files]
    groups = _groups(only)
    _check_options(files, bool(selectors) or everything or not files, dataset, groups, drawing)
    session = _Session(heldout, seed, groups, explicit=only is not None)
    results: list[tuple[str, Evaluation]] = []
    failed = 0
    for name in files:
        evaluation = session.evaluate_file(Path(name), dataset or "", count)
        results.append((name, evaluation))
        if not as_json:
            emit(_text(sanitize(name), evaluation))
    if selectors or everything or not files:
        infos = chosen_runs(RunStore(root), selectors, everything=everything)
        short = labels(infos)
        session.prepare(device, [info.directory for info in infos])
        for info in infos:
            try:
                session.label = short[info.id]
                with reporting_evaluation(info.directory) as session.say:
                    evaluation = session.evaluate_run(
                        info.directory, count or COUNT, drawing, only_new=only_new
                    )
            except UserError as error:
                if len(infos) == 1:
                    raise
                print_error(str(error))
                failed += 1
                continue
            results.append((info.id, evaluation))
            if not as_json:
                emit(_text(info.id, evaluation))
    if as_json:
        emit_json([_as_json(name, evaluation, is_file=name in files) for name, evaluation in results])
    if failed:
        raise click.exceptions.Exit(EXIT_USAGE)


def _groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return tuple(GROUPS)
    asked = [name.strip() for name in only.split(",")]
    for name in asked:
        if name not in GROUPS:
            raise UserError(f"--only {only}: unknown group {name!r}; expected some of {', '.join(GROUPS)}")
    return tuple(name for name in GROUPS if name in asked)


def _check_options(
    files: Sequence[str],
    runs: bool,
    dataset: str | None,
    groups: Sequence[str],
    drawing: SamplingOverrides,
) -> None:
    if files and not dataset:
        raise UserError(
            f"{sanitize(files[0])}: say what its pictures should look like, for example --dataset high"
        )
    if dataset and not files:
        raise UserError(
            f"--dataset {dataset}: is for files; a run is measured against the data that it has learnt"
        )
    if not runs and drawing != SamplingOverrides():
        options = ", ".join(f"--{field.name}" for field in fields(drawing))
        raise UserError(f"{options} are for runs; the pictures of a file are drawn already")
    if not runs and not {"likelihood", "reconstruction"}.isdisjoint(groups) and len(groups) < len(GROUPS):
        raise UserError("--only likelihood and reconstruction need a run: pictures in a file have no network")


class _Session:
    """What the judgements of one command share: one judge for each data set, and where progress is shown."""

    def __init__(self, heldout: int | None, seed: int, groups: Sequence[str], *, explicit: bool) -> None:
        self._heldout = heldout
        self._seed = seed
        self._groups = groups
        self._explicit = explicit
        self._evaluators: dict[tuple[str, int | None], Evaluator] = {}
        self.label = ""
        self.say: ProgressCallback = lambda doing, done, total: None
        self._device = "cpu"

    def prepare(self, device: str, runs: Sequence[RunDirectory]) -> None:
        """Find out what is wrong before anything is computed that takes long."""
        self._device = prepare_torch(device)
        if len(runs) == 1 and not runs[0].checkpoint.exists():
            raise UserError(f"{sanitize(runs[0].id)}: has no checkpoint yet; train it for at least one epoch")

    def evaluate_file(self, path: Path, dataset: str, count: int | None) -> Evaluation:
        """Judge pictures of a file against a data set."""
        from core.evaluation.evaluator import IMAGE_GROUPS, timestamp
        from core.evaluation.files import read_images

        samples = read_images(path)[:count]
        self.label = sanitize(path.name)
        evaluator = self._evaluate(dataset, None)
        groups = [group for group in self._applying(evaluator) if group in IMAGE_GROUPS]
        try:
            evaluator.check(samples)
            metrics, curves = evaluator.evaluate(samples, groups)
        except UserError as error:
            raise UserError(f"{sanitize(str(path))}: {error}") from error
        return Evaluation(
            created=timestamp(),
            dataset=evaluator.images.name,
            count=len(samples),
            heldout=len(evaluator.heldout),
            seed=self._seed,
            metrics=metrics,
            real=evaluator.evaluate_real(len(samples), groups),
            curves=curves,
        )

    def evaluate_run(
        self, run: RunDirectory, count: int, drawing: SamplingOverrides, *, only_new: bool
    ) -> Evaluation:
        """Judge a run and keep what was found with it; or give what is kept already."""
        from core.evaluation.evaluator import evaluate_run, plan_evaluation

        config = config_with_absolute_paths(run.read())
        try:
            evaluator = self._evaluate(config.data.dataset, config.data.count)
        except UserError as error:
            raise UserError(f"{sanitize(run.id)}: {error}") from error
        groups = self._applying(evaluator)
        if only_new:
            planned = plan_evaluation(run, evaluator, count=count, overrides=drawing, seed=self._seed)
            for kept in read_evaluations(run):
                known = {group for group in groups if not kept.metrics.keys().isdisjoint(GROUPS[group])}
                if kept.settings == planned.settings and known == set(groups):
                    note(f"{sanitize(run.id)}: was judged with these options before")
                    return kept
        evaluation = evaluate_run(
            run,
            evaluator,
            count=count,
            overrides=drawing,
            seed=self._seed,
            groups=groups,
            device=self._device,
        )
        return add_evaluation(run, evaluation)

    def _evaluate(self, dataset: str, count: int | None) -> "Evaluator":
        from core.data import load_dataset
        from core.evaluation.evaluator import Evaluator

        key = dataset, count
        if key not in self._evaluators:
            with counting(sanitize(dataset), "pictures") as report:
                images = load_dataset(dataset, count=count, progress=report)
            self._evaluators[key] = Evaluator(
                images, heldout=self._heldout, seed=self._seed, stage=self._stage
            )
        return self._evaluators[key]

    @contextlib.contextmanager
    def _stage(self, doing: str, unit: str) -> Iterator[Report]:
        with counting(f"{self.label}: {doing}", unit) as show:

            def report(done: int, total: int) -> None:
                show(done, total)
                self.say(doing, done, total)

            yield report

    def _applying(self, evaluator: "Evaluator") -> tuple[str, ...]:
        missing = [group for group in self._groups if group not in evaluator.groups]
        if missing and self._explicit:
            raise UserError(
                f"--only {', '.join(missing)}: {evaluator.images.name} is not of grey triangles; expected some of "
                f"{', '.join(evaluator.groups)}"
            )
        return tuple(group for group in self._groups if group in evaluator.groups)


def _text(name: str, evaluation: Evaluation) -> str:
    """What was found of one run or file, group by group, beside what real pictures score."""
    how = f" by {sampler_text(evaluation)}" if evaluation.sampler else ""
    epoch = f"epoch {evaluation.epoch}, " if evaluation.sampler else ""
    against = f"{evaluation.heldout} held-out pictures of {evaluation.dataset}"
    heading = f"{name}: {epoch}{evaluation.count} samples{how} against {against}"
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
                    METRICS[metric].better or MISSING,
                )
            )
    table = format_table(("", "value", "95% interval", "real data", "better"), rows, "lrrrl").splitlines()
    for place in reversed(breaks):
        table.insert(place + 1, "")
    return "\n".join([*lines, *table, ""])


def _as_json(name: str, evaluation: Evaluation, *, is_file: bool) -> dict[str, Any]:
    table = {"run": None if is_file else sanitize(name), "file": sanitize(name) if is_file else None}
    return table | {
        key: value for key, value in msgspec.to_builtins(evaluation).items() if key != "format_version"
    }
