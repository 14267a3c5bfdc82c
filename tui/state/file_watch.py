"""What tells the reader that something on disk changed, without reading it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.signature import FileSignature, signature
from core.runs.directory import RunDirectory
from core.runs.results import FILE_NAME, read_evaluations

SETTLE_SECONDS: Final = 2.0
_NEVER: Final = FileSignature(-1, -1, -1)


@dataclass(slots=True)
class WatchedDir:
    """A folder's listing, taken again when its modification time says so.

    A tick of the file system's clock can hide a file that arrives right after a listing, so a folder is
    listed again until it has been quiet for `SETTLE_SECONDS`.
    """

    path: Path
    seen: FileSignature | None = None
    is_settled: bool = False
    changed_at: float = -1e18
    listed_at: float = -1e18

    def changed(self, moment: float, *, at_least_every: float = float("inf")) -> bool:
        current = signature(self.path)
        if current != self.seen:
            self.changed_at, self.is_settled = moment, False
        elif self.is_settled and moment - self.listed_at < at_least_every:
            return False
        self.is_settled = moment - self.changed_at >= SETTLE_SECONDS
        self.seen, self.listed_at = current, moment
        return True


@dataclass(slots=True)
class EvaluationFile:
    """What was found when a run was judged, read again when its file is another."""

    run: RunDirectory
    _seen: FileSignature | None = _NEVER
    _rate: float | None = None

    def changed(self) -> bool:
        """Whether there is something else to read than the last time."""
        return signature(self.run.path / FILE_NAME) != self._seen

    def pass_rate(self) -> float | None:
        """The balanced pass rate last measured, from 0 to 1; None where there is none that can be read."""
        seen = signature(self.run.path / FILE_NAME)
        if seen != self._seen:
            self._seen, self._rate = seen, None
            try:
                evaluations = read_evaluations(self.run) if seen is not None else []
            except UserError:
                evaluations = []
            for evaluation in evaluations:
                if (found := evaluation.metrics.get("balanced_pass_rate")) is not None:
                    self._rate = found.value
        return self._rate
