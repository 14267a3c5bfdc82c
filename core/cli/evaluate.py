"""`core evaluate`: sample quality of trained runs, or of images in a file."""

import contextlib
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.cli.describe import run_labels
from core.cli.noise_text import noise_json, noise_text
from core.cli.options import (
    COUNT,
    SEED,
    all_option,
    device_option,
    json_option,
    prepare_torch,
    runs_option,
    sampling_options,
)
from core.cli.output import emit, emit_json, format_table, note, print_error, stdout_width
from core.cli.progress import Report, progress_bar
from core.cli.run_selection import select_runs
from core.comparison.formatting import MISSING, interval_text, metric_title, sampler_text, value_text
from core.config import RunConfig, SamplingOverrides
from core.config.trained_with import TrainedWith
from core.data.recipe import hidden_folder_note
from core.errors import EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths, run_data_dirs
from core.runs import METRICS, Evaluation, RunDirectory, RunStore, add_evaluation, read_evaluations
from core.runs.directory import DamagedStatusError
from core.runs.progress import ProgressCallback, reporting_evaluation
from core.runs.results import GROUPS

if TYPE_CHECKING:
    from core.evaluation.evaluator import Evaluator

DEFAULT_COUNT = 500
_LATER_GROUPS = {"noise"}
"""Groups that evaluations of older versions lack; with --new they are measured only if --only names them."""


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
    "--only", metavar="GROUP,...", help=f"Groups of metrics, of {', '.join(GROUPS)}; by default, all."
)
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
    device: str,
    as_json: bool,
) -> None:
    """Evaluate samples (shape, grey, distribution, novelty) and the network that drew them (likelihood,
    noise, reconstruction).

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, latest, the name of a group, or a
    folder of runs. Without one, the newest group is evaluated. The numbers are kept with the run, for core
    compare. FILE.npy holds images from any source, [N,C,H,W] or [N,H,W], floats from 0 to 1 or uint8,
    which are compared with --dataset.
    """
    files = [name for name in names if name.lower().endswith(".npy") or os.path.isfile(name)]
    selectors = [name for name in names if name not in files]
    groups = _parse_groups(only)
    _check_options(files, bool(selectors) or everything or not files, dataset, groups, sampling)
    session = _Session(heldout, seed, groups, explicit=only is not None)
    results: list[tuple[str, Evaluation]] = []
    configs: dict[str, RunConfig] = {}
    failed = 0
    for name in files:
        evaluation = session.evaluate_file(Path(name), dataset or "", count)
        results.append((name, evaluation))
        if not as_json:
            emit(_evaluation_text(sanitize(name), evaluation))
    if selectors or everything or not files:
        infos = select_runs(RunStore(root), selectors, everything=everything)
        short = run_labels(infos)
        session.prepare(device, [info.directory for info in infos])
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
                print_error(str(error))
                failed += 1
                continue
            results.append((info.directory.id, evaluation))
            config = configs[info.directory.id] = config_with_absolute_paths(info.directory.read())
            if not as_json:
                emit(_evaluation_text(info.id, evaluation))
                if text := noise_text(evaluation, config):
                    emit(text)
    if as_json:
        emit_json(
            [
                _evaluation_json(name, evaluation, None if name in files else configs.get(name))
                for name, evaluation in results
            ]
        )
    if failed:
        raise click.exceptions.Exit(EXIT_USAGE)


def _parse_groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return tuple(GROUPS)
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
        options = ", ".join(f"--{field.name}" for field in fields(sampling))
        raise UserError(f"{options} are for runs; the images of a file are drawn already")
    if (
        not runs
        and not {"likelihood", "noise", "reconstruction"}.isdisjoint(groups)
        and len(groups) < len(GROUPS)
    ):
        raise UserError(
            "--only likelihood, noise and reconstruction need a run: images in a file have no network"
        )


class _Session:
    """State shared by the evaluations of one command: an evaluator per data set, and the progress display."""

    def __init__(self, heldout: int | None, seed: int, groups: Sequence[str], *, explicit: bool) -> None:
        self._heldout = heldout
        self._seed = seed
        self._groups = groups
        self._explicit = explicit
        self._evaluators: dict[tuple[str, int | None, str], Evaluator] = {}
        self.label = ""
        self.report: ProgressCallback = lambda doing, done, total: None
        self._device = "cpu"

    def prepare(self, device: str, runs: Sequence[RunDirectory]) -> None:
        """Set up the device, and fail early where a single run has no checkpoint."""
        self._device = prepare_torch(device)
        if len(runs) == 1 and not runs[0].checkpoint.exists():
            raise UserError(f"{sanitize(runs[0].id)}: has no checkpoint yet; train it for at least one epoch")

    def evaluate_file(self, path: Path, dataset: str, count: int | None) -> Evaluation:
        """Evaluate the images of a file against a data set."""
        from core.evaluation.evaluator import IMAGE_GROUPS, timestamp
        from core.evaluation.files import read_images

        samples = read_images(path)[:count]
        self.label = sanitize(path.name)
        if count is not None and count > len(samples):
            note(f"{self.label}: {count:,} images were asked for; there are {len(samples):,}")
        if text := hidden_folder_note(dataset):
            note(text)
        evaluator = self._evaluator(dataset, None)
        groups = [group for group in self._applicable_groups(evaluator) if group in IMAGE_GROUPS]
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
        self, run: RunDirectory, count: int, sampling: SamplingOverrides, *, only_new: bool
    ) -> Evaluation:
        """Evaluate a run and store the result with it; with `only_new`, return a stored one if it matches."""
        from core.evaluation.evaluator import evaluate_run, plan_evaluation

        file = run.read()
        config = config_with_absolute_paths(file)
        trained_with = None
        with contextlib.suppress(DamagedStatusError):
            trained_with = run.read_status().trained_with
        try:
            evaluator = self._evaluator(
                config.data.dataset, config.data.count, trained_with, run_data_dirs(file)
            )
        except UserError as error:
            raise UserError(f"{sanitize(run.id)}: {error}") from error
        groups = self._applicable_groups(evaluator)
        if only_new:
            planned = plan_evaluation(run, evaluator, count=count, overrides=sampling, seed=self._seed)
            for kept in read_evaluations(run):
                missing = {group for group in groups if kept.metrics.keys().isdisjoint(GROUPS[group])}
                if kept.settings == planned.settings and missing <= (
                    set() if self._explicit else _LATER_GROUPS
                ):
                    note(f"{sanitize(run.id)}: was evaluated with these options before")
                    return kept
        evaluation = evaluate_run(
            run,
            evaluator,
            count=count,
            overrides=sampling,
            seed=self._seed,
            groups=groups,
            device=self._device,
        )
        return add_evaluation(run, evaluation)

    def _evaluator(
        self,
        dataset: str,
        count: int | None,
        trained_with: TrainedWith | None = None,
        data_dirs: Sequence[Path] = (),
    ) -> "Evaluator":
        """Return the evaluator of a data set; for a run, of the images that it was trained on."""
        from core.data import load_dataset
        from core.data.trained_images import find_trained_images, load_trained_images
        from core.evaluation.evaluator import Evaluator

        fingerprint = trained_with.fingerprint if trained_with else ""
        key = dataset, count, fingerprint
        if key not in self._evaluators:
            with progress_bar(sanitize(dataset), "images") as report:
                if trained_with is None or not fingerprint:
                    images = load_dataset(dataset, count=count, progress=report)
                else:
                    images = find_trained_images(trained_with, data_dirs) or load_trained_images(
                        dataset, trained_with, count=count, progress=report
                    )
            if self._heldout is not None and self._heldout > len(images.heldout):
                name = sanitize(images.name)
                note(
                    f"{name}: {self._heldout:,} held-out images were asked for; there are {len(images.heldout):,}"
                )
            self._evaluators[key] = Evaluator(
                images, heldout=self._heldout, seed=self._seed, stage=self._stage
            )
        return self._evaluators[key]

    @contextlib.contextmanager
    def _stage(self, doing: str, unit: str) -> Iterator[Report]:
        with progress_bar(f"{self.label}: {doing}", unit) as show:

            def report(done: int, total: int) -> None:
                show(done, total)
                self.report(doing, done, total)

            yield report

    def _applicable_groups(self, evaluator: "Evaluator") -> tuple[str, ...]:
        missing = [group for group in self._groups if group not in evaluator.groups]
        if missing and self._explicit:
            raise UserError(
                f"--only {', '.join(missing)}: {evaluator.images.name} does not show grey triangles; expected some of "
                f"{', '.join(evaluator.groups)}"
            )
        return tuple(group for group in self._groups if group in evaluator.groups)


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
                    METRICS[metric].better or MISSING,
                )
            )
    table = format_table(("", "value", "95% interval", "real data", "better"), rows, "lrrrl").splitlines()
    for index in reversed(breaks):
        table.insert(index + 1, "")
    return "\n".join([*lines, *table, ""])


def _evaluation_json(name: str, evaluation: Evaluation, config: RunConfig | None) -> dict[str, Any]:
    """Return an evaluation with stable keys; `config` is that of the run, None for a file."""
    table = {"run": name if config else None, "file": None if config else name}
    found = {key: value for key, value in msgspec.to_builtins(evaluation).items() if key != "format_version"}
    return table | found | {"noise": noise_json(evaluation, config)}
