"""True against predicted noise of runs, read from the runs' folders."""

from core.files.signature import FileSignature, signature
from core.runs.predicted_noise import FILE_NAME, PredictedNoise, read_predicted_noise
from tui.state.snapshot import RunSnapshot


class PredictedNoiseCache:
    """Cache of what evaluations have left; rereads a file only when it changes."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[FileSignature | None, PredictedNoise | None]] = {}

    def get(self, run: RunSnapshot) -> PredictedNoise | None:
        """Return the tables of a run; None if it has none, or if a replay has not reached them yet."""
        seen = signature(run.run.path / FILE_NAME)
        if run.id not in self._found or self._found[run.id][0] != seen:
            self._found[run.id] = seen, read_predicted_noise(run.run) if seen is not None else None
        found = self._found[run.id][1]
        return found if found is not None and run.is_shown_at(found.epoch) else None
