"""Crossings of runs: each network sampled at the levels of each schedule, kept in the run's `cross.json`.

A crossing separates what a schedule taught the network from how it samples. `core evaluate --cross` computes it.
"""

from typing import Final

import msgspec

from core.errors import UserError
from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory
from core.statistics.estimate import Estimate

FILE_NAME: Final = "cross.json"
SIZE_LIMIT: Final = 1 << 24
KEPT: Final = 1000
"""Cells that are kept with a run; the oldest are dropped."""


class CrossCell(msgspec.Struct, frozen=True, kw_only=True):
    """One network sampled at the levels of one schedule.

    Attributes:
        schedule: name of the schedule whose levels were taken.
        levels: its levels, log SNRs.
        calls: network calls that they became.
        beyond: levels that are noisier than all timesteps of the run.
        step: steps that the network was trained for.
        sampler: the sampler, its eta and its thresholding, as text.
        start: distribution of the starting state.
        count: number of samples.
        heldout: number of held-out images that they were compared with.
        seed: seed of the noise.
        metrics: values by the names of `core.runs.METRICS`.
    """

    schedule: str
    levels: tuple[float, ...]
    calls: int
    beyond: int
    step: int
    sampler: str
    start: str = "noise"
    count: int
    heldout: int
    seed: int
    metrics: dict[str, Estimate] = {}

    @property
    def settings(self) -> tuple[object, ...]:
        """All settings that affect the metrics."""
        return (self.levels, self.step, self.sampler, self.start, self.count, self.heldout, self.seed)


def read_cross_cells(run: RunDirectory) -> list[CrossCell]:
    """Read the cells of a run, the latest last; empty if there are none or the file is damaged."""
    try:
        with open_regular(run.path / FILE_NAME) as file:
            data = file.read(SIZE_LIMIT + 1)
        cells = msgspec.json.decode(data, type=list[CrossCell])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # cells can be computed again
    return [
        msgspec.structs.replace(one, schedule=sanitize(one.schedule), sampler=sanitize(one.sampler))
        for one in cells
    ]


def add_cross_cell(run: RunDirectory, cell: CrossCell) -> None:
    """Keep a cell with its run, in place of one with the same settings.

    Raises:
        UserError: the run was removed or cannot be written.
    """
    kept = [one for one in read_cross_cells(run) if one.settings != cell.settings][-KEPT + 1 :]
    lines = b",\n".join(msgspec.json.encode(one) for one in (*kept, cell))
    try:
        if not run.run_file.exists():
            raise UserError(f"{sanitize(run.id)}: the run was removed meanwhile")
        atomic_write(run.path / FILE_NAME, b"[" + lines + b"]\n")
    except OSError as error:
        raise UserError(f"{run.path}: cannot be written ({error.strerror or error})") from error
