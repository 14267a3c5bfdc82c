"""The whole way from noise to picture, computed on request and kept with its run.

``trajectories/ddim-50.safetensors`` holds every state x_t of some starting noises, and beside each the picture
that the network foresaw there; ``ddim-50.json`` says how far its making is, and goes when it is done. Both are
replaced as a whole. Neither torch nor safetensors is needed to read a state, and one state at a time is read,
because the whole may be a hundred times larger than what is looked at.

Letters of shapes: S states, N starting noises, H rows and W columns of pixels; a trailing 3 is colour.
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
from core.errors import UserError
from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity, is_alive
from core.schedules import make_schedule
from core.spacing import inference_timesteps

Pixels = NDArray[np.uint8]

FOLDER: Final = "trajectories"
HEADER_LIMIT: Final = 1 << 20
STATE_LIMIT: Final = 1 << 26
"""Bytes of one state; more is none of ours."""
_PROGRESS_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class TrajectorySpec:
    """How to get from noise to picture: the sampler, and how often it calls the network."""

    sampler: str
    steps: int

    def path(self, run: RunDirectory) -> Path:
        """Where a run keeps this walk."""
        return run.path / FOLDER / f"{self.sampler}-{self.steps}.safetensors"

    def progress_path(self, run: RunDirectory) -> Path:
        """Where it is said how far the making of it is."""
        return self.path(run).with_suffix(".json")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a walk is: `done` of `total` calls of the network, or why there will be no more of them."""

    identity: ProcessIdentity
    done: int = 0
    total: int
    error: str = ""


class Trajectory:
    """A walk that was kept: open as long as it is looked at, also when its file is replaced meanwhile.

    Attributes:
        epoch: epochs that the network had learnt.
        timesteps: the noise level t of each state, from T down to 0, the finished picture; [S].
        shape: [N, H, W] or [N, H, W, 3].

    Raises:
        FileNotFoundError: there is none.
        UserError: the file is damaged, or of something else.
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
        """A state, uint8 [N, H, W] or [N, H, W, 3]."""
        return self._read(self._starts[0], index)

    def x0(self, index: int) -> Pixels:
        """The picture that the network foresaw at this state, like it; the last state is the picture itself."""
        return self._read(self._starts[1], index)

    def _read(self, start: int, index: int) -> Pixels:
        """One state.

        Raises:
            UserError: it cannot be read any more.
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
        """The header of the safetensors format, and where the data begin."""
        length = int.from_bytes(os.pread(self._handle, 8, 0), "little")
        if not 2 <= length <= HEADER_LIMIT:
            raise self._damaged()
        return dict(json.loads(os.pread(self._handle, length, 8))), 8 + length

    def _damaged(self) -> UserError:
        return UserError(f"{self._path}: not a trajectory; delete it and compute it again")


def write_trajectory_progress(run: RunDirectory, spec: TrajectorySpec, progress: Progress) -> None:
    """Say how far a walk is; nothing is said where the run is gone."""
    if run.run_file.exists():
        spec.path(run).parent.mkdir(exist_ok=True)
        atomic_write(spec.progress_path(run), msgspec.json.encode(progress) + b"\n", fsync=False)


def clear_trajectory_progress(run: RunDirectory, spec: TrajectorySpec) -> None:
    """The walk is done."""
    spec.progress_path(run).unlink(missing_ok=True)


def read_trajectory_progress(run: RunDirectory, spec: TrajectorySpec) -> Progress | None:
    """How far a walk is that is being made, or why it could not be; None when nobody makes it."""
    try:
        with open_regular(spec.progress_path(run)) as file:
            found = msgspec.json.decode(file.read(_PROGRESS_LIMIT), type=Progress)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = sanitize(found.error)
    if not error and is_alive(found.identity) is False:
        error = "its process is gone"
    return msgspec.structs.replace(found, error=error)


def state_timesteps(config: RunConfig, steps: int | None = None) -> list[int]:
    """The noise level t of each state of a run's walk, from T down to 0; [steps + 1].

    >>> from core.config import RunConfig
    >>> state_timesteps(RunConfig(), 5)
    [1000, 800, 600, 400, 200, 0]

    Args:
        config: the run's, whose spacing it is.
        steps: network calls; None takes the run's own number.

    Raises:
        UserError: more steps than the schedule has, or a schedule that cannot be made.
    """
    spacing, timesteps = config.sample.spacing, config.schedule.timesteps
    log_snr = (
        None if spacing == "uniform" else make_schedule(**msgspec.structs.asdict(config.schedule)).log_snr
    )
    steps = config.sample.steps if steps is None else steps
    visited = inference_timesteps(timesteps, steps, spacing=spacing, log_snr=log_snr)
    return [*(t + 1 for t in visited), 0]
