"""What the runs of a comparison have been judged by: read from the runs, and who wins by more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.comparison.compare import Comparison, compare
from core.comparison.grouping import Member, chosen
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.runs.progress import FILE_NAME as EVALUATING_FILE
from core.runs.progress import EvaluationProgress, read_evaluation_progress
from core.runs.results import FILE_NAME as EVALUATED_FILE
from core.runs.results import Evaluation, read_evaluations
from core.runs.store import RunInfo
from tui.state.snapshot import RunSnapshot

Seen = tuple[FileSignature | None, FileSignature | None]
_UNSEEN: Final = ((-1, -1, -1), None)


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """What is known of one run.

    Attributes:
        evaluation: the judgement that is compared; None where there is none.
        stale: whether the run has learnt more since.
        doing: what is being done, where somebody judges it; empty where nobody does.
        trouble: why it could not be judged, or what it was judged by cannot be read; else empty.
    """

    evaluation: Evaluation | None = None
    stale: bool = False
    progress: str = ""
    problem: str = ""


class Evaluations:
    """Reads a run's files again only when they have changed, and compares again only when a number has."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._read: dict[str, tuple[list[Evaluation], str]] = {}
        self._evaluating: dict[str, EvaluationProgress | None] = {}
        self._compared: tuple[tuple[object, ...], Comparison | None] | None = None

    def refresh(self, runs: Sequence[RunSnapshot]) -> bool:
        """See what is new; whether anything is."""
        changed = False
        for run in runs:
            folder = run.run.path
            seen = signature(folder / EVALUATED_FILE), signature(folder / EVALUATING_FILE)
            before = self._seen.get(run.id, _UNSEEN)
            if seen[0] != before[0]:
                self._read[run.id] = _evaluations(run)
            if seen[1] is not None or seen[1] != before[1]:
                # Read each time: its process may be gone, which no file tells.
                evaluating = read_evaluation_progress(run.run)
                changed |= evaluating != self._evaluating.get(run.id)
                self._evaluating[run.id] = evaluating
            changed |= seen != before
            self._seen[run.id] = seen
        return changed

    def of_run(self, runs: Sequence[RunSnapshot]) -> dict[str, RunEvaluation]:
        """What is known of each run, by id; see `preview_dataset`."""
        found = chosen([self._read.get(run.id, ([], ""))[0] for run in runs])
        known = {}
        for run, evaluation in zip(runs, found, strict=True):
            evaluating = self._evaluating.get(run.id)
            stale = evaluation is not None and bool(run.epochs) and evaluation.epoch < run.epochs[-1].epoch
            error = evaluating.error if evaluating is not None else ""
            known[run.id] = RunEvaluation(
                evaluation,
                stale,
                _doing(evaluating) if evaluating is not None and not evaluating.error else "",
                self._read.get(run.id, ([], ""))[1] or error,
            )
        return known

    def missing(self, runs: Sequence[RunSnapshot]) -> list[tuple[list[RunSnapshot], Evaluation | None]]:
        """The runs that should be judged and are not being judged, for each data set of which there are any.

        Those without a checkpoint, which cannot be judged, are left out. Beside the runs of a data set stands the
        judgement with which theirs should be comparable.
        """
        known, found = self.of_run(runs), []
        for dataset in dict.fromkeys(run.dataset for run in runs):
            own = [run for run in runs if run.dataset == dataset]
            like = _like([known[run.id] for run in own])
            wanted = [run for run in own if _wants(known[run.id], like)]
            if wanted:
                found.append(([run for run in wanted if run.run.checkpoint.exists()], like))
        return found

    def compared(self, runs: Sequence[RunSnapshot]) -> Comparison | None:
        """The runs side by side by the rule of `core compare`; None where none of them has been judged."""
        known = self.of_run(runs)
        key: tuple[object, ...] = tuple(
            (run.id, id(known[run.id].evaluation), known[run.id].stale) for run in runs
        )
        if self._compared is None or self._compared[0] != key:
            evaluated = any(one.evaluation is not None for one in known.values())
            members = [_member(run, known[run.id].evaluation) for run in runs]
            self._compared = (key, compare(members) if evaluated else None)
        return self._compared[1]


def _like(known: Sequence[RunEvaluation]) -> Evaluation | None:
    """The judgement that others should be comparable with: the newest one."""
    found = [one.evaluation for one in known if one.evaluation is not None]
    return max(found, key=lambda one: one.created, default=None)


def _wants(evaluated: RunEvaluation, like: Evaluation | None) -> bool:
    """Whether a run should be judged, and nobody does so."""
    if evaluated.progress:
        return False
    if evaluated.evaluation is None or evaluated.stale or like is None:
        return True
    return evaluated.evaluation.protocol != like.protocol


def _evaluations(run: RunSnapshot) -> tuple[list[Evaluation], str]:
    """All judgements of a run, and why they cannot be read."""
    try:
        return read_evaluations(run.run), ""
    except UserError as error:
        return [], sanitize(str(error))


def _doing(evaluating: EvaluationProgress) -> str:
    if not evaluating.doing:
        return "waits"
    if not evaluating.total:
        return evaluating.doing
    return f"{evaluating.doing} {100 * evaluating.done // evaluating.total}%"


def _member(run: RunSnapshot, evaluation: Evaluation | None) -> Member:
    info = RunInfo(run.run, run.file, run.status, run.state)
    return Member(info, run.epochs, run.steps, run.losses, evaluation)
