"""What the runs of a comparison have been judged by: read from the runs, and who wins by more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.comparison.compare import Comparison, compare
from core.comparison.grouping import Member, chosen
from core.errors import UserError
from core.files.sanitize import plain
from core.runs.progress import FILE_NAME as JUDGING_FILE
from core.runs.progress import Judging, read_judging
from core.runs.results import FILE_NAME as JUDGED_FILE
from core.runs.results import Evaluation, read_evaluations
from core.runs.store import RunInfo
from tui.state.reader import Signature, signature
from tui.state.snapshot import RunSnapshot

Seen = tuple[Signature | None, Signature | None]
_UNSEEN: Final = ((-1, -1, -1), None)


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one run.

    Attributes:
        evaluation: the judgement that is compared; None where there is none.
        stale: whether the run has learnt more since.
        doing: what is being done, where somebody judges it; empty where nobody does.
        trouble: why it could not be judged, or what it was judged by cannot be read; else empty.
    """

    evaluation: Evaluation | None = None
    stale: bool = False
    doing: str = ""
    trouble: str = ""


class Judgements:
    """Reads a run's files again only when they have changed, and compares again only when a number has."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._read: dict[str, tuple[list[Evaluation], str]] = {}
        self._judging: dict[str, Judging | None] = {}
        self._compared: tuple[tuple[object, ...], Comparison | None] | None = None

    def look(self, runs: Sequence[RunSnapshot]) -> bool:
        """See what is new; whether anything is."""
        changed = False
        for run in runs:
            folder = run.run.path
            seen = signature(folder / JUDGED_FILE), signature(folder / JUDGING_FILE)
            before = self._seen.get(run.id, _UNSEEN)
            if seen[0] != before[0]:
                self._read[run.id] = _evaluations(run)
            if seen[1] is not None or seen[1] != before[1]:
                # Read each time: its process may be gone, which no file tells.
                judging = read_judging(run.run)
                changed |= judging != self._judging.get(run.id)
                self._judging[run.id] = judging
            changed |= seen != before
            self._seen[run.id] = seen
        return changed

    def of(self, runs: Sequence[RunSnapshot]) -> dict[str, Judged]:
        """What is known of each run, by id; see `look`."""
        found = chosen([self._read.get(run.id, ([], ""))[0] for run in runs])
        known = {}
        for run, evaluation in zip(runs, found, strict=True):
            judging = self._judging.get(run.id)
            stale = evaluation is not None and bool(run.epochs) and evaluation.epoch < run.epochs[-1].epoch
            error = judging.error if judging is not None else ""
            known[run.id] = Judged(
                evaluation,
                stale,
                _doing(judging) if judging is not None and not judging.error else "",
                self._read.get(run.id, ([], ""))[1] or error,
            )
        return known

    def wanting(self, runs: Sequence[RunSnapshot]) -> list[tuple[list[RunSnapshot], Evaluation | None]]:
        """The runs that should be judged and are not being judged, for each data set of which there are any.

        Those without a checkpoint, which cannot be judged, are left out. Beside the runs of a data set stands the
        judgement with which theirs should be comparable.
        """
        known, found = self.of(runs), []
        for dataset in dict.fromkeys(run.dataset for run in runs):
            own = [run for run in runs if run.dataset == dataset]
            like = _like([known[run.id] for run in own])
            wanted = [run for run in own if _wants(known[run.id], like)]
            if wanted:
                found.append(([run for run in wanted if run.run.checkpoint.exists()], like))
        return found

    def compared(self, runs: Sequence[RunSnapshot]) -> Comparison | None:
        """The runs side by side by the rule of `core compare`; None where none of them has been judged."""
        known = self.of(runs)
        key: tuple[object, ...] = tuple(
            (run.id, id(known[run.id].evaluation), known[run.id].stale) for run in runs
        )
        if self._compared is None or self._compared[0] != key:
            judged = any(one.evaluation is not None for one in known.values())
            members = [_member(run, known[run.id].evaluation) for run in runs]
            self._compared = (key, compare(members) if judged else None)
        return self._compared[1]


def _like(known: Sequence[Judged]) -> Evaluation | None:
    """The judgement that others should be comparable with: the newest one."""
    found = [one.evaluation for one in known if one.evaluation is not None]
    return max(found, key=lambda one: one.created, default=None)


def _wants(judged: Judged, like: Evaluation | None) -> bool:
    """Whether a run should be judged, and nobody does so."""
    if judged.doing:
        return False
    if judged.evaluation is None or judged.stale or like is None:
        return True
    return judged.evaluation.protocol != like.protocol


def _evaluations(run: RunSnapshot) -> tuple[list[Evaluation], str]:
    """All judgements of a run, and why they cannot be read."""
    try:
        return read_evaluations(run.run), ""
    except UserError as error:
        return [], plain(str(error))


def _doing(judging: Judging) -> str:
    if not judging.doing:
        return "waits"
    if not judging.total:
        return judging.doing
    return f"{judging.doing} {100 * judging.done // judging.total}%"


def _member(run: RunSnapshot, evaluation: Evaluation | None) -> Member:
    info = RunInfo(run.run, run.file, run.status, run.state)
    return Member(info, run.epochs, run.steps, run.losses, evaluation)
