"""Detection of changed files and folders by their `stat`, without reading them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.signature import FileSignature, signature
from core.runs.directory import RunDirectory
from core.runs.results import FILE_NAME, read_evaluations

SETTLE_SECONDS: Final = 2.0
_NEVER_READ: Final = FileSignature(-1, -1, -1)


@dataclass(slots=True)
class WatchedDir:
    """A folder that is listed again when its modification time changes.

    Timestamps have the resolution of the file system's clock, so a file that arrives right after a listing may leave
    the modification time unchanged. A folder is therefore listed again until it has been unchanged for
    `SETTLE_SECONDS`.
    """

    path: Path
    last_signature: FileSignature | None = None
    is_settled: bool = False
    changed_at: float = -1e18
    listed_at: float = -1e18

    def poll(self, moment: float, *, at_least_every: float = float("inf")) -> bool:
        """Return whether the folder is to be listed now; the caller is expected to list it then."""
        current = signature(self.path)
        if current != self.last_signature:
            self.changed_at, self.is_settled = moment, False
        elif self.is_settled and moment - self.listed_at < at_least_every:
            return False
        self.is_settled = moment - self.changed_at >= SETTLE_SECONDS
        self.last_signature, self.listed_at = current, moment
        return True


@dataclass(slots=True)
class EvaluationFile:
    """Pass rate in a run's evaluation file, read again only when the file changes."""

    run: RunDirectory
    _last_signature: FileSignature | None = _NEVER_READ
    _pass_rate: float | None = None

    def changed(self) -> bool:
        """Return whether the file differs from the one that was last read."""
        return signature(self.run.path / FILE_NAME) != self._last_signature

    def pass_rate(self) -> float | None:
        """The latest balanced pass rate, from 0 to 1; None if none can be read."""
        current = signature(self.run.path / FILE_NAME)
        if current != self._last_signature:
            self._last_signature, self._pass_rate = current, None
            try:
                evaluations = read_evaluations(self.run) if current is not None else []
            except UserError:
                evaluations = []
            for evaluation in evaluations:
                if (estimate := evaluation.metrics.get("balanced_pass_rate")) is not None:
                    self._pass_rate = estimate.value
        return self._pass_rate
