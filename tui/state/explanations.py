"""Explanations of the runs of a comparison, from the interventions that are kept in the runs' folders."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from core.comparison.explain import Explanation, Subject
from core.comparison.kept_interventions import explain_kept, go_together, is_outdated, newest
from core.comparison.trained_further import is_before
from core.files.signature import FileSignature, signature
from core.runs.interventions import FILE_NAME, Interventions, read_interventions
from tui.state.snapshot import RunSnapshot

_Key = tuple[tuple[str, str, FileSignature | None, int | None, int], ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """Explanations of runs, and reasons why some have none.

    Attributes:
        interventions: of each run that has some, by id.
        explanations: by data set, of the runs whose interventions go together.
        labels: of the runs in the explanations, by id.
        reasons: why a run is not explained as it is now, by id; none for a run that is.
    """

    interventions: Mapping[str, Interventions] = field(default_factory=dict)
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


class Explanations:
    """Cache of explanations, which are made in a thread because each takes a fraction of a second.

    Attributes:
        explained: the latest result.
        busy: whether a thread computes.
    """

    def __init__(self) -> None:
        self.explained = Explained()
        self.busy = False
        self._key: _Key | None = None

    def is_current(self, runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> bool:
        """Return whether the latest result is of these runs and files. Costs a stat a run."""
        return self._key == _key(runs, labels)

    def load(self, runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> None:
        """Read the interventions of runs, and explain them; call it in a thread.

        Args:
            runs: the runs.
            labels: a label of its own for each run, by id.
        """
        key = _key(runs, labels)
        self.explained = _explain(runs, labels)
        self._key = key

    def missing(
        self, runs: Sequence[RunSnapshot], busy: Collection[str]
    ) -> list[tuple[list[RunSnapshot], Interventions | None]]:
        """Return the runs that are not explained as they are now, grouped by dataset.

        Args:
            runs: the runs of the latest result.
            busy: ids of runs that are being sampled or evaluated.

        Returns:
            For each dataset its runs that have a checkpoint, which may be none, and the interventions that theirs
            should go with.
        """
        groups = []
        for dataset in dict.fromkeys(run.dataset for run in runs):
            members = [run for run in runs if run.dataset == dataset]
            pending = [run for run in members if run.id in self.explained.reasons and run.id not in busy]
            if pending:
                like = newest([self.explained.interventions.get(run.id) for run in members])
                groups.append(([run for run in pending if run.run.checkpoint.exists()], like))
        return groups


def _key(runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> _Key:
    return tuple(
        (run.id, labels[run.id], signature(run.run.path / FILE_NAME), run.replayed_epoch, len(run.epochs))
        for run in runs
    )


def _explain(runs: Sequence[RunSnapshot], labels: Mapping[str, str]) -> Explained:
    """Read and explain runs; what a replay has not reached yet is left out."""
    found: dict[str, Interventions] = {}
    for run in runs:
        kept = read_interventions(run.run)
        if kept is not None and run.is_shown_at(kept.epoch):
            found[run.id] = kept
    subjects = [
        Subject(labels[run.id], run.file.config, run.epochs, found[run.id]) for run in runs if run.id in found
    ]
    reasons = {}
    for run in runs:
        like = newest([found.get(other.id) for other in runs if other.dataset == run.dataset])
        if reason := _reason(run, found.get(run.id), like):
            reasons[run.id] = reason
    return Explained(found, explain_kept(subjects), labels, reasons)


def _reason(run: RunSnapshot, kept: Interventions | None, like: Interventions | None) -> str:
    """Say why a run is not explained as it is now; nothing if it is."""
    if kept is None:
        return "not explained yet" if run.run.checkpoint.exists() else "has no checkpoint yet"
    assert like is not None  # it is at least the run's own
    if not go_together(kept, like):
        return f"explained from {kept.count} samples of seed {kept.seed}, others from {like.count} of seed {like.seed}"
    if not is_outdated(kept, run.file.config, run.epochs):
        return ""
    if run.epochs and is_before(kept, run.epochs[-1]):
        return f"explained at epoch {kept.epoch}, trained to epoch {run.epochs[-1].epoch}"
    return "explained with other settings of its sampling"
