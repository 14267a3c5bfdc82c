"""True against predicted noise by noise level, and `predicted_noise.json`, which an evaluation leaves with its run.

Torch-free. `core.evaluation.predicted_noise` measures it.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.files.atomic import atomic_write
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "predicted_noise.json"
CELLS: Final = 32
"""Cells of a table from -limit to limit; the outermost also have the values beyond."""
_MAX_BYTES: Final = 1 << 20
_MAX_COUNT: Final = 1 << 53
_MAX_LEVELS: Final = 16


class NoiseTable(msgspec.Struct, frozen=True, kw_only=True):
    """Pixels of one noise level.

    Attributes:
        wanted: the log SNR that was asked for.
        log_snr: of the timestep, the nearest of the run's schedule.
        error: mean of (eps - eps_hat)^2.
        counts: [CELLS * CELLS], numbers of pixels by true noise (rows) and predicted noise (columns); empty if the
            schedule does not visit the level.
    """

    wanted: float
    log_snr: float | None = None
    error: float | None = None
    counts: list[int] = []

    @property
    def table(self) -> NDArray[np.int64] | None:
        """The counts, int64 [CELLS, CELLS]; None for a level that is not visited."""
        return np.array(self.counts, dtype=np.int64).reshape(CELLS, CELLS) if self.counts else None


class PredictedNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Tables of a checkpoint.

    Attributes:
        epoch: epochs that the checkpoint was trained for.
        step: steps likewise.
        images: number of held-out images.
        limit: largest noise of the tables.
        levels: with falling log SNR.
    """

    format_version: int = FORMAT_VERSION
    epoch: int
    step: int
    images: int
    limit: float
    levels: list[NoiseTable]


def read_predicted_noise(run: RunDirectory) -> PredictedNoise | None:
    """Read what the last evaluation has left; None if there is nothing, or nothing that can be read."""
    try:
        with open_regular(run.path / FILE_NAME) as file:
            found = msgspec.json.decode(file.read(_MAX_BYTES), type=PredictedNoise)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_sound = found.format_version == FORMAT_VERSION and found.limit > 0 and len(found.levels) <= _MAX_LEVELS
    return found if is_sound and all(_is_sound(level) for level in found.levels) else None


def _is_sound(level: NoiseTable) -> bool:
    return len(level.counts) in (0, CELLS**2) and all(0 <= count <= _MAX_COUNT for count in level.counts)


def write_predicted_noise(run: RunDirectory, found: PredictedNoise) -> None:
    """Keep tables with a run, in place of earlier ones.

    Raises:
        OSError: the file cannot be written.
    """
    atomic_write(run.path / FILE_NAME, msgspec.json.encode(found) + b"\n", fsync=False)
