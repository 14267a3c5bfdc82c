"""State shared by the evaluations of one command: an evaluator per data set, and the progress display."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.cli.options import note_levels, prepare_torch
from core.cli.output import note
from core.cli.progress import Report, progress_bar
from core.config import SamplingOverrides
from core.config.trained_with import TrainedWith
from core.data.recipe import hidden_folder_note
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths, run_data_dirs
from core.runs import Evaluation, RunDirectory, add_evaluation, read_evaluations
from core.runs.directory import DamagedStatusError
from core.runs.metric_definitions import GROUPS
from core.runs.predicted_noise import write_predicted_noise
from core.runs.progress import ProgressCallback

if TYPE_CHECKING:
    from core.evaluation.evaluator import Evaluator

_LATER_GROUPS = {"noise"}
"""Groups that evaluations of older versions lack; with --new they are measured only if --only names them."""


class EvaluationSession:
    """State shared by the evaluations of one command: an evaluator per data set, and the progress display.

    Attributes:
        label: name of the run or file, for the progress.
        hidden_stage: stage of the evaluator whose progress is not shown.
        report: called with the progress.
        device: device of the networks.
    """

    def __init__(
        self,
        heldout: int | None,
        seed: int,
        groups: Sequence[str],
        *,
        explicit: bool,
        checkpoint: Literal["last", "best"],
    ) -> None:
        self._heldout = heldout
        self._seed = seed
        self._groups = groups
        self._explicit = explicit
        self._checkpoint: Literal["last", "best"] = checkpoint
        self._evaluators: dict[tuple[str, int | None, str], Evaluator] = {}
        self.label = self.hidden_stage = ""
        self.report: ProgressCallback = lambda doing, done, total: None
        self.device = "cpu"

    def prepare(self, device: str, runs: Sequence[RunDirectory]) -> None:
        """Set up the device, and fail early where a single run has no checkpoint."""
        self.device = prepare_torch(device)
        if len(runs) == 1 and not runs[0].checkpoint.exists():
            raise UserError(f"{sanitize(runs[0].id)}: has no checkpoint yet; train it for at least one epoch")

    def evaluate_file(self, path: Path, dataset: str, count: int | None) -> Evaluation:
        """Evaluate the images of a file against a data set."""
        from core.evaluation.evaluator import IMAGE_GROUPS
        from core.evaluation.files import read_images
        from core.evaluation.plan import timestamp

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
        from core.evaluation.plan import plan_evaluation
        from core.evaluation.run_evaluation import evaluate_run
        from core.training.checkpoint import load_model

        _config, evaluator = run.read().config, self.evaluator_for(run)
        groups = self._applicable_groups(evaluator)
        if only_new:
            planned = plan_evaluation(
                run, evaluator, count=count, overrides=sampling, seed=self._seed, checkpoint=self._checkpoint
            )
            for kept in read_evaluations(run):
                missing = {group for group in groups if kept.metrics.keys().isdisjoint(GROUPS[group])}
                if kept.settings == planned.settings and missing <= (
                    set() if self._explicit else _LATER_GROUPS
                ):
                    note(f"{sanitize(run.id)}: was evaluated with these options before")
                    return kept
        note_levels(sampling.apply_to(config_with_absolute_paths(run.read())))
        loaded = load_model(run, self.device, checkpoint=self._checkpoint)
        evaluation = evaluate_run(
            run,
            loaded,
            evaluator,
            count=count,
            overrides=sampling,
            seed=self._seed,
            groups=groups,
            checkpoint=self._checkpoint,
            nearest=None if evaluator.has_triangles else run.nearest_sheet,
        )
        if "noise" in groups:
            from core.evaluation.predicted_noise import measure_predicted_noise

            predicted = measure_predicted_noise(loaded, evaluator.images.heldout, seed=self._seed)
            write_predicted_noise(run, predicted)
        if not evaluator.has_triangles and "novelty" in groups:
            note(
                f"{sanitize(run.id)}: samples beside their nearest training images are in {run.nearest_sheet}"
            )
        return add_evaluation(run, evaluation)

    def evaluator_for(self, run: RunDirectory) -> "Evaluator":
        """Return the evaluator of the images that a run was trained on.

        Raises:
            UserError: they cannot be loaded.
        """
        file, trained_with = run.read(), None
        data = config_with_absolute_paths(file).data
        with contextlib.suppress(DamagedStatusError):
            trained_with = run.read_status().trained_with
        try:
            return self._evaluator(data.dataset, data.count, trained_with, run_data_dirs(file))
        except UserError as error:
            raise UserError(f"{sanitize(run.id)}: {error}") from error

    def _evaluator(
        self,
        dataset: str,
        count: int | None,
        trained_with: TrainedWith | None = None,
        data_dirs: Sequence[Path] = (),
    ) -> "Evaluator":
        """Return the evaluator of a data set; for a run, of the images that it was trained on."""
        from core.cli.run_images import load_images
        from core.evaluation.evaluator import Evaluator

        fingerprint = trained_with.fingerprint if trained_with else ""
        key = dataset, count, fingerprint
        if key not in self._evaluators:
            images = load_images(dataset, count, trained_with, data_dirs)
            if self._heldout is not None and self._heldout > len(images.heldout):
                name = sanitize(images.name)
                note(
                    f"{name}: {self._heldout:,} held-out images were asked for; there are {len(images.heldout):,}"
                )
            evaluator = Evaluator(images, heldout=self._heldout, seed=self._seed, stage=self._stage)
            if self._groups and not (evaluator.has_triangles or self._explicit):
                note(
                    f"{sanitize(images.name)}: shape and grey are left out, because they are for triangles; "
                    "samples are compared with held-out images by features"
                )
            self._evaluators[key] = evaluator
        return self._evaluators[key]

    @contextlib.contextmanager
    def _stage(self, doing: str, unit: str) -> Iterator[Report]:
        if doing == self.hidden_stage:
            yield lambda done, total: None
            return
        with progress_bar(f"{self.label}: {doing}", unit) as show:

            def report(done: int, total: int) -> None:
                show(done, total)
                self.report(doing, done, total)

            yield report

    def _applicable_groups(self, evaluator: "Evaluator") -> tuple[str, ...]:
        if not self._explicit:
            return evaluator.default_groups
        if missing := [group for group in self._groups if group not in evaluator.groups]:
            raise UserError(
                f"--only {', '.join(missing)}: {evaluator.images.name} does not show grey triangles; expected some of "
                f"{', '.join(evaluator.groups)}"
            )
        return tuple(group for group in self._groups if group in evaluator.groups)
