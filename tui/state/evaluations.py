"""Evaluations of the runs of a comparison, read from the runs' folders, and the comparison itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.comparison.compare import Comparison, compare
from core.comparison.grouping import Member, select_evaluations
from core.comparison.trained_further import is_before
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.runs.progress import FILE_NAME as EVALUATING_FILE
from core.runs.progress import EvaluationProgress, read_evaluation_progress
from core.runs.results import FILE_NAME as EVALUATED_FILE
from core.runs.results import Evaluation, read_evaluations
from core.runs.store import RunInfo
from tui.state.snapshot import RunSnapshot

_Signatures = tuple[FileSignature | None, FileSignature | None]
_NEVER_READ: Final = ((-1, -1, -1), None)


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """Evaluation state of one run.

    Attributes:
        evaluation: the evaluation that is compared; None if the run has none.
        stale: whether the run has trained further since.
        progress: progress of an evaluation that is under way; empty if there is none.
        problem: why evaluating the run failed, or why its evaluations cannot be read; empty if neither did.
    """

    evaluation: Evaluation | None = None
    stale: bool = False
    progress: str = ""
    problem: str = ""


class Evaluations:
    """Cache of evaluations: rereads a run's files only when they change, compares again only when a number does."""

    def __init__(self) -> None:
        self._signatures: dict[str, _Signatures] = {}
        self._evaluations: dict[str, tuple[list[Evaluation], str]] = {}
        self._progress: dict[str, EvaluationProgress | None] = {}
        self._comparison: tuple[tuple[object, ...], Comparison | None] | None = None

    def refresh(self, runs: Sequence[RunSnapshot]) -> bool:
        """Reread the files that changed.

        Returns:
            Whether anything changed.
        """
        changed = False
        for run in runs:
            folder = run.run.path
            seen = signature(folder / EVALUATED_FILE), signature(folder / EVALUATING_FILE)
            before = self._signatures.get(run.id, _NEVER_READ)
            if seen[0] != before[0]:
                self._evaluations[run.id] = _read_evaluations(run)
            if seen[1] is not None or seen[1] != before[1]:
                # Read each time, because no file changes when the evaluating process dies.
                evaluating = read_evaluation_progress(run.run)
                changed |= evaluating != self._progress.get(run.id)
                self._progress[run.id] = evaluating
            changed |= seen != before
            self._signatures[run.id] = seen
        return changed

    def by_run(self, runs: Sequence[RunSnapshot]) -> dict[str, RunEvaluation]:
        """The evaluation state of each run, by id, as `core.comparison.grouping.select_evaluations` selects it.

        What a replay has not reached yet is left out, and so are evaluations that are under way now.
        """
        found = select_evaluations(
            [
                [one for one in self._evaluations.get(run.id, ([], ""))[0] if run.is_shown_at(one.epoch)]
                for run in runs
            ]
        )
        known = {}
        for run, evaluation in zip(runs, found, strict=True):
            evaluating = self._progress.get(run.id) if run.replayed_epoch is None else None
            stale = evaluation is not None and bool(run.epochs) and is_before(evaluation, run.epochs[-1])
            error = evaluating.error if evaluating is not None else ""
            known[run.id] = RunEvaluation(
                evaluation,
                stale,
                _progress_text(evaluating) if evaluating is not None and not evaluating.error else "",
                self._evaluations.get(run.id, ([], ""))[1] or error,
            )
        return known

    def missing(self, runs: Sequence[RunSnapshot]) -> list[tuple[list[RunSnapshot], Evaluation | None]]:
        """The runs that need an evaluation and are not being evaluated, grouped by dataset.

        Runs without a checkpoint cannot be evaluated and are left out, which may leave a group empty.

        Returns:
            For each dataset its runs, and the evaluation that theirs should be comparable with.
        """
        known, groups = self.by_run(runs), []
        for dataset in dict.fromkeys(run.dataset for run in runs):
            members = [run for run in runs if run.dataset == dataset]
            like = _reference_evaluation([known[run.id] for run in members])
            pending = [run for run in members if _needs_evaluation(known[run.id], like)]
            if pending:
                groups.append(([run for run in pending if run.run.checkpoint.exists()], like))
        return groups

    def members_key(self, runs: Sequence[RunSnapshot]) -> tuple[object, ...]:
        """Return a key that differs when `members` would have other numbers."""
        known = self.by_run(runs)
        return tuple((run.id, id(known[run.id].evaluation), len(run.epochs)) for run in runs)

    def members(self, runs: Sequence[RunSnapshot]) -> list[Member]:
        """The runs with their evaluations, as `core.comparison` takes them."""
        known = self.by_run(runs)
        return [_member(run, known[run.id].evaluation) for run in runs]

    def comparison(self, runs: Sequence[RunSnapshot]) -> Comparison | None:
        """The runs compared by the rule of `core compare`; None if none of them has been evaluated."""
        known = self.by_run(runs)
        key: tuple[object, ...] = tuple(
            (run.id, id(known[run.id].evaluation), known[run.id].stale) for run in runs
        )
        if self._comparison is None or self._comparison[0] != key:
            evaluated = any(one.evaluation is not None for one in known.values())
            members = [_member(run, known[run.id].evaluation) for run in runs]
            self._comparison = (key, compare(members) if evaluated else None)
        return self._comparison[1]


def _reference_evaluation(known: Sequence[RunEvaluation]) -> Evaluation | None:
    """The newest evaluation, which new ones should be comparable with."""
    evaluations = [one.evaluation for one in known if one.evaluation is not None]
    return max(evaluations, key=lambda one: one.created, default=None)


def _needs_evaluation(evaluated: RunEvaluation, like: Evaluation | None) -> bool:
    """True if a run should be evaluated and is not being evaluated."""
    if evaluated.progress:
        return False
    if evaluated.evaluation is None or evaluated.stale or like is None:
        return True
    return evaluated.evaluation.protocol != like.protocol


def _read_evaluations(run: RunSnapshot) -> tuple[list[Evaluation], str]:
    """All evaluations of a run, and why they cannot be read (empty if they can)."""
    try:
        return read_evaluations(run.run), ""
    except UserError as error:
        return [], sanitize(str(error))


def _progress_text(evaluating: EvaluationProgress) -> str:
    if not evaluating.doing:
        return "waits"
    if not evaluating.total:
        return evaluating.doing
    return f"{evaluating.doing} {100 * evaluating.done // evaluating.total}%"


def _member(run: RunSnapshot, evaluation: Evaluation | None) -> Member:
    info = RunInfo(run.run, run.file, run.status, run.state)
    last_step = float(run.steps[-1]) if len(run.steps) else 0.0
    return Member(info, run.epochs, last_step, lambda: (run.steps, run.losses), evaluation)
