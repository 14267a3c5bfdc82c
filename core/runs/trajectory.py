"""Trajectories: all states from noise to image, computed on request and saved with their run.

``trajectories/ddim-50.safetensors`` contains every state x_t of N samples, and the x0 that the network predicted at
each. ``ddim-50.json`` is the progress of the computation, and is deleted at its end. Both are replaced as a whole.
Reading needs neither torch nor safetensors. States are read one at a time, because a whole trajectory may be a hundred
times larger than the state that is shown.

Letters of shapes: S states, N samples, H rows and W columns of pixels; a trailing 3 is colour.
"""

import json
import math
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.config.sampling_levels import visited_timesteps
from core.errors import UserError
from core.files.outputs import make_folder
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory
from core.runs.progress import Progress as Progress
from core.runs.progress import read_progress, write_progress

Pixels = NDArray[np.uint8]

FOLDER: Final = "trajectories"
HEADER_LIMIT: Final = 1 << 20
STATE_LIMIT: Final = 1 << 26
"""Bytes of one state. A larger one was not written by this program."""


@dataclass(frozen=True, slots=True)
class TrajectorySpec:
    """The sampler of a trajectory, and its number of network calls."""

    sampler: str
    steps: int

    def path(self, run: RunDirectory) -> Path:
        """Return the path of this trajectory of a run."""
        return run.path / FOLDER / f"{self.sampler}-{self.steps}.safetensors"

    def progress_path(self, run: RunDirectory) -> Path:
        """Return the path of the progress of its computation."""
        return self.path(run).with_suffix(".json")


class Trajectory:
    """A saved trajectory. Its file stays open, so it can be read after the file was replaced.

    Attributes:
        epoch: epochs that the network was trained for.
        timesteps: noise level t of each state, from T down to 0, the final image; [S].
        shape: [N, H, W] or [N, H, W, 3].

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: the file is damaged, or is not a trajectory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            file = open_regular(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        weakref.finalize(self, file.close)
        self._handle = file.fileno()
        try:
            header, begin = self._header()
            notes = header["__metadata__"]
            self.epoch = int(notes["epoch"])
            self.timesteps = tuple(int(t) for t in json.loads(notes["timesteps"]))
            shapes = [tuple(int(side) for side in header[name]["shape"]) for name in ("xt", "x0")]
            offsets = [int(header[name]["data_offsets"][0]) for name in ("xt", "x0")]
            kinds = {header[name]["dtype"] for name in ("xt", "x0")}
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise self._damaged() from error
        self.shape = shapes[0][1:]
        self._size = math.prod(self.shape)
        self._starts = [begin + offset for offset in offsets]
        states = len(self.timesteps)
        fits = len(self.shape) == 3 or (len(self.shape) == 4 and self.shape[3] == 3)
        if not (
            fits
            and states
            and kinds == {"U8"}
            and shapes == [(states, *self.shape)] * 2
            and min(self.shape) > 0
            and self._size <= STATE_LIMIT
            and min(offsets) >= 0
            and max(self._starts) + states * self._size <= os.fstat(self._handle).st_size
        ):
            raise self._damaged()

    def xt(self, index: int) -> Pixels:
        """Read a state, uint8 [N, H, W] or [N, H, W, 3]."""
        return self._read(self._starts[0], index)

    def x0(self, index: int) -> Pixels:
        """Read the x0 predicted at a state, in the same shape. That of the last state is the final image."""
        return self._read(self._starts[1], index)

    def _read(self, start: int, index: int) -> Pixels:
        """Read one state.

        Raises:
            UserError: it can no longer be read.
        """
        if not 0 <= index < len(self.timesteps):
            raise IndexError(f"expected a state from 0 to {len(self.timesteps) - 1}, got {index}")
        try:
            data = os.pread(self._handle, self._size, start + index * self._size)
        except OSError as error:
            raise UserError(f"{self._path}: cannot be read ({error.strerror or error})") from error
        if len(data) < self._size:
            raise self._damaged()
        return np.frombuffer(data, dtype=np.uint8).reshape(self.shape)

    def _header(self) -> tuple[dict[str, Any], int]:
        """Read the header of the safetensors format, and the offset of the data."""
        length = int.from_bytes(os.pread(self._handle, 8, 0), "little")
        if not 2 <= length <= HEADER_LIMIT:
            raise self._damaged()
        return dict(json.loads(os.pread(self._handle, length, 8))), 8 + length

    def _damaged(self) -> UserError:
        return UserError(f"{self._path}: not a trajectory; delete it and compute it again")


def write_trajectory_progress(run: RunDirectory, spec: TrajectorySpec, progress: Progress) -> None:
    """Write the progress of a trajectory; do nothing if the run was removed."""
    if run.run_file.exists():
        make_folder(spec.path(run).parent)
        write_progress(spec.progress_path(run), progress)


def clear_trajectory_progress(run: RunDirectory, spec: TrajectorySpec) -> None:
    """Delete the progress of a trajectory, because it is complete."""
    spec.progress_path(run).unlink(missing_ok=True)


def read_trajectory_progress(run: RunDirectory, spec: TrajectorySpec) -> Progress | None:
    """Read the progress of a trajectory, or its error; None if the trajectory is not being computed."""
    return read_progress(spec.progress_path(run), Progress)


def state_timesteps(config: RunConfig, steps: int | None = None) -> list[int]:
    """Compute the noise level t of each state of a run's trajectory, from T down to 0; [steps + 1].

    >>> from core.config import RunConfig
    >>> state_timesteps(RunConfig(), 5)
    [1000, 800, 600, 400, 200, 0]

    Args:
        config: configuration of the run, which has the spacing or levels.
        steps: network calls; None takes the number of the run.

    Raises:
        UserError: more steps than the schedule has, or an invalid schedule.
    """
    visited = visited_timesteps(config)
    if steps is not None and steps != len(visited):
        sample = msgspec.structs.replace(config.sample, steps=steps, levels=None)
        visited = visited_timesteps(msgspec.structs.replace(config, sample=sample))
    return [*(t + 1 for t in visited), 0]
